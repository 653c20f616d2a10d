"""A source of random batches with the layout of the real one, for tests of the training step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf


class RandomSource:
    """Batches of noise: a pure function of the step, as the real source's are."""

    def __init__(self, *, keywords: int = 6, utterances: int = 2, classes: int = 9, seed: int = 0):
        self.keywords, self.utterances, self.num_classes, self.seed = (
            keywords,
            utterances,
            classes,
            seed,
        )
        self.batches_per_epoch = 4

    def batch(self, epoch: int, position: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch, position])
        rows = self.keywords * self.utterances
        lengths = rng.integers(1800, 4800, rows)
        waveform = rng.normal(0, 0.1, [rows, 4800]) * (np.arange(4800) < lengths[:, None])
        phoneme_lengths = rng.integers(2, 6, self.keywords)
        inside = np.arange(5) < phoneme_lengths[:, None]
        classes = rng.integers(0, 39, [self.keywords, 5])
        return {
            "waveform": waveform.astype(np.float32),
            "waveform_lengths": lengths.astype(np.int32),
            "time_masks": np.tile(np.array([[[2, 1]]], np.int32), [rows, 1, 1]),
            "frequency_masks": np.tile(np.array([[[5, 3]]], np.int32), [rows, 1, 1]),
            "phonemes": np.where(inside, classes + 1, 0).astype(np.int32),
            "phoneme_lengths": phoneme_lengths.astype(np.int32),
            "phoneme_classes": np.where(inside, classes, -1).astype(np.int32),
            "text_ids": rng.permutation(100)[: self.keywords].astype(np.int32),
            "keyword_labels": rng.permutation(self.num_classes)[: self.keywords].astype(np.int32),
        }

    def dataset(self, start_step: int, stop_step: int):
        return [
            self.batch(*divmod(step, self.batches_per_epoch))
            for step in range(start_step, stop_step)
        ]


@pytest.fixture
def source() -> RandomSource:
    return RandomSource()


@pytest.fixture(scope="session")
def random_source() -> type[RandomSource]:
    """Makes sources of other sizes."""
    return RandomSource


@pytest.fixture(scope="session")
def two_devices():
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        pytest.skip("needs two logical CPU devices")
    return [device.name for device in devices[:2]]
