"""How fast the acoustic encoder trains: its fast path against plain Keras Conv1D, in one process.

The figure is utterances per CPU-second (user + system time of the process), which other work on
the machine disturbs less than wall time. Rounds of both paths alternate; medians are reported.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from adml.audio.features import LogMel
from adml.build.data import build_source
from adml.config import Config
from adml.models.acoustic import AcousticEncoder
from adml.numerics.autocast import autocast
from adml.text.g2p import G2P

log = logging.getLogger(__name__)

LENGTHS = ("equal", "mixed")


def encoder_benchmark(batch_size: int = 64, *, num_frames: int = 98,
                      lengths: str | np.ndarray = "equal", rounds: int = 5, steps: int = 2,
                      bfloat16: bool = False, seed: int = 0) -> dict:
    """Measures a training step (forward, backward, AdamW) of the acoustic encoder alone.

    Both encoders have the same 1,766,880 parameters and mask padded frames.

    Args:
        batch_size: B.
        num_frames: F; 98 is one second.
        lengths: "equal": all utterances have F frames; "mixed": lengths spread evenly over
            0.44 F to F (28 % padding); or the B frame counts of a real batch.
        rounds: Alternations of fast and plain; each is measured once a round.
        steps: Training steps of one measurement.
        bfloat16: Adds the fast path under the runtime's automatic bfloat16 (the graph option
            auto_mixed_precision_onednn_bfloat16, float32 variables). It pays on processors with
            bfloat16 instructions (AVX512_BF16, AMX) only.
        seed: For the random features.

    Returns:
        `fast`, `plain` (and `bfloat16`): utterances per CPU-second, medians over rounds;
        `ratio`: fast / plain; `rounds`: all measurements; `batch_size`, `num_frames`,
        `lengths`, `padding`, `threads` (0: all cores).

    Raises:
        ValueError: `lengths` is neither of its two values.
    """
    if isinstance(lengths, str):
        counts, lengths_name = _frame_counts(batch_size, num_frames, lengths), lengths
    else:
        counts, lengths_name = np.asarray(lengths, np.int32), "drawn"
        batch_size = len(counts)
    batch = _random_batch(counts, num_frames, seed)
    steppers = {"fast": encoder_stepper(True, *batch), "plain": encoder_stepper(False, *batch)}
    if bfloat16:
        with autocast("bfloat16"):
            steppers["bfloat16"] = encoder_stepper(True, *batch)
    measured: dict[str, list[float]] = {name: [] for name in steppers}
    for round_number in range(rounds):
        for name, step in steppers.items():
            measured[name].append(batch_size / _cpu_seconds(step, steps))
        log.info("round %d of %d: %s", round_number + 1, rounds,
                 ", ".join(f"{name} {values[-1]:.1f}" for name, values in measured.items()))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    return {**medians, "ratio": medians["fast"] / medians["plain"], "rounds": measured,
            "batch_size": batch_size, "num_frames": num_frames, "lengths": lengths_name,
            "padding": 1.0 - float(np.mean(batch[1])) / num_frames,
            "threads": tf.config.threading.get_intra_op_parallelism_threads()}


def benchmark(batch_size: int = 64, rounds: int = 5, *, bfloat16: bool = False) -> dict:
    """Returns `encoder_benchmark` for equal and for mixed lengths, under these two keys."""
    return {lengths: encoder_benchmark(batch_size, lengths=lengths, rounds=rounds,
                                       bfloat16=bfloat16)
            for lengths in LENGTHS}


def drawn_benchmark(config: Config, cache: Path, batch_size: int = 64, rounds: int = 5, *,
                    batches: int = 4, bfloat16: bool = False) -> dict:
    """`encoder_benchmark` over the lengths, padding included, that a configuration's batches have.

    Args:
        config: the experiment; its data, batches and cut decide the lengths.
        cache: folder for decoded speech.
        batch_size: B; the batches have B // 2 keywords.
        rounds: of each batch.
        batches: how many, spread over the epoch.
        bfloat16: see `encoder_benchmark`.

    Returns:
        As `encoder_benchmark`; a speed is all utterances by all CPU-seconds.
    """
    size = replace(config.batches, keywords=max(2, batch_size // 2), utterances=2)
    source = build_source(replace(config, batches=size), cache, G2P())
    log_mel, measured = LogMel(), []
    for place in np.linspace(0, source.batches_per_epoch - 1, batches).astype(int).tolist():
        batch = source.batch(0, place)
        features, counts = log_mel(batch["waveform"], batch["waveform_lengths"])
        measured.append(encoder_benchmark(
            num_frames=int(features.shape[1]), lengths=counts.numpy(), rounds=rounds,
            bfloat16=bfloat16, seed=place))
    speeds = {path: statistics.harmonic_mean([one[path] for one in measured])
              for path in ("plain", "fast", "bfloat16") if path in measured[0]}
    return {**speeds, "ratio": speeds["fast"] / speeds["plain"],
            "ratios": [one["ratio"] for one in measured], "lengths": "drawn",
            "batch_size": measured[0]["batch_size"],
            "num_frames": [one["num_frames"] for one in measured],
            "padding": statistics.mean(one["padding"] for one in measured),
            "threads": measured[0]["threads"]}


def format_benchmark(values: dict) -> str:
    """Returns the figures of `benchmark` as a small table."""
    lines = [f"{'lengths':8} {'padding':>8} {'path':9} {'speed':>8} {'ratio':>6}"
             "   utterances per CPU-second, forward + backward + AdamW"]
    for name, row in values.items():
        lines += [f"{name:8} {row['padding']:8.0%} {path:9} {row[path]:8.1f} "
                  f"{row[path] / row['plain']:6.2f}"
                  for path in ("plain", "fast", "bfloat16") if path in row]
    return "\n".join(lines)


def _frame_counts(batch_size: int, num_frames: int, lengths: str) -> np.ndarray:
    if lengths not in LENGTHS:
        raise ValueError(f"Unknown lengths. Expected: one of {LENGTHS}. Received: {lengths!r}.")
    shares = np.linspace(0.44, 1.0, batch_size) if lengths == "mixed" else np.ones(batch_size)
    return np.maximum(1, np.round(shares * num_frames)).astype(np.int32)


def _random_batch(counts: np.ndarray, num_frames: int, seed: int):
    """Returns random features `[B, F, 40]` and their lengths `[B]`."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(len(counts), num_frames, 40)).astype(np.float32)
    return tf.constant(features), tf.constant(counts)


def encoder_stepper(fast: bool, features: tf.Tensor, lengths: tf.Tensor, *,
                    xla: bool = False) -> Callable[[], None]:
    """Returns a warmed-up training step of a fresh encoder; its loss is a plain square."""
    encoder = AcousticEncoder(fast=fast)
    encoder(features[:2], lengths[:2])
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=1e-5)
    optimizer.build(encoder.trainable_variables)

    @tf.function(autograph=False, jit_compile=xla or None)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            frames, utterances = encoder(features, lengths, training=True)
            loss = tf.reduce_mean(tf.square(frames)) + tf.reduce_mean(tf.square(utterances))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        optimizer.apply_gradients(zip(gradients, encoder.trainable_variables, strict=True))
        return loss

    def run() -> None:
        step().numpy()

    run()
    return run


def _cpu_seconds(step: Callable[[], None], steps: int) -> float:
    """Returns CPU-seconds of one step, mean over `steps`."""
    start = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - start) / steps
