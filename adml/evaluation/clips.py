"""Read and embed the clips of a test list; a clip that cannot be read is set aside and reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from adml.data.trial_list import Clip
from adml.errors import AdmlError, DataError
from adml.evaluation.embedding import Embeds, clip_problem

_LOGGER = logging.getLogger(__name__)
_CHUNK_SAMPLES = 48_000_000  # samples held at once: 50 minutes, 190 MB

ReadClip = Callable[[str, float, float], np.ndarray]
"""read_clip(path, start_s, end_s) -> float32 [T] at 16 kHz; `PcmStore.read` is one."""


@dataclass(frozen=True)
class SetAside:
    """One input that was left out of a test.

    Args:
        item: what it is: the clip's path and times, or the text.
        reason: why it cannot be used.
    """

    item: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Plain dictionary for a record."""
        return asdict(self)


def embed_clips(
    embedder: Embeds,
    clips: Sequence[Clip],
    read_clip: ReadClip,
    *,
    margin_ms: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, list[SetAside]]:
    """Read each clip once, in list order, and embed it.

    Args:
        embedder: embeds lists of samples.
        clips: of a test list.
        read_clip: returns the samples between two times of a file.
        margin_ms: neighbouring speech taken along on each side; 0 cuts exactly. A clip that is a
            whole file (`end_s` is infinite) has no neighbours and is read as it is.

    Returns:
        embeddings [n, D] of the usable clips, their indices [n] in `clips`, and what was set aside.

    Raises:
        DataError: there are no clips, or none can be read.
        NumericError: an embedding is not finite.
    """
    if len(clips) == 0:
        raise DataError("The test list has no clips. Expected: at least one.")
    problems: list[SetAside] = []
    embeddings, kept = [], []
    for indices, samples in _chunks(clips, read_clip, margin_ms, problems):
        embeddings.append(embedder.audio(samples))
        kept.extend(indices)
    report_set_aside(problems, len(clips), "clips")
    if not kept:
        raise DataError(
            f"None of the {len(clips)} clips can be read. The first, {problems[0].item}: "
            f"{problems[0].reason}"
        )
    return np.concatenate(embeddings), np.array(kept, dtype=np.int64), problems


def report_set_aside(problems: Sequence[SetAside], count: int, name: str) -> None:
    """Log how many of `count` inputs were set aside, and the first of them."""
    if problems:
        _LOGGER.warning(
            "%d of %d %s set aside; the first, %s: %s",
            len(problems), count, name, problems[0].item, problems[0].reason,
        )  # fmt: skip


def cut_times(start_s: float, end_s: float, margin_ms: float) -> tuple[float, float]:
    """Times of a clip with a margin on both sides, in seconds; a whole file keeps its times."""
    if not np.isfinite(end_s):
        return start_s, end_s
    margin_s = margin_ms / 1000.0
    return max(0.0, start_s - margin_s), end_s + margin_s


def _chunks(
    clips: Sequence[Clip], read_clip: ReadClip, margin_ms: float, problems: list[SetAside]
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    indices: list[int] = []
    samples: list[np.ndarray] = []
    held = 0
    for index, clip in enumerate(clips):
        array = _read(clip, read_clip, margin_ms, problems)
        if array is None:
            continue
        indices.append(index)
        samples.append(array)
        held += array.size
        if held >= _CHUNK_SAMPLES:
            yield indices, samples
            indices, samples, held = [], [], 0
    if indices:
        yield indices, samples


def _read(clip: Clip, read_clip: ReadClip, margin_ms: float, problems: list) -> np.ndarray | None:
    start_s, end_s = cut_times(clip.start_s, clip.end_s, margin_ms)
    try:
        array = read_clip(clip.path, start_s, end_s)
    except (AdmlError, OSError) as error:
        reason = str(error)
    else:
        reason = clip_problem(array)
    if reason is None:
        return array
    problems.append(SetAside(f"{clip.path} ({clip.start_s} s to {clip.end_s} s)", reason))
    return None
