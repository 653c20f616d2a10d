"""Packed and padded frames hold the same utterances."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.convolution import TimeConvolution
from adml.layers.layout import PackedFrames, PaddedFrames

LENGTHS = np.array([6, 1, 4], np.int32)


def values(channels=3, frames=6):
    array = np.random.default_rng(0).normal(size=(3, frames, channels)).astype(np.float32)
    return array * (np.arange(frames)[None, :, None] < LENGTHS[:, None, None])


def test_unpack_undoes_pack():
    layout = PackedFrames(LENGTHS, 6)
    packed = layout.pack(values())
    assert packed.shape == (11, 3)
    np.testing.assert_array_equal(layout.unpack(packed), values())


def test_sum_largest_and_spread_by_hand():
    layout = PackedFrames(np.array([2, 1], np.int32), 2)
    frames = tf.constant([[1.0], [5.0], [-3.0]])
    np.testing.assert_array_equal(layout.sum(frames), [[6.0], [-3.0]])
    np.testing.assert_array_equal(layout.largest(frames), [[5.0], [-3.0]])
    np.testing.assert_array_equal(layout.spread(tf.constant([[7.0], [8.0]])), [[7.], [7.], [8.]])


def test_taps_stop_at_the_borders_of_an_utterance():
    layout = PackedFrames(np.array([3, 2], np.int32), 4)
    np.testing.assert_array_equal(
        layout.taps(3, 1), [[5, 0, 1], [0, 1, 2], [1, 2, 5], [5, 3, 4], [3, 4, 5]])
    np.testing.assert_array_equal(
        layout.taps(3, 2), [[5, 0, 2], [5, 1, 5], [0, 2, 5], [5, 3, 5], [5, 4, 5]])


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 2), (3, 4), (5, 1)])
def test_three_ways_of_convolution_agree_with_a_loop(kernel_size, dilation):
    layer = TimeConvolution(2, kernel_size, dilation_rate=dilation, relu=True)
    layer.build((None, None, 3))
    layer.bias.assign([0.3, -0.2])
    inputs, kernel = values(), layer.kernel.numpy().astype(np.float64)
    expected = np.zeros((3, 6, 2))
    for utterance, length in enumerate(LENGTHS):
        for frame in range(length):
            total = layer.bias.numpy().astype(np.float64)
            for tap in range(kernel_size):
                seen = frame + dilation * (tap - kernel_size // 2)
                if 0 <= seen < length:
                    total = total + inputs[utterance, seen] @ kernel[tap]
            expected[utterance, frame] = np.maximum(total, 0.0)
    packed = PackedFrames(LENGTHS, 6)
    valid = PaddedFrames(LENGTHS, tf.constant(inputs)).valid
    np.testing.assert_allclose(layer(inputs) * valid, expected, atol=1e-5)
    np.testing.assert_allclose(layer(inputs[:, None])[:, 0] * valid, expected, atol=1e-5)
    outputs = layer(packed.pack(inputs), packed)
    np.testing.assert_allclose(packed.unpack(outputs), expected, atol=1e-5)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 2), (5, 1)])
def test_gradients_of_packed_convolution_equal_keras(kernel_size, dilation):
    layer = TimeConvolution(2, kernel_size, dilation_rate=dilation)
    layer.build((None, None, 3))
    packed, weights = PackedFrames(LENGTHS, 6), tf.constant(values(2))

    def gradients(packs):
        inputs = tf.constant(values())
        rows = packed.pack(inputs)
        with tf.GradientTape() as tape:
            tape.watch([inputs, rows])
            outputs = packed.unpack(layer(rows, packed)) if packs else layer(inputs)
            loss = tf.reduce_sum(weights * outputs)
        into = tape.gradient(loss, [rows if packs else inputs, layer.kernel, layer.bias])
        return [into[0] if packs else packed.pack(into[0]), *into[1:]]

    for one, two in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_gradients_of_sum_and_spread():
    layout = PackedFrames(LENGTHS, 6)
    frames = layout.pack(values())
    with tf.GradientTape() as tape:
        tape.watch(frames)
        loss = tf.reduce_sum(frames * layout.spread(tf.square(layout.sum(frames))))
    ones = tf.reduce_sum(frames, 0) * 0.0 + 1.0
    expected = []
    for utterance, length in enumerate(LENGTHS):
        total = values()[utterance].sum(0)
        expected += [total ** 2 + 2 * total * total] * length
    np.testing.assert_allclose(tape.gradient(loss, frames), expected * ones, rtol=1e-4, atol=1e-5)


def test_config_round_trip():
    layer = TimeConvolution(8, 3, dilation_rate=2, relu=True, name="conv")
    assert TimeConvolution.from_config(layer.get_config()).get_config() == layer.get_config()
