"""The second stage against sums over every alignment, and its place in a score."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from adml.data.trial_list import Clip
from adml.evaluation import second_stage
from adml.evaluation.embedded import EmbeddedTest, cosine
from adml.evaluation.second_stage import IMPOSSIBLE, SecondStage

RNG = np.random.default_rng(3)


def stage(weight: float = 0.05, **given) -> SecondStage:
    parts = {"frame_logits": None, "read_clip": None, "g2p": None} | given
    if parts["frame_logits"] is None:
        parts["frame_logits"] = lambda waveform, lengths: (waveform[:, :, tf.newaxis], lengths)
    return SecondStage(
        parts["frame_logits"], parts["read_clip"], parts["g2p"], weight=weight
    )


def cost_by_every_alignment(logits: np.ndarray, classes: list[int]) -> float:
    """-log of the summed probability of all symbol rows that collapse to the classes."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    probability = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    frames, symbols = probability.shape
    blank, total = symbols - 1, 0.0
    for row in itertools.product(range(symbols), repeat=frames):
        collapsed = [s for s, _ in itertools.groupby(row) if s != blank]
        if collapsed == classes:
            total += np.prod([probability[f, s] for f, s in enumerate(row)])
    return -np.log(total) / len(classes)


def test_costs_are_sums_over_every_alignment():
    logits = [RNG.normal(size=(frames, 4)).astype(np.float32) for frames in (5, 3, 4)]
    spelled = [[0, 1], [2], [1, 1]]
    pairs = list(itertools.product(range(3), range(3)))
    clips, texts = (np.array(column) for column in zip(*pairs, strict=True))
    costs = stage().costs(logits, spelled, clips, texts)
    wanted = [cost_by_every_alignment(logits[clip], spelled[text]) for clip, text in pairs]
    np.testing.assert_allclose(costs, wanted, rtol=1e-4)


def test_text_that_does_not_fit_is_impossible_not_free():
    logits = [np.zeros((2, 4), np.float32)]
    costs = stage().costs(logits, [[0, 1, 2], [1, 1], [0, 1]], np.zeros(3, int), np.arange(3))
    assert costs[:2].tolist() == [IMPOSSIBLE, IMPOSSIBLE]
    assert costs[2] == pytest.approx(-np.log(1 / 16) / 2, rel=1e-5)


def test_nothing_costs_more_than_what_is_impossible_and_no_text_is_free():
    sure = np.full((6, 4), -500.0, np.float32)
    sure[:, 0] = 500.0
    costs = stage().costs([sure], [[0], [2], [], [0] * 7], np.zeros(4, int), np.arange(4))
    assert costs[0] == pytest.approx(0, abs=1e-3)
    assert costs[1:].tolist() == [IMPOSSIBLE] * 3


def test_batches_hold_every_pair_once_and_few_frames(monkeypatch):
    monkeypatch.setattr(second_stage, "_FRAMES_AT_ONCE", 100)
    frames = np.sort(RNG.integers(1, 130, size=60))
    order = RNG.permutation(60)
    parts = list(second_stage._batches(order, frames))
    np.testing.assert_array_equal(np.concatenate(parts), order)
    start = 0
    for part in parts:
        most = frames[start + len(part) - 1]
        assert len(part) == 1 or len(part) * most <= 100
        start += len(part)


def test_a_pair_costs_the_same_whatever_its_neighbours():
    logits = [RNG.normal(size=(frames, 40)).astype(np.float32) for frames in (30, 90, 7)]
    spelled = [[3, 9, 1], [5, 5, 6, 7, 8, 30]]
    clips, texts = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    together = stage().costs(logits, spelled, clips, texts)
    alone = [
        stage().costs([logits[c]], [spelled[t]], np.zeros(1, int), np.zeros(1, int))[0]
        for c, t in zip(clips, texts, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_score_is_the_cosine_less_the_weighted_cost():
    """Clip b's frames spell "be"; the embeddings know nothing."""
    clips = [Clip("a.wav", 0.0, 1.0, "see", "1"), Clip("b.wav", 0.0, 2.0, "be", "2")]
    sounds = {"a.wav": np.full(4, 0.1, np.float32), "b.wav": np.full(6, 0.2, np.float32)}
    spelling = {"see": ["S", "IY1"], "be": ["B", "IY1"]}
    from adml.text.phonemes import NUM_PHONES, to_classes

    table = np.full((2, NUM_PHONES + 1), -5.0, np.float32)
    table[0, to_classes(spelling["see"])] = 3.0
    table[1, to_classes(spelling["be"])] = 3.0

    def frame_logits(waveform, lengths):
        which = tf.cast(waveform[:, :1] > 0.15, tf.int32)
        return tf.gather(tf.constant(table), tf.repeat(which, tf.shape(waveform)[1], 1)), lengths

    audio = text = np.tile(np.float32([[0.6, 0.8]]), (2, 1))
    usable = np.ones(2, dtype=bool)
    test = EmbeddedTest(clips, ["see", "be"], audio, text, usable, usable, [], 0.0)
    pairs = np.array([1, 0, 1]), np.array([0, 0, 1])
    made = stage(
        0.05, frame_logits=frame_logits, read_clip=lambda path, *_: sounds[path], g2p=spelling.get
    )
    scores = made(test, *pairs)
    assert scores.dtype == np.float32 and scores[2] > scores[0] and scores[1] > scores[0]
    double = stage(
        0.1, frame_logits=frame_logits, read_clip=lambda path, *_: sounds[path], g2p=spelling.get
    )
    first = cosine(test, *pairs)
    np.testing.assert_allclose(double(test, *pairs) - first, 2 * (scores - first), rtol=1e-3)
