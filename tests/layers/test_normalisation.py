"""Masked batch normalisation against float64 loops; two replicas against one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.normalisation import MaskedBatchNorm

LENGTHS = (5, 3, 1)


def data(channels=4, frames=5):
    generator = np.random.default_rng(0)
    return generator.normal(1.0, 2.0, (len(LENGTHS), frames, channels)).astype(np.float32)


def valid_of(lengths, frames):
    return tf.sequence_mask(lengths, frames, dtype=tf.float32)[..., tf.newaxis]


def packed_rows(values):
    return np.concatenate([values[index, :length] for index, length in enumerate(LENGTHS)])


def loop_statistics(values):
    mean, variance = np.zeros(values.shape[-1]), np.zeros(values.shape[-1])
    rows = packed_rows(values).astype(np.float64)
    for row in rows:
        mean += row / len(rows)
    for row in rows:
        variance += (row - mean) ** 2 / len(rows)
    return mean, variance


def made(channels=4):
    layer = MaskedBatchNorm(momentum=0.9)
    layer.build((None, channels))
    layer.gamma.assign(np.linspace(0.5, 2.0, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))
    return layer


@pytest.mark.parametrize("packed", [False, True])
def test_training_equals_a_float64_loop(packed):
    values, layer = data(), made()
    mean, variance = loop_statistics(values)
    expected = (values - mean) / np.sqrt(variance + 1e-5) * layer.gamma + layer.beta
    if packed:
        outputs = layer(packed_rows(values), training=True)
        np.testing.assert_allclose(outputs, packed_rows(expected.numpy()), atol=1e-5)
    else:
        valid = valid_of(LENGTHS, 5)
        outputs = layer(values, valid, training=True)
        np.testing.assert_allclose(outputs, expected * valid, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_inference_uses_the_moving_averages_and_clears_padding():
    values, layer = data(), made()
    layer.moving_mean.assign([1.0, 2.0, 3.0, 4.0])
    outputs = layer(values, valid_of(LENGTHS, 5), training=False)
    np.testing.assert_allclose(outputs[0, 0, 1], (values[0, 0, 1] - 2.0) / np.sqrt(1.0 + 1e-5)
                               * layer.gamma[1] + layer.beta[1], rtol=1e-5)
    assert np.all(outputs.numpy()[2, 1:] == 0.0)


def test_packed_and_padded_give_equal_gradients():
    values, weights = data(), np.random.default_rng(1).normal(size=(3, 5, 4)).astype(np.float32)
    padded_layer, packed_layer = made(), made()
    inputs, rows = tf.constant(values), tf.constant(packed_rows(values))
    with tf.GradientTape() as tape, tf.GradientTape() as packed_tape:
        tape.watch(inputs)
        packed_tape.watch(rows)
        loss = tf.reduce_sum(weights * padded_layer(inputs, valid_of(LENGTHS, 5), training=True))
        packed_loss = tf.reduce_sum(packed_rows(weights) * packed_layer(rows, training=True))
    one = tape.gradient(loss, [inputs, padded_layer.gamma, padded_layer.beta])
    two = packed_tape.gradient(packed_loss, [rows, packed_layer.gamma, packed_layer.beta])
    np.testing.assert_allclose(packed_rows(one[0].numpy()), two[0], atol=1e-5)
    np.testing.assert_allclose(one[1], two[1], atol=1e-5)
    np.testing.assert_allclose(one[2], two[2], atol=1e-5)


def test_all_masked_gives_zero():
    outputs = made()(data(), valid_of((0, 0, 0), 5), training=True)
    assert np.all(outputs.numpy() == 0.0)


def test_one_row_has_no_variance():
    layer = made()
    outputs = layer(np.ones((1, 4), np.float32), training=True)
    np.testing.assert_allclose(outputs[0], layer.beta, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9, atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_two_replicas_of_uneven_length_equal_one(packed):
    values, weights = data(), np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)
    parts = [slice(0, 1), slice(1, 3)]

    def loss_of(layer, part):
        if packed:
            rows, scales = [np.concatenate([array[index, :LENGTHS[index]]
                                            for index in range(3)[part]])
                            for array in (values, weights)]
            return tf.reduce_sum(tf.constant(scales) * layer(tf.constant(rows), training=True))
        valid = valid_of(LENGTHS[part], 5)
        return tf.reduce_sum(weights[part] * layer(tf.constant(values[part]), valid,
                                                   training=True))

    def gradients(layer, part):
        with tf.GradientTape() as tape:
            loss = loss_of(layer, part)
        return [loss, *tape.gradient(loss, [layer.gamma, layer.beta])]

    alone = made()
    expected = gradients(alone, slice(0, 3))
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        shared = made()

    def replica():
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        return gradients(shared, parts[int(index)])

    results = strategy.run(replica)
    for value, wanted in zip(results, expected, strict=True):
        total = sum(strategy.experimental_local_results(value))
        np.testing.assert_allclose(total, wanted, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(shared.moving_mean, alone.moving_mean, atol=1e-6)
    np.testing.assert_allclose(shared.moving_variance, alone.moving_variance, atol=1e-6)


def test_config_round_trip():
    layer = MaskedBatchNorm(momentum=0.8, epsilon=1e-4)
    assert MaskedBatchNorm.from_config(layer.get_config()).get_config() == layer.get_config()
