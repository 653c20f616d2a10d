"""The packed LSTM against Keras' masked one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from adml.layers.recurrent import pack_sequences, packed_bidirectional

LENGTHS = np.array([2, 5, 1, 3], np.int32)


def test_packed_order_by_hand():
    packed = pack_sequences(tf.constant([1, 3, 2]), 3)
    np.testing.assert_array_equal(packed.active, [3, 2, 1])
    np.testing.assert_array_equal(packed.start, [0, 3, 5])
    np.testing.assert_array_equal(packed.padded_rows, [3, 6, 0, 4, 7, 5])
    np.testing.assert_array_equal(packed.reverse, [5, 4, 2, 3, 1, 0])
    np.testing.assert_array_equal(packed.previous, [0, 1, 3])


@pytest.mark.parametrize("graph", [False, True])
def test_values_and_gradients_equal_keras(graph):
    layer = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    layer.build((None, None, 3))
    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(size=(4, 6, 3)).astype(np.float32))
    weights = tf.constant(generator.normal(size=(4, 6, 8)).astype(np.float32))
    mask = tf.sequence_mask(LENGTHS, 6)

    def run(packs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            if packs:
                packed = pack_sequences(LENGTHS, 6)
                rows = tf.gather(tf.reshape(inputs, [-1, 3]), packed.padded_rows)
                outputs = packed_bidirectional(rows, packed, layer)
                outputs = tf.reshape(tf.scatter_nd(packed.padded_rows[:, tf.newaxis], outputs,
                                                   [24, 8]), [4, 6, 8])
            else:
                outputs = layer(inputs, mask=mask)
                outputs *= tf.cast(mask, tf.float32)[..., tf.newaxis]
            loss = tf.reduce_sum(weights * outputs)
        gradients = tape.gradient(loss, [inputs, *layer.trainable_variables])
        return [outputs, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    function = tf.function(run) if graph else run
    for one, two in zip(function(True), function(False), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
