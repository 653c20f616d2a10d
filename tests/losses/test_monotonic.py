"""Monotonic matching against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import monotonic


def guided_oracle(attention, phonemes, frames, width):
    total = 0.0
    for u in range(phonemes):
        for j in range(frames):
            offset = (u + 0.5) / phonemes - (j + 0.5) / frames
            total += attention[u, j] * (1 - math.exp(-(offset**2) / (2 * width**2)))
    return total / phonemes


def diagonal_oracle(attention, phonemes, frames):
    owner = [math.floor((j + 0.5) / frames * phonemes) for j in range(frames)]
    total = 0.0
    for u in range(phonemes):
        for j in range(frames):
            target = 1 / owner.count(u) if owner[j] == u else 0.0
            total += (attention[u, j] - target) ** 2
    return total / (phonemes * frames)


@pytest.fixture
def attention():
    raw = np.random.default_rng(0).normal(size=(3, 4, 9))
    return np.exp(raw) / np.exp(raw).sum(axis=2, keepdims=True)


PHONEMES, FRAMES = np.array([4, 2, 3]), np.array([9, 5, 7])


def test_by_hand():
    """One phoneme, two frames: both are a quarter away from the middle."""
    value = monotonic.monotonic_matching([[[0.3, 0.7]]], [1], [2], width=0.25)
    np.testing.assert_allclose(value, [1 - math.exp(-0.5)], rtol=1e-6)
    value = monotonic.diagonal_error([[[0.3, 0.7]]], [1], [2])
    np.testing.assert_allclose(value, [0.04], rtol=1e-6)


def test_equations(attention, check_gradients):
    cases = list(zip(attention, PHONEMES, FRAMES, strict=True))
    np.testing.assert_allclose(
        monotonic.monotonic_matching(attention, PHONEMES, FRAMES),
        [guided_oracle(*case, 0.2) for case in cases],
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        monotonic.diagonal_error(attention, PHONEMES, FRAMES),
        [diagonal_oracle(*case) for case in cases],
        rtol=1e-9,
    )
    check_gradients(
        lambda a: monotonic.monotonic_matching(a, PHONEMES[:1], FRAMES[:1]), [attention[:1]]
    )
    check_gradients(
        lambda a: monotonic.diagonal_error(a, PHONEMES[:1], FRAMES[:1]), [attention[:1]]
    )


def test_range_and_direction():
    """In [0, 1]; the diagonal is best and the reversed diagonal worse, whatever the length."""
    for count in (3, 30):
        eye = np.eye(count)[np.newaxis]
        lengths = [count]
        best = float(monotonic.monotonic_matching(eye, lengths, lengths)[0])
        worst = float(monotonic.monotonic_matching(eye[:, ::-1], lengths, lengths)[0])
        assert best == pytest.approx(0, abs=1e-12)
        assert 0.5 < worst < 1
        assert float(monotonic.diagonal_error(eye, lengths, lengths)[0]) == 0


@pytest.mark.parametrize("function", [monotonic.monotonic_matching, monotonic.diagonal_error])
def test_padding_does_not_count(function, attention):
    value = function(attention, PHONEMES, FRAMES)
    dirty = np.pad(attention, ((0, 0), (0, 3), (0, 2)), constant_values=np.nan)
    dirty[1, 2:] = np.inf
    dirty[1, :, 5:] = np.nan
    np.testing.assert_allclose(function(dirty, PHONEMES, FRAMES), value)


@pytest.mark.parametrize("function", [monotonic.monotonic_matching, monotonic.diagonal_error])
def test_empty_items_are_zero(function):
    attention = tf.ones([2, 3, 4])
    with tf.GradientTape() as tape:
        tape.watch(attention)
        value = function(attention, [0, 3], [4, 0])
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_array_equal(tape.gradient(value, attention), tf.zeros_like(attention))
