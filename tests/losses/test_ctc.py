"""CTC against the sum over all alignments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses.ctc import frame_ctc


def collapse(path, blank):
    merged = [symbol for symbol, _ in itertools.groupby(path)]
    return [symbol for symbol in merged if symbol != blank]


def oracle(logits, frames, label):
    """All (V + 1) ** frames paths, one by one."""
    blank, total = logits.shape[1] - 1, 0.0
    exponents = np.exp(logits)
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    for path in itertools.product(range(blank + 1), repeat=frames):
        if collapse(path, blank) == list(label):
            total += math.prod(probabilities[f, symbol] for f, symbol in enumerate(path))
    return -math.log(total) / len(label)


LABELS = np.array([[0, 1, -1], [1, 1, -1], [2, -1, -1], [0, 2, 0]])
LENGTHS, FRAMES = np.array([2, 2, 1, 3]), np.array([4, 5, 2, 5])


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(4, 5, 4))


def test_by_hand():
    """One frame, one phoneme: the cross-entropy of that frame."""
    value = frame_ctc(tf.zeros([1, 1, 4]), [1], [[2]], [1])
    np.testing.assert_allclose(value, [math.log(4)], rtol=1e-6)


def test_equation(logits, check_gradients):
    value = frame_ctc(logits, FRAMES, LABELS, LENGTHS)
    expected = [oracle(logits[i], FRAMES[i], LABELS[i, : LENGTHS[i]]) for i in range(len(LABELS))]
    # The kernel keeps its own sums in single precision.
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    check_gradients(
        lambda z: frame_ctc(z, FRAMES[:1], LABELS[:1], LENGTHS[:1]),
        [logits[:1]],
        step=2e-3,
        tolerance=1e-4,
    )


def test_frames_of_padding_do_not_count(logits):
    value = frame_ctc(logits, FRAMES, LABELS, LENGTHS)
    dirty = np.pad(logits, ((0, 0), (0, 3), (0, 0)), constant_values=50.0)
    dirty[2, 2:] = -7.0
    np.testing.assert_allclose(frame_ctc(dirty, FRAMES, LABELS, LENGTHS), value)


def test_what_does_not_fit_gives_zero(logits):
    """Too few frames, a repeat without room for its blank, no frames, no phonemes."""
    logits = tf.constant(logits)
    labels, lengths = [[0, 1, 2], [1, 1, -1], [0, -1, -1], [-1, -1, -1]], [3, 2, 1, 0]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = frame_ctc(logits, [2, 2, 0, 4], labels, lengths)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(tape.gradient(value, logits), 0)


def test_a_misfit_leaves_its_neighbours_alone(logits):
    value = frame_ctc(logits, FRAMES, LABELS, LENGTHS).numpy()
    changed = frame_ctc(logits, [4, 2, 2, 5], LABELS, LENGTHS).numpy()
    np.testing.assert_allclose(changed[[0, 2, 3]], value[[0, 2, 3]])
    assert changed[1] == 0


def test_logits_far_apart_give_a_finite_loss_and_gradient():
    logits = tf.Variable(np.zeros([1, 6, 4], np.float32))
    logits[:, :, 3].assign(np.full([1, 6], 900.0, np.float32))
    with tf.GradientTape() as tape:
        loss = frame_ctc(logits, [6], [[0, 1]], [2])
    assert np.isfinite(loss.numpy()).all() and loss.numpy()[0] > 10
    assert np.isfinite(tape.gradient(loss, logits).numpy()).all()
