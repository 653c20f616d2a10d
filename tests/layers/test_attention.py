"""Cross-attention against NumPy, and its masks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.attention import CrossAttention

PHONEMES, FRAMES = np.array([3, 1], np.int32), np.array([4, 2], np.int32)


def data(scale=1.0):
    generator = np.random.default_rng(0)
    return [scale * generator.normal(size=shape).astype(np.float32)
            for shape in ((2, 3, 8), (2, 4, 8))]


@pytest.mark.parametrize("projections", ["none", "qk", "qkv"])
def test_equals_numpy(projections):
    layer = CrossAttention(8, projections)
    text, audio = data()
    outputs, attention = layer(text, audio, PHONEMES, FRAMES)
    assert len(layer.get_weights()) == {"none": 0, "qk": 2, "qkv": 3}[projections]
    weights = [layer.projectors[role].kernel.numpy().astype(np.float64)
               if role in layer.projectors else np.eye(8) for role in "qkv"]
    for item in range(2):
        valid = audio[item, :FRAMES[item]].astype(np.float64)
        for row in range(PHONEMES[item]):
            logits = (text[item, row] @ weights[0]) @ (valid @ weights[1]).T / np.sqrt(8)
            expected = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(attention[item, row, :FRAMES[item]], expected, atol=1e-5)
            np.testing.assert_allclose(outputs[item, row], expected @ valid @ weights[2],
                                       atol=1e-5)


def test_rows_sum_to_one_over_valid_frames():
    attention = CrossAttention(8)(*data(), PHONEMES, FRAMES)[1].numpy()
    np.testing.assert_allclose(attention.sum(-1), [[1, 1, 1], [1, 0, 0]], atol=1e-6)
    assert np.all(attention[1, :, 2:] == 0.0)


def test_padded_frames_are_ignored():
    layer = CrossAttention(8)
    text, audio = data()
    before = layer(text, audio, PHONEMES, FRAMES)
    audio[1, 2:] = 1e6
    after = layer(text, audio, PHONEMES, FRAMES)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_no_frames_give_zero_and_finite_gradients():
    layer = CrossAttention(8)
    text, audio = (tf.constant(array) for array in data())
    with tf.GradientTape() as tape:
        tape.watch([text, audio])
        outputs, attention = layer(text, audio, PHONEMES, tf.constant([0, 0]))
        loss = tf.reduce_sum(outputs)
    assert np.all(outputs.numpy() == 0.0) and np.all(attention.numpy() == 0.0)
    for gradient in tape.gradient(loss, [text, audio]):
        assert np.all(np.isfinite(gradient))


def test_unknown_projections():
    with pytest.raises(ValueError, match="Expected: one of .* Received: 'kv'"):
        CrossAttention(8, "kv")


def test_config_round_trip():
    layer = CrossAttention(8, "qkv")
    assert CrossAttention.from_config(layer.get_config()).get_config() == layer.get_config()
