"""The strided convolution: fixed places of the frames, whatever the batch's length."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.attention import SingleHeadAttention
from adml.layers.subsampling import StridedConvolutionUnit


@pytest.mark.parametrize("kernel_size, stride", [(3, 2), (5, 2), (5, 1)])
@pytest.mark.parametrize("frames", [7, 8])
def test_output_frames_sit_on_every_sth_frame(kernel_size, stride, frames):
    unit = StridedConvolutionUnit(2, kernel_size, stride, dtype="float64")
    rng = np.random.default_rng(0)
    values, lengths = rng.normal(size=(2, frames, 3)), [7, 4]
    outputs, counts = unit(tf.constant(values), tf.constant(lengths))
    kernel = unit.convolution.kernel.numpy()
    assert counts.numpy().tolist() == [-(-length // stride) for length in lengths]
    for row, length in enumerate(lengths):
        for place in range(outputs.shape[1]):
            total = np.zeros(2)
            for tap in range(kernel_size):
                frame = stride * place + tap - kernel_size // 2
                if 0 <= frame < length:
                    total += values[row, frame] @ kernel[tap]
            expected = np.maximum(total / np.sqrt(1 + 1e-5), 0) * float(place < counts[row])
            np.testing.assert_allclose(outputs[row, place], expected, atol=1e-12)


def test_statistics_are_those_of_valid_output_frames():
    unit = StridedConvolutionUnit(2, 1, 2, dtype="float64")
    values = np.random.default_rng(1).normal(size=(2, 5, 3))
    outputs, counts = unit(tf.constant(values), tf.constant([5, 2]), training=True)
    projected = values @ unit.convolution.kernel[0].numpy()
    kept = np.concatenate([projected[0, [0, 2, 4]], projected[1, [0]]])
    expected = np.maximum((kept - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-5), 0)
    found = np.concatenate([row[:count] for row, count in zip(outputs, counts, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_query_that_sees_nothing_finds_the_bias_alone():
    layer = SingleHeadAttention(2)
    visible = tf.constant([[[True, False], [False, False]]])
    outputs, attention = layer(tf.ones([1, 2, 3]), tf.ones([1, 2, 3]), visible)
    np.testing.assert_array_equal(attention, [[[1, 0], [0, 0]]])
    np.testing.assert_allclose(outputs[0, 1], layer.output_projection.bias)


def test_keys_and_values_can_be_made_once():
    layer = SingleHeadAttention(4)
    rng = np.random.default_rng(2)
    queries, memory = (tf.constant(rng.normal(size=(2, n, 3)), tf.float32) for n in (3, 5))
    visible = tf.constant(True, shape=[2, 3, 5])
    apart = layer.attend(queries, *layer.keys_and_values(memory), visible)
    for one, other in zip(apart, layer(queries, memory, visible), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(layer.weights) == 8
