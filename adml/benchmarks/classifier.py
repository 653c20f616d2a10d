"""What the keyword classifier costs in time and memory, whole and a chunk of classes at a time."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from adml.benchmarks.memory import peak_mb
from adml.errors import NumericError
from adml.losses.layers import KeywordClassifier

logger = logging.getLogger(__name__)

_MEASURE = "import sys, json; from adml.benchmarks.classifier import measure; " \
    "print(json.dumps(measure(*map(int, sys.argv[1:]))))"  # fmt: skip


def classifier_benchmark(
    classes: Sequence[int], *, batch_size: int = 500, chunk: int = 16384, steps: int = 3
) -> list[dict]:
    """Measure SphereFace2 forward and backward, each size and way in a process of its own.

    Args:
        classes: numbers of classes C.
        batch_size: utterances B; the paper has 500.
        chunk: classes at a time.
        steps: measured after one that is not.

    Returns:
        For each C a dict of `classes`, and `whole` and `chunked` with `seconds` of wall time a
        step, `peak_mb` over what the process held before its first step, and the `loss`; `whole`
        is None where it ran out of memory.

    Raises:
        NumericError: the two losses differ by more than rounding.
    """
    rows = []
    for count in tqdm(classes, "classifier", unit="size", disable=None):
        row = {"classes": count, "batch_size": batch_size, "chunk": chunk}
        for name, at_once in (("whole", count), ("chunked", min(chunk, count))):
            row[name] = _in_a_process(count, batch_size, at_once, steps)
        rows.append(row)
        both = [row[name]["loss"] for name in ("whole", "chunked") if row[name]]
        if np.ptp(both) > 1e-3 * abs(both[0]):
            raise NumericError(
                f"The classifier's losses differ. Expected: the same to 0.1 %. Received: {both} "
                f"for {count} classes, whole and chunked. Report this."
            )
    return rows


def measure(classes: int, batch_size: int, chunk: int, steps: int) -> dict:
    """Measure in this process, which should be one of its own; see `classifier_benchmark`."""
    keras.utils.set_random_seed(0)
    layer = KeywordClassifier(classes, chunk=chunk)
    rng = np.random.default_rng(0)
    embeddings = tf.constant(rng.standard_normal((batch_size, 256)), tf.float32)
    labels = tf.constant(rng.integers(0, classes, batch_size), tf.int32)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = tf.reduce_mean(layer(embeddings, labels))
        sources = [embeddings, *layer.trainable_variables]
        return loss, [tf.reduce_sum(part) for part in tape.gradient(loss, sources)]

    step.get_concrete_function()
    before = peak_mb()
    loss, _ = step()
    start = time.perf_counter()
    for _ in range(steps):
        step()[0].numpy()
    taken = (time.perf_counter() - start) / steps
    return {"seconds": taken, "peak_mb": peak_mb() - before, "loss": float(loss)}


def format_classifier_benchmark(rows: Sequence[dict]) -> str:
    """Returns a small table."""
    lines = ["classes      whole: seconds   MB     chunked: seconds   MB     (SphereFace2, a step)"]
    for row in rows:
        told = [
            f"{row[name]['seconds']:10.2f} {row[name]['peak_mb']:8.0f}"
            if row[name]
            else "        out of memory"
            for name in ("whole", "chunked")
        ]
        lines.append(f"{row['classes']:<10,d} {told[0]}   {told[1]}")
    first = rows[0]
    lines.append(f"batch {first['batch_size']}, {first['chunk']:,d} classes at a time")
    return "\n".join(lines)


def _in_a_process(*numbers: int) -> dict | None:
    command = [sys.executable, "-c", _MEASURE, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        logger.warning("%s classes: %s", numbers[0], done.stderr.strip().splitlines()[-1:])
        return None
    return json.loads(done.stdout.splitlines()[-1])
