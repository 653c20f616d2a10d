"""Pooling against NumPy loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.pooling import ContextStatisticsPooling, attentive_statistics, masked_mean
from adml.layers.spans import Spans

LENGTHS = np.array([7, 1, 4], np.int32)
CHANNELS = 3


def frames():
    array = np.random.default_rng(0).normal(size=(3, 7, CHANNELS)).astype(np.float32)
    return array * (np.arange(7)[None, :, None] < LENGTHS[:, None, None])


def made():
    layer = ContextStatisticsPooling(bottleneck=5)
    layer.build((None, None, CHANNELS))
    return layer


def pooled_by_loop(layer, values, lengths):
    kernel, bias, kernel_two, bias_two = [w.astype(np.float64) for w in layer.get_weights()]
    rows = []
    for utterance, length in enumerate(lengths):
        x = values[utterance, :length].astype(np.float64)
        mean = x.mean(0)
        std = np.sqrt(np.maximum(((x - mean) ** 2).mean(0), 1e-7))
        logits = np.stack([np.tanh(np.concatenate([row, mean, std]) @ kernel[0] + bias)
                           @ kernel_two[0] + bias_two for row in x])
        weights = np.exp(logits) / np.exp(logits).sum(0)
        pooled = (weights * x).sum(0)
        variance = (weights * (x - pooled) ** 2).sum(0)
        rows.append(np.concatenate([pooled, np.sqrt(np.maximum(variance, 1e-7))]))
    return np.stack(rows)


def in_rank(rank):
    inputs = tf.constant(frames())
    if rank == 2:
        layout = PackedFrames(LENGTHS, 7)
        return layout.pack(inputs), layout
    inputs = inputs if rank == 3 else inputs[:, tf.newaxis]
    return inputs, PaddedFrames(LENGTHS, inputs)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_equals_a_float64_loop(rank):
    layer = made()
    np.testing.assert_allclose(layer(*in_rank(rank)), pooled_by_loop(layer, frames(), LENGTHS),
                               atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_written_out_gradient_equals_finite_differences(rank):
    layout = in_rank(rank)[1]
    generator = np.random.default_rng(3)
    inputs = in_rank(rank)[0]
    logits = layout.masked(tf.constant(generator.normal(size=inputs.shape).astype(np.float32)))
    direction = generator.normal(size=(2, 3, CHANNELS)).astype(np.float32)

    def loss_of(x, e):
        mean, variance = attentive_statistics(x, e, layout)
        mean, variance = (tf.reshape(t, [3, CHANNELS]) for t in (mean, variance))
        return tf.reduce_sum(mean * direction[0] + variance * direction[1])

    with tf.GradientTape() as tape:
        tape.watch([inputs, logits])
        loss = loss_of(inputs, logits)
    for target, gradient in zip((0, 1), tape.gradient(loss, [inputs, logits]), strict=True):
        step = tf.constant(generator.normal(size=inputs.shape).astype(np.float32))
        step = layout.masked(step) * 1e-2
        arguments = [[inputs, logits], [inputs, logits]]
        arguments[0][target] = arguments[0][target] + step
        arguments[1][target] = arguments[1][target] - step
        slope = (loss_of(*arguments[0]) - loss_of(*arguments[1])) / 2.0
        np.testing.assert_allclose(tf.reduce_sum(gradient * step), slope, rtol=5e-3, atol=1e-5)


def test_no_frame_at_all_gives_no_nan():
    lengths = np.array([0, 0, 0], np.int32)
    inputs = tf.zeros([3, 7, CHANNELS])
    outputs = made()(inputs, PaddedFrames(lengths, inputs)).numpy()
    assert np.all(outputs[:, :CHANNELS] == 0.0) and np.all(np.isfinite(outputs))


def test_large_logits_stay_finite():
    inputs, layout = in_rank(2)
    logits = tf.fill(inputs.shape, 500.0)
    mean, _ = attentive_statistics(inputs, logits, layout)
    np.testing.assert_allclose(mean[0], frames()[0].mean(0), atol=1e-6)


def test_masked_mean_by_hand():
    values = tf.constant([[[1.0], [3.0], [9.0]], [[5.0], [9.0], [9.0]], [[9.0], [9.0], [9.0]]])
    np.testing.assert_allclose(masked_mean(values, tf.constant([2, 1, 0])), [[2.0], [5.0], [0.0]])


def test_config_round_trip():
    layer = ContextStatisticsPooling(bottleneck=7)
    copy = ContextStatisticsPooling.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


SPANS = Spans(np.array([0, 2, 0, 1, 0]), np.array([0, 1, 2, 0, 2]), np.array([7, 3, 4, 1, 2]))


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_spans_equal_a_float64_loop_over_each(offset):
    layer, layout = made(), PackedFrames(LENGTHS, 7)
    values = (frames() + np.float32(offset)).astype(np.float32)
    cut = np.zeros((5, 7, CHANNELS), np.float32)
    for place, (clip, start, count) in enumerate(zip(*SPANS, strict=True)):
        cut[place, :count] = values[clip, start : start + count]
    found = layer(layout.pack(tf.constant(values)), layout, SPANS)
    expected = pooled_by_loop(layer, cut, SPANS.frames)
    np.testing.assert_allclose(found, expected, atol=1e-5 * (1 + offset))


def test_a_span_beyond_the_frames_disturbs_no_other():
    layer, layout = made(), PackedFrames(LENGTHS, 7)
    packed = layout.pack(tf.constant(frames()))
    beyond = Spans(*(np.append(part, more) for part, more in zip(SPANS, (2, 3, 9), strict=True)))
    found = layer(packed, layout, beyond)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:5], layer(packed, layout, SPANS), atol=1e-6)
