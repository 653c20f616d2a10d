"""How much of the encoder's speed the whole training step keeps, pipeline and losses included."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.benchmarks.encoder import encoder_stepper
from adml.benchmarks.noise import SAMPLE_RATE_HZ, make_noise_corpus, noise_config
from adml.build.training import Training, build_training
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)


def step_benchmark(keywords: int = 64, *, rounds: int = 3, steps: int = 4, seed: int = 0) -> dict:
    """Measure training steps of the paper's objective against the acoustic encoder alone.

    The corpus is made of noise under random words, so that the figure needs no data: batches of
    `keywords` x 2 utterances of 0.3 to 1.5 s with noise and masks, all loss terms, both towers,
    both adversaries, AdamW. The encoder alone trains on the same utterances' features.

    Args:
        keywords: K; the batch has 2 K utterances.
        rounds: alternations of both; the medians are reported.
        steps: training steps of one measurement.
        seed: of the corpus.

    Returns:
        `step`, `encoder`: utterances per CPU-second; `share`: step / encoder; `step_per_second`:
        utterances a second of wall time; `wait_fraction`: share of that time spent waiting for a
        batch; `batch_size`; `seconds`: mean length of an utterance.
    """
    with tempfile.TemporaryDirectory() as folder:
        training = build_training(
            noise_config(make_noise_corpus(Path(folder), seed), keywords), Path(folder), G2P()
        )
        total = rounds * steps + 2
        batches = iter(training.source.dataset(0, total))
        lengths, waited, taken = [], 0.0, 0.0
        for _ in range(2):
            batch = next(batches)
            training.step(batch)
        encoder = _encoder_on(training, batch)
        whole, alone = [], []
        for _ in range(rounds):
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(steps):
                before = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - before
                training.step(batch)
                lengths.append(float(np.mean(batch["waveform_lengths"])))
            whole.append((time.process_time() - cpu) / steps)
            taken += time.perf_counter() - start
            cpu = time.process_time()
            for _ in range(steps):
                encoder()
            alone.append((time.process_time() - cpu) / steps)
            logger.info("step %.2f, encoder alone %.2f CPU-seconds", whole[-1], alone[-1])
    size = 2 * keywords
    step, encoder_rate = size / statistics.median(whole), size / statistics.median(alone)
    return {
        "step": step,
        "encoder": encoder_rate,
        "share": step / encoder_rate,
        "step_per_second": rounds * steps * size / taken,
        "wait_fraction": waited / taken,
        "batch_size": size,
        "seconds": float(np.mean(lengths)) / SAMPLE_RATE_HZ,
    }


def format_step_benchmark(values: dict) -> str:
    """Returns the figures of `step_benchmark` in two lines."""
    return (
        f"whole step {values['step']:.1f} utterances of {values['seconds']:.2f} s per CPU-second, "
        f"encoder alone {values['encoder']:.1f}: {values['share']:.0%} "
        f"(batch {values['batch_size']}, waiting {values['wait_fraction']:.1%} of the time)"
    )


def _encoder_on(training: Training, batch):
    features, lengths = training.step.log_mel(
        tf.convert_to_tensor(batch["waveform"]), tf.convert_to_tensor(batch["waveform_lengths"])
    )
    return encoder_stepper(True, features, lengths)
