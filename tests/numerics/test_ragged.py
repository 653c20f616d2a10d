"""Flattening of padded sequences."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from adml.numerics.ragged import flatten, phoneme_mask


def test_mask():
    np.testing.assert_array_equal(
        phoneme_mask([2, 0, 3], 3), [[True, True, False], [False] * 3, [True] * 3]
    )


def test_flatten_keeps_order_and_gradient():
    values = np.arange(24.0).reshape(3, 4, 2)
    lengths = [2, 0, 4]
    expected = np.concatenate([row[:length] for row, length in zip(values, lengths, strict=True)])
    tensor = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        flat = flatten(tensor, lengths)
    np.testing.assert_array_equal(flat, expected)
    gradient = tf.convert_to_tensor(tape.gradient(flat, tensor)).numpy()
    np.testing.assert_array_equal(gradient[..., 0], phoneme_mask(lengths, 4))


def test_flatten_of_labels_and_of_nothing():
    np.testing.assert_array_equal(flatten([[7, 8, -1], [9, -1, -1]], [2, 1]), [7, 8, 9])
    assert flatten(tf.zeros([2, 3, 5]), [0, 0]).shape == (0, 5)


def test_flatten_with_unknown_shapes():
    @tf.function(input_signature=[tf.TensorSpec([None, None, 2]), tf.TensorSpec([None], tf.int32)])
    def traced(values, lengths):
        return flatten(values, lengths)

    assert traced(tf.zeros([3, 4, 2]), [1, 2, 3]).shape == (6, 2)
    assert traced(tf.zeros([1, 9, 2]), [9]).shape == (9, 2)
