"""A run or an export as files for other runtimes, with what they lose on real clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from adml.audio.features import hann_window, mel_matrix
from adml.experiment import default_cache, export_run
from adml.export.blocks import Blocks
from adml.export.fresh import Stretch, make_speech
from adml.export.runtimes import RuntimeExport, export_runtime, require_runtime
from adml.export.saved_model import REFERENCE, require_free
from adml.export.verification import made_clips
from adml.metrics.detection import REFRACTORY_S
from adml.runtime_losses import Figures, read_spoken
from adml.spotting import phones
from adml.spotting.hearing import Places
from adml.spotting.replay import Replay
from adml.spotting.spotter import (
    ACOUSTIC,
    FRONT_END,
    KeywordSpotter,
    find_export,
    holds_export,
)
from adml.text.phonemes import PHONES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeExports:
    """What was written, and what the SavedModel and each of the files find in the same clips.

    `figures` and `reference` are None where no set of clips was given.
    """

    files: tuple[RuntimeExport, ...]
    figures: tuple[Figures | None, ...]
    reference: Figures | None
    source: Path

    def to_dict(self) -> dict:
        """Return all as plain values."""
        return {
            "source": str(self.source),
            "saved_model": asdict(self.reference) if self.reference else None,
            "files": [one.to_dict() | (asdict(figures) if figures else {})
                      for one, figures in zip(self.files, self.figures, strict=True)],
        }  # fmt: skip

    def table(self) -> str:
        """Return a Markdown table."""
        head = ["files", "MB", "largest difference", "cosine, least", "mean", "ms a block"]
        rows = [
            [one.folder.name, f"{one.megabytes:.1f}", f"{one.difference:.1e}",
             f"{one.cosine_min:.5f}", f"{one.cosine_mean:.5f}", f"{one.block_ms:.1f}"]
            for one in self.files
        ]  # fmt: skip
        if self.reference is not None:
            head += ["AP %", "EER %", "running AP %", "scores move, mean", "largest"]
            rows = [row + _cells(one) for row, one in zip(rows, self.figures, strict=True)]
            rows.insert(0, ["SavedModel", *[""] * 5, *_cells(self.reference)])
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(figures: Figures) -> list[str]:
    moves = (figures.score_move_mean, figures.score_move_largest)
    shares = (figures.average_precision, figures.equal_error_rate)
    shares += (figures.running_average_precision,)
    cells = ["" if value is None else f"{value:.2f}" for value in shares]
    return cells + [f"{value:.4f}" for value in moves]


def export_for_runtimes(
    model: str | Path | None,
    *,
    formats: Sequence[str],
    precisions: Sequence[str] = ("float32",),
    out: str | Path | None = None,
    clips: str | Path | None = None,
    checkpoint: str = "latest",
    cache: Path | None = None,
) -> RuntimeExports:
    """Write a folder for each format and precision, such as `litert-int8`, from the SavedModels.

    The SavedModels are those of an export; of a run, those in its `export/`, which are made first
    where they are not there.

    Args:
        model: run folder or export folder; the weights in the package where None, with `out`.
        formats: of "litert" and "onnx".
        precisions: of "float32", "float16" and "int8".
        out: where the folders go; beside the SavedModels where None.
        clips: a set of words or clips on which losses are measured; without it made sounds are
            used, and no accuracy is told.
        checkpoint: for SavedModels that are to be made.
        cache: folder for decoded speech.

    Returns:
        What was measured.

    Raises:
        UsageError, DataError, NumericError: see `export_runtime`. What was written before stays.
    """
    for kind in formats:
        require_runtime(kind)
    source = find_export() if model is None else _source(Path(model), checkpoint)
    out = Path(out) if out else source
    for kind in formats:
        for precision in precisions:
            require_free(out / f"{kind}-{precision}")
    spotter = KeywordSpotter.load(source)
    places = Places()
    blocks = Blocks(places.block, places.hop // places.step, places.lengths)
    spoken = read_spoken(Path(clips), spotter, cache or default_cache()) if clips else None
    replay = Replay(spotter, spoken.recordings if spoken else (), ends=blocks.ends)
    running = [Stretch(*asked) for asked in replay.asked]
    heard = spoken.clips if spoken else _made(source)
    speech = make_speech(source / ACOUSTIC, heard, blocks, real=bool(spoken), running=running)
    described = _described(source, spotter.model, places, blocks)
    own = spoken and spoken.figures(spoken.embed(len(speech.clips)), spoken.scores)
    files, figures = [], []
    for kind in formats:
        for precision in precisions:
            logger.info("%s, %s", kind, precision)
            told, answers = export_runtime(
                source, out / f"{kind}-{precision}", kind=kind, precision=precision,
                blocks=blocks, speech=speech, described=described, beside=[Path(phones.__file__)],
            )  # fmt: skip
            files.append(told)
            scores = replay.scores(spoken.keywords if spoken else (), answers.running)
            figures.append(spoken and spoken.figures(answers.clips, scores))
    return RuntimeExports(tuple(files), tuple(figures), own, source)


def _source(model: Path, checkpoint: str) -> Path:
    """The export folder at a path; that of a run is made where it is not there."""
    for folder in (model, model / "export"):
        if holds_export(folder):
            if checkpoint != "latest":
                require_free(folder)
            return folder
    export_run(model, checkpoint=checkpoint)
    return model / "export"


def _made(source: Path) -> list[np.ndarray]:
    """The sounds that the SavedModels were checked with."""
    if not (source / REFERENCE).is_file():
        return made_clips(np.random.default_rng(0))
    with np.load(source / REFERENCE, allow_pickle=False) as held:
        pairs = zip(held["waveform"], held["waveform_lengths"], strict=True)
        return [row[:length] for row, length in pairs]


def _described(source: Path, model: str, places: Places, blocks: Blocks) -> dict:
    """What a detector must know beside the encoder."""
    front_end = json.loads((source / FRONT_END).read_text(encoding="utf-8"))
    rate_hz, fft_size = front_end["sample_rate_hz"], front_end["fft_size"]
    window, shift = (round(rate_hz * front_end[name] / 1000) for name in ("window_ms", "shift_ms"))
    edges = (front_end["low_hz"], front_end["high_hz"])
    mel = mel_matrix(front_end["mel_bins"], fft_size, rate_hz, *edges)
    return {
        "model": model,
        "sample_rate_hz": rate_hz,
        "shift": shift,
        "shift_s": shift / rate_hz,
        "fft_size": fft_size,
        "floor": front_end["floor"],
        **asdict(places),
        "ends": blocks.ends,
        "phones": PHONES,
        "refractory_s": REFRACTORY_S,
        "taper": hann_window(window).round(9).tolist(),
        "mel": mel.round(9).tolist(),
    }
