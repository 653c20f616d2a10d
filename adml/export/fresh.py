"""Runs an exported file in a fresh process that has its runtime and NumPy alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from adml.errors import DataError
from adml.export.blocks import Blocks, FrontEnd

BLOCK, CLIPS, RUNNING = "block", "clips", "running audio"
_STRETCHES = 40
_SHARE = 5

_PROGRAM = """
import json, sys, time
import numpy as np

folder, work = sys.argv[1:]
given, told, seconds = dict(np.load(work + "/given.npz")), {}, []
with open(work + "/calls.json") as file:
    calls = json.load(file)
for place, (name, signature, number, repeats) in enumerate(calls):
    run = opened(folder + "/" + name, signature)
    for one in range(number):
        prefix = "%d.%d." % (place, one)
        inputs = {key[len(prefix):]: given[key] for key in given if key.startswith(prefix)}
        for key, value in run(**inputs).items():
            told[prefix + key] = np.array(value)
        for _ in range(repeats if one == 0 else 0):
            begin = time.perf_counter()
            run(**inputs)
            seconds.append(time.perf_counter() - begin)
np.savez(work + "/told.npz", **told)
strangers = sorted({"adml", "keras", "tensorflow", "tf_keras"} & set(sys.modules))
with open(work + "/said.json", "w") as file:
    json.dump({"strangers": strangers, "seconds": seconds}, file)
"""


class Stretch(NamedTuple):
    """Frames of running audio float32 [F, M], and where spans in them end, int32 [E]."""

    log_mel: np.ndarray
    ends: np.ndarray


class Speech(NamedTuple):
    """What files are run on: stretches of running audio; clips [T] and their features [F, M].

    `real` tells it from sound that was made up. `running` are the blocks of whole streams, as a
    detector asks them.
    """

    stretches: list[Stretch]
    clips: list[np.ndarray]
    features: list[np.ndarray]
    real: bool
    running: Sequence[Stretch] = ()


class Call(NamedTuple):
    """What a signature of a file is asked, and the function that knows the answers.

    `held` is what holds the function's variables, which would die.
    """

    name: str
    file: str
    signature: str
    inputs: list[dict[str, np.ndarray]]
    truth: Callable
    held: object


class Told(NamedTuple):
    """The answers of a file, those that were expected, and milliseconds of the first call."""

    told: list[list[dict[str, np.ndarray]]]
    expected: list[list[dict[str, np.ndarray]]]
    block_ms: float


def make_speech(
    acoustic: str | Path, clips: Sequence[np.ndarray], blocks: Blocks, *, real: bool,
    running: Sequence[Stretch] = (),
) -> Speech:  # fmt: skip
    """Features of clips; of a fifth of them, one after the other, blocks of running audio.

    That fifth is not among the clips of the result, but where there are few.

    Args:
        acoustic: SavedModel with the front end.
        clips: float32 [T] waveforms.
        blocks: sizes of a block.
        real: whether they are recordings.
        running: blocks of whole streams.
    """
    front_end = FrontEnd(acoustic)

    def features(samples: np.ndarray) -> np.ndarray:
        return front_end.log_mel(tf.constant(samples[np.newaxis]))["log_mel"].numpy()[0]

    share = len(clips) // _SHARE
    joined = features(np.concatenate(clips[:share] if share else clips))
    starts = range(0, max(1, len(joined) - blocks.frames + 1), blocks.frames)[:_STRETCHES]
    stretches = [_stretch(joined[start : start + blocks.frames], blocks) for start in starts]
    begin = [joined[: blocks.frames // part] for part in (4, 2)]
    stretches += [_stretch(part, blocks) for part in begin if len(part)]
    kept = list(clips[share:])
    return Speech(stretches, kept, [features(clip) for clip in kept], real, running)


def _stretch(log_mel: np.ndarray, blocks: Blocks) -> Stretch:
    ends = np.linspace(1, len(log_mel), blocks.ends).astype(np.int32)
    return Stretch(log_mel, ends)


def run_fresh(opened: str, folder: Path, calls: Sequence[Call], *, repeats: int = 30) -> Told:
    """Ask the files of a folder in a fresh process, one thread.

    Args:
        opened: source of a function opened(path, signature), which gives a callable of named
            arrays that returns named arrays.
        folder: the files.
        calls: what is asked; the first one is timed with its first input.
        repeats: so many times; the median counts.

    Raises:
        DataError: a file does not load or run, or needs more than its runtime.
    """
    expected = [[_truth(call, inputs) for inputs in call.inputs] for call in calls]
    with tempfile.TemporaryDirectory() as work:
        given = {
            f"{place}.{one}.{key}": value
            for place, call in enumerate(calls)
            for one, inputs in enumerate(call.inputs)
            for key, value in inputs.items()
        }
        np.savez(Path(work, "given.npz"), **given)
        listed = [(call.file, call.signature, len(call.inputs), 0 if place else repeats)
                  for place, call in enumerate(calls)]  # fmt: skip
        Path(work, "calls.json").write_text(json.dumps(listed))
        _run(opened + _PROGRAM, folder, work)
        said = json.loads(Path(work, "said.json").read_text())
        with np.load(Path(work, "told.npz"), allow_pickle=False) as arrays:
            told = [[{name: arrays[f"{place}.{one}.{name}"] for name in answer}
                     for one, answer in enumerate(answers)]
                    for place, answers in enumerate(expected)]  # fmt: skip
    if said["strangers"]:
        raise DataError(
            f"The files in {folder} need more than their runtime. Expected: no other package. "
            f"Received: {', '.join(said['strangers'])} came along."
        )
    return Told(told, expected, 1000 * float(np.median(said["seconds"])))


def _truth(call: Call, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    told = call.truth(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in told.items()}


def _run(program: str, folder: Path, work: str) -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(folder.resolve()), work],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(
            f"The files in {folder} do not run in a fresh process. Expected: they load with their "
            f"runtime alone. Received: {last} Export again; if it stays, report it."
        )
