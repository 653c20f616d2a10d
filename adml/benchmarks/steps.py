"""Training steps of several sizes and kinds, each in a process of its own: time, memory, losses."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.benchmarks.memory import peak_mb
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
KINDS: dict[str, tuple[dict, dict]] = {
    "float32": ({}, {}),
    "bfloat16 (training.autocast)": ({"autocast": "bfloat16"}, {}),
    "float32, deterministic": ({"deterministic": True}, {}),
    "float32 without oneDNN": ({}, {ONEDNN: "0"}),
    "encoder alone": ({"encoder": "fast"}, {}),
    "encoder of plain Keras layers alone": ({"encoder": "plain"}, {}),
    "the same, XLA": ({"encoder": "plain", "xla": True}, {}),
}
"""What is compared: arguments of `measure`, and variables of the environment."""

_MEASURE = "import sys, json; from adml.benchmarks.steps import measure; " \
    "print(json.dumps(measure(**json.loads(sys.argv[1]))))"  # fmt: skip
_FITTED = (0, 2, 4)
"""Places of the sizes that the model of the cost is fitted to; the others check it."""


def measure(
    keywords: int,
    steps: int,
    *,
    autocast: str = "none",
    deterministic: bool = False,
    encoder: str = "",
    xla: bool = False,
) -> dict:
    """Measure in this process, which should be one of its own.

    Args:
        keywords: K; batches have 2 K utterances.
        steps: measured after two that are not.
        autocast, deterministic: as `training.autocast` and `training.deterministic`.
        encoder: "fast" or "plain": train that acoustic encoder alone, on the first batch.
        xla: compile it by XLA, which takes neither the whole step nor the fast encoder: both
            work on as many frames or phonemes as are valid, and it wants shapes that are known.

    Returns:
        `seconds` of each step; `first_seconds`: of the first, tracing included; `losses`: total
        of each step; `peak_mb`; and of the batches together `audio_seconds`, `text_phonemes`
        (means a batch), `batch_size`, `classes`.
    """
    import tensorflow as tf

    from adml.benchmarks.noise import make_noise_corpus, noise_config
    from adml.build.training import build_training
    from adml.numerics.autocast import autocast as lowered
    from adml.text.g2p import G2P
    from adml.training.seeding import set_seeds

    set_seeds(0)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    with tempfile.TemporaryDirectory() as folder, lowered(autocast):
        config = noise_config(make_noise_corpus(Path(folder), 0), keywords)
        training = build_training(config, Path(folder), G2P())
        epoch = training.source.batches_per_epoch
        batches = [training.source.batch(*divmod(step, epoch)) for step in range(steps + 2)]
        seconds, losses, start = [], [], time.perf_counter()
        run = training.step
        if encoder:
            run = _encoder(training, batches[0], encoder == "fast", xla)
        for batch in batches:
            found = run(batch)
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            losses.append(found["total"] if found else None)
    return {
        "seconds": seconds[2:],
        "first_seconds": seconds[0],
        "losses": losses,
        "peak_mb": peak_mb(),
        "audio_seconds": float(np.mean([b["waveform_lengths"].sum() / 16000 for b in batches])),
        "text_phonemes": float(np.mean([b["phoneme_lengths"].sum() for b in batches])),
        "batch_size": 2 * keywords,
        "classes": training.source.num_classes,
    }


def _encoder(training, batch, fast: bool, xla: bool):
    import tensorflow as tf

    from adml.benchmarks.encoder import encoder_stepper

    waveforms = (tf.convert_to_tensor(batch[key]) for key in ("waveform", "waveform_lengths"))
    step = encoder_stepper(fast, *training.step.log_mel(*waveforms), xla=xla)
    return lambda batch: step()


def kinds_benchmark(batch_size: int = 128, *, rounds: int = 2, steps: int = 6) -> list[dict]:
    """Measure each of `KINDS`, all in turn, so many times.

    Returns:
        A row each: `kind`, `seconds` (median), `low`, `high`, `first_seconds`, `peak_mb`,
        `loss_difference`: largest over the steps from float32's, relative; None of what has
        no losses, and of all figures where the kind failed, whose `error` is told.
    """
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for _ in tqdm(range(rounds), "kinds", unit="round", disable=None):
        for kind, (options, variables) in KINDS.items():
            asked = {"keywords": batch_size // 2, "steps": steps, **options}
            found[kind].append(_in_a_process(asked, variables))
    plain = found["float32"][0].get("losses")
    return [{"kind": kind, **_summary(runs, plain)} for kind, runs in found.items()]


def _summary(runs: Sequence[Mapping], plain: list | None) -> dict:
    if "error" in runs[0]:
        return {"error": runs[0]["error"]}
    seconds = [one for run in runs for one in run["seconds"]]
    losses, difference = runs[0]["losses"], None
    if plain and None not in losses:
        difference = max(abs(a - b) / abs(b) for a, b in zip(losses, plain, strict=True))
    return {
        "seconds": statistics.median(seconds),
        "low": min(seconds),
        "high": max(seconds),
        "first_seconds": statistics.median(run["first_seconds"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "loss_difference": difference,
        "batch_size": runs[0]["batch_size"],
    }


def sizes_benchmark(sizes: Sequence[int], *, steps: int = 4) -> dict:
    """Measure steps of several batch sizes, and how well a model of the cost foretells them.

    The model, fitted to the first, third and fifth size: a constant, a part that grows with the
    seconds of audio, and one that grows with the cells of text phonemes by audio phonemes.

    Args:
        sizes: batch sizes B, five of them, each at least 4 and each once.
        steps: of each.

    Returns:
        `rows`: what `measure` gives, with `predicted_seconds` and `predicted_mb`;
        `seconds_model`, `mb_model`: the three coefficients.

    Raises:
        UsageError: a size is too small, or stands there twice.
        DataError: a size could not be measured.
    """
    if min(sizes) < 4 or len(set(sizes)) < len(sizes):
        raise UsageError(
            "The batch sizes are wrong. Expected: each at least 4, two keywords of two utterances, "
            f"and each once. Received: {', '.join(map(str, sizes))}."
        )
    rows = []
    for size in tqdm(sizes, "sizes", unit="size", disable=None):
        row = _in_a_process({"keywords": size // 2, "steps": steps}, {})
        if "error" in row:
            raise DataError(f"A batch of {size} could not be measured: {row['error']}")
        rows.append({**row, "median_seconds": statistics.median(row["seconds"])})
    costs = np.array([_costs(row) for row in rows])
    fitted, models = [place for place in _FITTED if place < len(rows)], {}
    for name, column in (("seconds", "median_seconds"), ("mb", "peak_mb")):
        wanted = np.array([row[column] for row in rows])
        model, *_ = np.linalg.lstsq(costs[fitted], wanted[fitted], rcond=None)
        models[f"{name}_model"] = model.tolist()
        for row, value in zip(rows, costs @ model, strict=True):
            row[f"predicted_{name}"] = float(value)
    return {"rows": rows, **models, "fitted": [rows[place]["batch_size"] for place in fitted]}


def _costs(row: Mapping) -> list[float]:
    """1, seconds of audio, and millions of cells of text phonemes by audio phonemes."""
    return [1.0, row["audio_seconds"], 2 * row["text_phonemes"] ** 2 / 1e6]


def _in_a_process(arguments: dict, variables: Mapping[str, str]) -> dict:
    command = [sys.executable, "-c", _MEASURE, json.dumps(arguments)]
    environment = os.environ | dict(variables)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        error = (done.stderr.strip().splitlines() or ["killed"])[-1][:300]
        logger.warning("%s: %s", arguments, error)
        return {"error": error}
    return json.loads(done.stdout.splitlines()[-1])


def format_kinds(rows: Sequence[Mapping]) -> str:
    """Returns `kinds_benchmark` as a table of Markdown."""
    lines = [
        "| kind | seconds a step | least to most | the first | peak GiB | loss differs by |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['kind']} | fails | | | | |")
            continue
        apart = row["loss_difference"]
        lines.append(
            f"| {row['kind']} | {row['seconds']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
            f"| {row['first_seconds']:.1f} | {row['peak_mb'] / 1024:.2f} "
            f"| {'' if apart is None else f'{apart:.1e}'} |"
        )
    return "\n".join(lines)


def format_sizes(values: Mapping) -> str:
    """Returns `sizes_benchmark` as a table of Markdown."""
    lines = [
        "| batch | audio, s | text phonemes | seconds a step | least to most | foretold "
        "| peak GiB | foretold |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in values["rows"]:
        mark = "" if row["batch_size"] in values["fitted"] else " (not fitted)"
        low, high = min(row["seconds"]), max(row["seconds"])
        lines.append(
            f"| {row['batch_size']}{mark} | {row['audio_seconds']:.0f} "
            f"| {row['text_phonemes']:.0f} | {row['median_seconds']:.2f} | {low:.2f} to {high:.2f} "
            f"| {row['predicted_seconds']:.2f} | {row['peak_mb'] / 1024:.2f} "
            f"| {row['predicted_mb'] / 1024:.2f} |"
        )
    return "\n".join(lines)
