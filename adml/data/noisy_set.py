"""A test set with simulated rooms and noise, written once: every clip of a list, disturbed."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from adml.audio.augmentation import SILENT_POWER
from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.corpora.output import folder_in_the_making
from adml.data.rows import SetAside
from adml.data.sets import open_recordings
from adml.data.simulation import Drawn, Simulation, clip_digest
from adml.data.store import PcmStore
from adml.data.trial_list import Clip, TrialList
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

COLUMNS = (
    "path", "text", "speaker", "duration", "source", "start", "end", "background", "recordings",
    "recording_starts", "snr_db", "impulse_response", "sha256",
)  # fmt: skip
SEPARATOR = "|"
"""Between the recordings of babble, and between their starts."""

LIST, MANIFEST, SETTINGS = "trials.tsv", "manifest.tsv", "settings.json"


def write_noisy_set(
    trials: TrialList,
    out: str | Path,
    simulation: Simulation,
    *,
    speech: str | Path,
    cache: str | Path,
    name: str | None = None,
) -> TrialList:
    """Write every clip of a list, disturbed, as a set of its own: whole or not at all.

    The folder holds `audio/` (16 kHz FLAC), `trials.tsv` (the same trials of these files),
    `manifest.tsv` (a row a file, with what was done to it and its sha256) and `settings.json` (what
    all was made of, with the hashes of the two). The list tells, and so its hash is of, the content
    of the clips, the backgrounds and the rooms. Its paths begin with the folder's own name, as the
    folder above it is the speech folder of an evaluation. The same call writes the same bytes.

    Args:
        trials: the list; clips that cannot be read are set aside with their trials, and told.
        out: the folder, which must not be there.
        simulation: from `make_simulation`.
        speech: folder that the list's paths are relative to.
        cache: folder for decoded speech.
        name: of the new list; the old one's with "-noisy" where None.

    Returns:
        The new list.

    Raises:
        UsageError: the folder is there, or cannot be written.
        DataError: no clip can be read, or see `Simulation.disturb`.
    """
    out, speech = Path(out), Path(speech)
    if out.exists():
        raise UsageError(
            f"{out} is there already, and earlier figures may be of it. Expected: a new folder. "
            "Choose another name."
        )
    if not out.name.isprintable():
        raise UsageError(
            f"The name {out.name!r} cannot stand in a list. Expected: characters that can be "
            "printed. Choose another name."
        )
    store = open_recordings(sorted({str(speech / clip.path) for clip in trials.clips}), cache)
    try:
        with folder_in_the_making(out) as part:
            made, rows = _write_clips(trials, part, out.name, simulation, store, speech)
            made = replace(made, name=name or f"{trials.name}-noisy")
            _describe(part, made, rows)
    except OSError as error:
        raise UsageError(
            f"Cannot write the set {out}: {error.strerror or error}. Choose another place."
        ) from None
    return made


def _describe(part: Path, made: TrialList, rows: Sequence[Sequence[str]]) -> None:
    """Write the list, the manifest, and the settings with the hashes of the two."""
    made.write(part / LIST)
    lines = ["\t".join(COLUMNS), *("\t".join(row) for row in rows)]
    manifest = ("\n".join(lines) + "\n").encode()
    (part / MANIFEST).write_bytes(manifest)
    told = made.settings | {
        "name": made.name,
        "files": len(rows),
        LIST: made.sha256,
        MANIFEST: hashlib.sha256(manifest).hexdigest(),
        "encoder": soundfile.__libsndfile_version__,
    }
    (part / SETTINGS).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")


def _write_clips(
    trials: TrialList,
    part: Path,
    folder: str,
    simulation: Simulation,
    store: PcmStore,
    speech: Path,
) -> tuple[TrialList, list[Sequence[str]]]:
    """Write the clips' files; returns the trials of them, and the manifest's rows."""
    aside, clips, rows, clean = SetAside(trials.name), [], {}, hashlib.sha256()
    place = np.full(len(trials.clips), -1)
    for number, clip in enumerate(tqdm(trials.clips, desc="disturb", unit="clip", disable=None)):
        samples, reason = _read(store, str(speech / clip.path), clip)
        if reason:
            aside.add(number, reason, f"{clip.path} {clip.start_s} s to {clip.end_s} s")
            continue
        path = _file_of(clip)
        if path not in rows:
            clean.update(samples.tobytes())
            noisy, drawn = simulation.disturb(samples, clip)
            rows[path] = _row(path, clip, noisy, drawn, _write_flac(part / path, noisy))
        place[number] = len(clips)
        clips.append(Clip(f"{folder}/{path}", 0.0, math.inf, clip.text, clip.group))
    _tell(aside, trials)
    kept = place[trials.pair_clip] >= 0
    settings = {
        "of": trials.sha256,
        "speech": clean.hexdigest(),
        "clips_set_aside": aside.count,
        **simulation.told(),
    }
    columns = (place[trials.pair_clip[kept]], trials.pair_text[kept], trials.pair_label[kept])
    made = TrialList(trials.name, trials.protocol, clips, trials.texts, *columns, settings)
    return made, list(rows.values())


def _tell(aside: SetAside, trials: TrialList) -> None:
    if aside.count == len(trials.clips):
        raise DataError(
            f"None of the {aside.count} clips of {trials.name!r} can be used "
            f"({aside.summary()}). Expected: recordings in the speech folder. First: "
            f"{aside.shown[0] if aside.shown else 'there are none'}."
        )
    if aside.count:
        logger.warning(
            "%s: %d of %d clips set aside with their trials (%s). First: %s", trials.name,
            aside.count, len(trials.clips), aside.summary(), "; ".join(aside.shown),
        )  # fmt: skip


def _read(store: PcmStore, path: str, clip: Clip) -> tuple[np.ndarray, str | None]:
    """A clip's samples, and why it cannot be used."""
    if path not in store:
        return np.zeros(0, np.float32), "recording cannot be decoded"
    samples = store.read(path, clip.start_s, clip.end_s)
    silent = not len(samples) or float(np.mean(np.square(samples))) < SILENT_POWER
    return samples, "nothing is heard between these times" if silent else None


def _write_flac(path: Path, samples: np.ndarray) -> str:
    """Write samples in [-1, 1] as 16 bits; returns the file's sha256."""
    rounded = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, rounded, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _row(path: str, clip: Clip, samples: np.ndarray, drawn: Drawn, sha256: str) -> tuple[str, ...]:
    duration_s = f"{len(samples) / SAMPLE_RATE_HZ:.4f}"
    return (
        path, clip.text, "", duration_s, clip.path, f"{clip.start_s}", f"{clip.end_s}",
        drawn.kind, SEPARATOR.join(drawn.recordings),
        SEPARATOR.join(f"{start_s:.6f}" for start_s in drawn.starts_s), f"{drawn.snr_db:.6f}",
        drawn.impulse_response, sha256,
    )  # fmt: skip


def _file_of(clip: Clip) -> str:
    name = clip_digest(clip).hex()[:20]
    return f"audio/{name[:2]}/{name}.flac"
