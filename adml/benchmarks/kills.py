"""Whether a training that is killed again and again ends as an undisturbed one, bit by bit."""

from __future__ import annotations

import contextlib
import csv
import logging
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.benchmarks.noise import make_noise_corpus, noise_config
from adml.config import Config, dump_config
from adml.errors import NumericError

logger = logging.getLogger(__name__)

_TRAIN = """
import sys
from pathlib import Path
from adml.config import load_config
from adml.experiment import train
config, folder, cache = map(Path, sys.argv[1:])
train(load_config(config), folder, resume=folder.is_dir(), cache=cache)
"""
_TABLES = ("metrics.csv", "constants.csv", "gradient_norms.csv")
_TIMINGS = (
    "seconds",
    "utterances_per_second",
    "wait_fraction",
    "memory_mb",
    "remaining_seconds",
)
_LONGEST_START_S = 300.0
_LONGEST_PAUSE_S = {"saving": 0.02, "stepping": 0.3, "anywhere": 20.0}
_KINDS = ("saving", "saving", "stepping", "anywhere")


def kill_benchmark(kills: int = 20, *, steps: int = 40, seed: int = 0) -> dict:
    """Kill a small training by SIGKILL at random moments, half of them within a save.

    The corpus is noise under random words; the model has its full acoustic encoder. Each start
    is a process of its own that goes on from what the one before left.

    Args:
        kills: how many; a training that is whole before is begun no more.
        steps: of the training, with a checkpoint at every second.
        seed: of corpus and moments.

    Returns:
        `kills`: kind, steps in the log and whether a half-written checkpoint was left, of each;
        `within_a_save`: how many left one; `tensors`, `rows`: how many were compared.

    Raises:
        NumericError: the killed training ended otherwise than the straight one.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        config = _config(make_noise_corpus(place, seed), steps)
        (place / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        _finish(place, "straight")
        told = []
        for number in tqdm(range(kills), "kills", disable=None):
            told.append(_kill(place, _KINDS[number % len(_KINDS)], rng))
            logger.info("%s", told[-1])
        _finish(place, "killed")
        compared = _compare(place / "straight", place / "killed", steps)
    return {
        "kills": told,
        "killed": sum(one["killed"] for one in told),
        "within_a_save": sum(one["half_written"] for one in told),
        "steps": steps,
        **compared,
    }


def format_kill_benchmark(values: dict) -> str:
    """Returns a sentence."""
    return (
        f"killed {values['killed']} times in {values['steps']} steps, {values['within_a_save']} of "
        f"them within a save: {values['tensors']} tensors and {values['rows']} rows are those of "
        "the straight run, bit by bit"
    )


def _start(place: Path, name: str) -> subprocess.Popen:
    command = [sys.executable, "-c", _TRAIN, *(str(place / part) for part in
               ("config.yaml", name, "cache"))]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _finish(place: Path, name: str) -> None:
    process = _start(place, name)
    _, said = process.communicate()
    if process.returncode:
        raise NumericError(
            f"The {name} training ended by {process.returncode}. Expected: 0. It said: "
            f"{said.strip().splitlines()[-1:]}"
        )


def _kill(place: Path, kind: str, rng: np.random.Generator) -> dict:
    """Start, wait for a moment of a kind, kill; the moment is drawn within it.

    "saving": while a checkpoint is written; "stepping": some steps after the start; "anywhere":
    within so many seconds, so in a start too.
    """
    folder = place / "killed"
    rows, left = _steps_in_log(folder), _half_written(folder)
    wanted, process = rows + int(rng.integers(1, 4)), _start(place, "killed")
    pause_s = rng.uniform(0.0, _LONGEST_PAUSE_S[kind])
    limit = time.monotonic() + (_LONGEST_START_S if kind != "anywhere" else 0.0)
    while process.poll() is None and time.monotonic() < limit:
        if kind == "saving" and _half_written(folder) - left:
            break
        if kind == "stepping" and _steps_in_log(folder) >= wanted:
            break
        time.sleep(0.001)
    time.sleep(pause_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return {
        "kind": kind,
        "killed": process.returncode == -signal.SIGKILL,
        "steps_in_log": _steps_in_log(folder),
        "half_written": bool(_half_written(folder) - left),
    }


def _half_written(folder: Path) -> set[tuple[str, int]]:
    """Checkpoints in the making, with when they were touched: an earlier kill may have left one."""
    found = set()
    for path in folder.glob("checkpoints/*.part"):
        with contextlib.suppress(OSError):
            found.add((path.name, path.stat().st_ctime_ns))
    return found


def _steps_in_log(folder: Path) -> int:
    path = folder / "metrics.csv"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.is_file() else 0


def _compare(straight: Path, killed: Path, steps: int) -> dict:
    """How much was compared; NumericError where anything differs."""
    ours, theirs = (_state(folder, steps) for folder in (killed, straight))
    differing = [name for name in theirs if not _same(ours.get(name), theirs[name])]
    rows = 0
    for name in _TABLES:
        one, other = (_rows(folder / name) for folder in (killed, straight))
        differing += [] if one == other else [name]
        rows += len(other)
    if differing or set(ours) != set(theirs):
        raise NumericError(
            f"The killed training is another. Expected: {len(theirs)} tensors and {rows} rows of "
            f"the same bits. Received: others in {len(differing)}, such as {differing[:3]}. "
            "Report this."
        )
    return {"tensors": len(theirs), "rows": rows}


def _state(folder: Path, step: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / f"checkpoints/step-{step:08d}/state"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


def _same(ours: np.ndarray | None, theirs: np.ndarray) -> bool:
    return ours is not None and np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table less the columns that measure time."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in _TIMINGS} for row in rows]


def _config(root: Path, steps: int) -> Config:
    """Small batches, run eagerly, so that most of the time is not spent on tracing a graph."""
    config = noise_config(root, 4)
    return replace(
        config,
        batches=replace(config.batches, keyword_classes=6),
        model=replace(config.model, text_units=8),
        training=replace(
            config.training,
            steps=steps,
            compile=False,
            log_every_steps=1,
            checkpoint_every_steps=2,
            gradient_norms_every_steps=10,
        ),
    )
