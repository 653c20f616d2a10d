"""The SE-Res2 block and its parts against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.res2 import ConvolutionUnit, SERes2Block, SqueezeExcitation

LENGTHS = np.array([5, 2], np.int32)


def frames(channels):
    array = np.random.default_rng(0).normal(size=(2, 5, channels)).astype(np.float32)
    return array * (np.arange(5)[None, :, None] < LENGTHS[:, None, None])


def sizes(layer):
    return sum(int(np.prod(variable.shape)) for variable in layer.trainable_variables)


def test_parameters_of_unit_and_block():
    unit, block = ConvolutionUnit(256), SERes2Block(256)
    inputs = tf.zeros([1, 4, 256])
    layout = PaddedFrames([4], inputs)
    unit(inputs, layout)
    block(inputs, layout)
    assert sizes(unit) == 66_304
    assert sum(sizes(group) for group in block.groups) == 22_176
    assert sizes(block.gates) == 65_920
    assert sizes(block) == 220_704


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_squeeze_excitation_equals_numpy(rank):
    layer, values = SqueezeExcitation(3), frames(4)
    layer.build((None, None, 4))
    kernel, bias, kernel_two, bias_two = [w.astype(np.float64) for w in layer.get_weights()]
    expected = np.zeros_like(values)
    for utterance, length in enumerate(LENGTHS):
        mean = values[utterance, :length].mean(0)
        gate = np.maximum(mean @ kernel + bias, 0.0) @ kernel_two + bias_two
        expected[utterance] = values[utterance] / (1.0 + np.exp(-gate))
    if rank == 2:
        layout = PackedFrames(LENGTHS, 5)
        outputs = layout.unpack(layer(layout.pack(values), layout))
    else:
        inputs = tf.constant(values if rank == 3 else values[:, None])
        outputs = tf.reshape(layer(inputs, PaddedFrames(LENGTHS, inputs)), [2, 5, 4])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_groups_are_chained():
    """Group 0 passes; group i sees group i plus the output before it."""
    block = SERes2Block(4, scale=2, dilation_rate=2, bottleneck=2)
    values = tf.constant(frames(4))
    layout = PaddedFrames(LENGTHS, values)
    outputs = block(values, layout)
    hidden = block.first(values, layout)
    chained = tf.concat([hidden[..., :2], block.groups[0](hidden[..., 2:], layout)], -1)
    expected = values + block.gates(block.last(chained, layout), layout)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_padding_stays_zero():
    block = SERes2Block(8, scale=4, bottleneck=2)
    values = tf.constant(frames(8))
    outputs = block(values, PaddedFrames(LENGTHS, values), training=True).numpy()
    assert np.all(outputs[1, 2:] == 0.0) and np.any(outputs[1, :2] != 0.0)


def test_scale_must_divide_channels():
    with pytest.raises(ValueError, match="Expected: a divisor of 10. Received: scale=4"):
        SERes2Block(10, scale=4)


@pytest.mark.parametrize("layer", [
    ConvolutionUnit(8, 3, 2), SqueezeExcitation(4),
    SERes2Block(8, kernel_size=5, dilation_rate=3, scale=4, bottleneck=2)])
def test_config_round_trip(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
