"""Files for other runtimes, made of the SavedModels and checked before they get their name.

A folder holds the encoders, `model.json` (what a front end and a detector must know) and
`detect.py`, an example that needs the runtime and NumPy alone, with what lies `beside` it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adml.errors import DataError, NumericError, UsageError
from adml.export import litert, onnx
from adml.export.blocks import Blocks
from adml.export.fresh import CLIPS, RUNNING, Speech, Told, run_fresh
from adml.export.saved_model import written_aside

FORMATS = {"litert": litert, "onnx": onnx}
PRECISIONS = ("float32", "float16", "int8")
TOLERANCES = {"float32": 1e-4, "float16": 0.02, "int8": 0.1}
"""Largest difference from the SavedModel, relative to the largest value where that is above 1."""

MODEL = "model.json"
EXAMPLE = "detect.py"


@dataclass(frozen=True)
class RuntimeExport:
    """Where files for a runtime are, and what was measured in it.

    `difference` is the largest one from the SavedModel over all outputs; `cosine_min` and
    `cosine_mean` compare embeddings of whole clips with those of the SavedModel; `block_ms` is the
    median time of one block on one thread; `megabytes` of the acoustic encoder.
    """

    folder: Path
    format: str
    precision: str
    difference: float
    tolerance: float
    cosine_min: float
    cosine_mean: float
    clips: int
    real_clips: bool
    megabytes: float
    block_ms: float

    def to_dict(self) -> dict:
        """Return all as plain values."""
        return asdict(self) | {"folder": str(self.folder)}


class Answers(NamedTuple):
    """What the files say: embeddings [n, D] of the clips; the outputs for each running block."""

    clips: np.ndarray
    running: list[dict[str, np.ndarray]]


def require_runtime(kind: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        UsageError: one is lacking.
    """
    lacking = [name for module, name in FORMATS[kind].REQUIRED.items()
               if importlib.util.find_spec(module) is None]  # fmt: skip
    if lacking:
        raise UsageError(
            f"The format {kind} needs {', '.join(lacking)}, which is not installed. Install the "
            "extra: pip install -c constraints.txt -e '.[export]'"
        )


def export_runtime(
    source: str | Path,
    folder: str | Path,
    *,
    kind: str,
    precision: str,
    blocks: Blocks,
    speech: Speech,
    described: dict,
    beside: Sequence[Path] = (),
) -> tuple[RuntimeExport, Answers]:
    """Convert the SavedModels of an export, run the files in a fresh process, then name the folder.

    Args:
        source: export folder with `acoustic/` and `text/`.
        folder: new folder to write.
        kind: "litert" or "onnx".
        precision: "float32", "float16" or "int8".
        blocks: shapes of what is heard at once.
        speech: what the files are run on.
        described: what `model.json` is to tell.
        beside: files that are copied, which the example reads.

    Returns:
        What was measured, and what the files said.

    Raises:
        UsageError: a package is lacking, the folder exists or cannot be written.
        DataError: the files do not run with the runtime alone.
        NumericError: they differ by more than the tolerance. In all cases no folder is left.
    """
    require_runtime(kind)
    source, folder, module = Path(source), Path(folder), FORMATS[kind]
    with written_aside(folder) as aside:
        with _quiet():
            calls = module.convert(source, aside, blocks, precision, speech)
        (aside / MODEL).write_text(json.dumps({"format": kind, "precision": precision} | described))
        (aside / EXAMPLE).write_text(example(kind), encoding="utf-8")
        for path in beside:
            shutil.copyfile(path, aside / path.name)
        told = run_fresh(module.OPENED, aside, calls)
        names = [call.name for call in calls]
        difference = _require_near(folder, told, names, precision)
        megabytes = (aside / module.ACOUSTIC).stat().st_size / 1e6
    made, cosines = _of_clips(told, names.index(CLIPS))
    running = told.told[names.index(RUNNING)] if RUNNING in names else []
    return RuntimeExport(
        *(folder, kind, precision, difference, TOLERANCES[precision]),
        *(float(cosines.min()), float(cosines.mean()), len(cosines), speech.real),
        megabytes=megabytes,
        block_ms=told.block_ms,
    ), Answers(made, running)


def _of_clips(told: Told, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [n, D] of the clips, and their cosines to those that were expected."""
    made, truth = (
        np.stack([np.ravel(answer["embedding"]) for answer in answers[place]])
        for answers in (told.told, told.expected)
    )
    return made, np.sum(made * truth, axis=1) / np.linalg.norm(made, axis=1)


def example(kind: str) -> str:
    """Source of a program that detects keywords by the files, its runtime and NumPy alone.

    Args:
        kind: "litert" or "onnx".
    """
    text = Path(__file__).with_name("example.txt").read_text(encoding="utf-8")
    for mark, part in FORMATS[kind].EXAMPLE.items():
        text = text.replace(mark, part)
    return text


def _require_near(folder: Path, told: Told, names: list[str], precision: str) -> float:
    """The largest difference of all outputs."""
    worst, place = 0.0, ""
    for name, answers, expected in zip(names, told.told, told.expected, strict=True):
        for answer, truth in zip(answers, expected, strict=True):
            for output, value in answer.items():
                found = _difference(folder, f"{output} of the {name}", value, truth[output])
                if not found <= worst:
                    worst, place = found, f"{output} of the {name}"
    if not worst <= TOLERANCES[precision]:
        raise NumericError(
            f"The {precision} files for {folder} differ from the SavedModel in {place}. Expected: "
            f"at most {TOLERANCES[precision]:g}. Received: {worst:.4g}. They were not kept."
        )
    return worst


def _difference(folder: Path, name: str, value: np.ndarray, truth: np.ndarray) -> float:
    if value.shape != truth.shape:
        raise DataError(
            f"The files for {folder} give another shape of {name}. Expected: {truth.shape}. "
            f"Received: {value.shape}. They were not kept."
        )
    scale = max(1.0, float(np.abs(truth).max()))
    difference = float(np.abs(value.astype(np.float64) - truth).max()) / scale
    return difference if difference == difference else float("inf")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the converters log of their own doings."""
    logger = logging.getLogger()
    before = logger.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
