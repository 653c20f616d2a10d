"""Unit vectors and cosines."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from adml.numerics.similarity import (
    at_least_float32,
    cosine_similarity,
    matching,
    unit_vectors,
)


def test_precision_never_below_float32():
    for given, expected in ((tf.float16, tf.float32), (tf.bfloat16, tf.float32),
                            (tf.float32, tf.float32), (tf.float64, tf.float64)):  # fmt: skip
        assert at_least_float32(tf.ones([2], given)).dtype == expected


def test_matching_keeps_a_number_exact():
    like = tf.ones([1], tf.float64)
    assert float(matching(0.01, like)) == 0.01
    assert matching(tf.constant(0.5), like).dtype == tf.float64


def test_cosine_by_hand():
    value = cosine_similarity([[3.0, 4.0]], [[1.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(value, [[0.6, -0.8]], rtol=1e-6)


def test_zero_vector_stays_zero_with_finite_gradient():
    zero = tf.zeros([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = unit_vectors(zero)
    np.testing.assert_array_equal(value, 0)
    assert np.isfinite(tape.gradient(value, zero)).all()


def test_tiny_vectors_are_scaled_too():
    np.testing.assert_allclose(unit_vectors([[3e-6, 4e-6]]), [[0.6, 0.8]], rtol=1e-5)
