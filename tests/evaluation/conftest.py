"""A toy test list and toy towers whose scores can be worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from adml.data.trial_list import Clip
from adml.errors import AudioError, TextError
from adml.evaluation.embedding import Embedder

LEXICON = {
    "alpha": ["AE1", "L", "F", "AH0"],
    "beta": ["B", "EY1", "T", "AH0"],
    "gamma": ["G", "AE1", "M", "AH0"],
    "eight": ["EY1", "T"],
    "ate": ["EY1", "T"],
}


def toy_g2p(text: str) -> list[str]:
    symbols: list[str] = []
    for word in text.split():
        if word not in LEXICON:
            raise TextError(f"{word!r} has no pronunciation.")
        symbols += ([" "] if symbols else []) + LEXICON[word]
    return symbols


def toy_log_mel(waveform, lengths):
    """Ten samples a frame, one feature: the samples' mean."""
    frames = tf.reshape(waveform, [tf.shape(waveform)[0], -1, 10, 1])
    return tf.reduce_mean(frames, axis=2), (lengths + 9) // 10


class ToyAcoustic:
    """A random projection of the mean of the valid frames and of a constant."""

    def __init__(self, dimension: int = 8, seed: int = 0):
        generator = np.random.default_rng(seed)
        self.weights = tf.constant(generator.normal(size=(2, dimension)), tf.float32)
        self.shapes: list[tuple] = []

    def __call__(self, features, lengths, training):
        tf.debugging.assert_equal(training, False)
        mask = tf.sequence_mask(lengths, tf.shape(features)[1], dtype=tf.float32)[:, :, tf.newaxis]
        total = tf.reduce_sum(features * mask, axis=1)
        means = total / tf.cast(lengths, tf.float32)[:, tf.newaxis]
        return features, tf.concat([means, tf.ones_like(means)], axis=1) @ self.weights


class ToyText:
    """The sum of one random vector for each phoneme."""

    def __init__(self, dimension: int = 8, seed: int = 1):
        table = np.random.default_rng(seed).normal(size=(80, dimension))
        table[0] = 0.0
        self.table = tf.constant(table, tf.float32)

    def __call__(self, phonemes, lengths, training):
        vectors = tf.gather(self.table, phonemes)
        return vectors, tf.reduce_sum(vectors, axis=1)


class OracleEmbedder:
    """Maps a clip to the axis given by its first sample and a text to the axis of its number.

    It has the two methods of `Embedder` that the tests use; `cosines` are then all 0 or 1.
    """

    def __init__(self, texts, dimension: int = 6):
        from adml.text.phonemes import to_ids

        self.axis = {tuple(to_ids(toy_g2p(text))): index for index, text in enumerate(texts)}
        self.dimension = dimension
        self.audio_items = self.text_items = 0

    def audio(self, clips):
        self.audio_items += len(clips)
        return np.eye(self.dimension, dtype=np.float32)[[int(clip[0]) for clip in clips]]

    def phonemes(self, rows):
        self.text_items += len(rows)
        return np.eye(self.dimension, dtype=np.float32)[[self.axis[tuple(row)] for row in rows]]


def toy_trials(**changes):
    """Three words, two clips each; all 18 pairs. A clip's path holds what the oracle hears."""
    texts = ("alpha", "beta", "gamma")
    heard = (0, 0, 1, 1, 2, 0)  # the last clip of gamma sounds like alpha
    clips = tuple(
        Clip(f"{heard[i]}.wav", 1.0, 1.5, texts[i // 2], f"speaker{i % 2}") for i in range(6)
    )
    pairs = np.array([(c, t) for c in range(6) for t in range(3)])
    values = {
        "name": "toy", "protocol": "all pairs", "sha256": "ab" * 32, "clips": clips,
        "texts": texts, "pair_clip": pairs[:, 0], "pair_text": pairs[:, 1],
        "pair_label": (pairs[:, 0] // 2 == pairs[:, 1]).astype(np.int8),
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def toy_choices(**changes):
    """The same as a classification."""
    return toy_trials(protocol="classification", **changes)


def toy_read(path: str, start_s: float, end_s: float) -> np.ndarray:
    if path.startswith("bad"):
        raise AudioError(f"{path}: cannot be decoded.")
    return np.full(16, float(path.split(".")[0]), np.float32)


@pytest.fixture
def embedder() -> Embedder:
    return Embedder(ToyAcoustic(), ToyText(), toy_log_mel, progress=False)


@pytest.fixture
def toys() -> SimpleNamespace:
    return SimpleNamespace(
        g2p=toy_g2p, log_mel=toy_log_mel, Acoustic=ToyAcoustic, Text=ToyText, Oracle=OracleEmbedder,
        trials=toy_trials, choices=toy_choices, read=toy_read, Clip=Clip,
    )  # fmt: skip
