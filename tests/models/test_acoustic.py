"""The acoustic encoder: parameters, both paths, and that nothing but the clip itself counts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.layout import PaddedFrames
from adml.layers.spans import Spans
from adml.models.acoustic import AcousticEncoder
from adml.training.seeding import set_seeds

LENGTHS = np.array([30, 21, 9, 1], np.int32)


def features(frames=30, seed=0):
    return np.random.default_rng(seed).normal(size=(4, frames, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def pair():
    """A fast and a plain encoder with equal weights; the statistics are away from 0 and 1."""
    set_seeds(7)
    fast, plain = AcousticEncoder(), AcousticEncoder(fast=False)
    for _ in range(3):
        fast(features(), LENGTHS, training=True)
    plain(features(), LENGTHS)
    plain.set_weights(fast.get_weights())
    return fast, plain


def sizes(layer):
    return sum(int(np.prod(variable.shape)) for variable in layer.trainable_variables)


def test_parameters(pair):
    for encoder in pair:
        assert sizes(encoder.stem) == 51_968
        assert [sizes(block) for block in encoder.blocks] == [220_704] * 3
        assert sizes(encoder.aggregation) == 592_128
        assert sizes(encoder.frame_projection) == 196_864
        assert sizes(encoder.pooling) == 131_456
        assert sizes(encoder.pooled_norm) == 1_024
        assert sizes(encoder.utterance_projection) == 131_328
        assert sizes(encoder) == 1_766_880


def test_both_paths_have_the_same_weights(pair):
    names = [[weight.name.split("/", 1)[1] for weight in encoder.weights] for encoder in pair]
    assert names[0] == names[1]
    assert [w.shape for w in pair[0].weights] == [w.shape for w in pair[1].weights]


@pytest.mark.parametrize("fast", [True, False])
def test_padding_neighbours_and_batch_size_change_nothing(pair, fast):
    encoder, values = pair[0 if fast else 1], features()
    frames, utterance = encoder(values, LENGTHS)
    assert frames.shape == (4, 30, 256) and utterance.shape == (4, 256)
    junk = 1e3 * features(45, seed=1)
    for index, length in enumerate(LENGTHS):
        junk[index, :length] = values[index, :length]
    padded_frames, padded_utterance = encoder(junk, LENGTHS)
    np.testing.assert_allclose(padded_frames[:, :30], frames, atol=1e-5)
    np.testing.assert_allclose(padded_utterance, utterance, atol=1e-5)
    for index, length in enumerate(LENGTHS):
        alone_frames, alone = encoder(values[index:index + 1, :length], LENGTHS[index:index + 1])
        np.testing.assert_allclose(alone_frames[0], frames[index, :length], atol=1e-5)
        np.testing.assert_allclose(alone[0], utterance[index], atol=1e-5)
        assert np.all(frames[index, length:].numpy() == 0.0)


def test_both_paths_give_equal_embeddings(pair):
    for one, two in zip(pair[0](features(), LENGTHS), pair[1](features(), LENGTHS), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def gradients(encoder, values, lengths, training):
    weights = np.random.default_rng(5).normal(size=(4, 256)).astype(values.dtype)
    with tf.GradientTape() as tape:
        frames, utterance = encoder(values, lengths, training=training)
        loss = tf.reduce_mean(weights * utterance) + tf.reduce_mean(tf.sin(frames))
    return frames, utterance, tape.gradient(loss, encoder.trainable_variables)


def test_both_paths_give_equal_gradients_in_training(pair):
    """In float64: in float32 a ReLU may flip at its corner, and one flip moves every gradient."""
    fast, plain = (AcousticEncoder(fast=path, dtype="float64") for path in (True, False))
    values = features().astype(np.float64)
    for encoder in (fast, plain):
        encoder(values, LENGTHS)
        encoder.set_weights([weight.astype(np.float64) for weight in pair[0].get_weights()])
    one = gradients(fast, values, LENGTHS, True)
    two = gradients(plain, values, LENGTHS, True)
    np.testing.assert_allclose(one[0], two[0], atol=1e-10)
    np.testing.assert_allclose(one[1], two[1], atol=1e-10)
    for variable, left, right in zip(fast.trainable_variables, one[2], two[2], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10, err_msg=variable.name)
    for left, right in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-10)


def test_both_paths_give_equal_gradients_in_inference(pair):
    """In float32, as processors have no dilated float64 gradient; judged by the whole variable."""
    one, two = (gradients(encoder, features(), LENGTHS, False) for encoder in pair)
    for variable, left, right in zip(pair[0].trainable_variables, one[2], two[2], strict=True):
        left, right = (tf.convert_to_tensor(slope).numpy() for slope in (left, right))
        difference = np.linalg.norm(left - right)
        assert difference <= 1e-3 * np.linalg.norm(right) + 1e-6, variable.name


SPANS = Spans(np.array([0, 0, 1, 3]), np.array([3, 0, 2, 0]), np.array([9, 30, 12, 1]))


def test_a_span_that_is_all_there_is_is_the_clip(pair):
    whole = Spans(np.arange(4), np.zeros(4, np.int32), LENGTHS)
    for encoder in pair:
        expected, found = (encoder(features(), LENGTHS, spans=s) for s in (None, whole))
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)


def test_spans_are_pooled_from_the_frames_of_the_whole(pair):
    for encoder in pair:
        frames, _ = encoder(features(), LENGTHS)
        cut, utterance = encoder(features(), LENGTHS, spans=SPANS)
        assert cut.shape == (4, 30, 256) and utterance.shape == (4, 256)
        for place, (clip, start, count) in enumerate(zip(*SPANS, strict=True)):
            own = frames[clip : clip + 1, start : start + count]
            np.testing.assert_allclose(cut[place, :count], own[0], atol=1e-6)
            layout = PaddedFrames(np.array([count]), own)
            pooled = encoder.pooled_norm(encoder.pooling(own, layout))
            expected = encoder.utterance_projection(pooled)
            np.testing.assert_allclose(utterance[place : place + 1], expected, atol=1e-5)
        np.testing.assert_allclose(encoder.pool(frames, SPANS), utterance, atol=1e-5)


def test_both_paths_give_equal_gradients_of_spans(pair):
    fast, plain = (AcousticEncoder(fast=path, dtype="float64") for path in (True, False))
    values = features().astype(np.float64)
    found = []
    for encoder in (fast, plain):
        encoder(values, LENGTHS)
        encoder.set_weights([weight.astype(np.float64) for weight in pair[0].get_weights()])
        with tf.GradientTape() as tape:
            frames, utterance = encoder(values, LENGTHS, training=True, spans=SPANS)
            loss = tf.reduce_sum(tf.sin(utterance)) + tf.reduce_mean(tf.sin(frames))
        found.append((utterance, tape.gradient(loss, encoder.trainable_variables)))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-9)
    for left, right in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-9)


def test_short_clips_give_finite_values_and_gradients(pair):
    encoder = AcousticEncoder()
    for lengths in ([1, 1, 1, 1], [2, 1, 0, 1]):
        frames, utterance, slopes = gradients(encoder, features(3), np.array(lengths), True)
        assert np.all(np.isfinite(frames)) and np.all(np.isfinite(utterance))
        assert all(np.all(np.isfinite(slope)) for slope in slopes)
    assert np.all(np.isfinite(pair[0](features(3), np.zeros(4, np.int32))[1]))


def test_graph_with_unknown_sizes_equals_eager(pair):
    encoder = pair[0]
    function = tf.function(
        encoder.call, autograph=False, input_signature=[tf.TensorSpec([None, None, 40]),
                                       tf.TensorSpec([None], tf.int32)])
    for one, two in zip(function(features(), LENGTHS), encoder(features(), LENGTHS), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_two_replicas_equal_one():
    values, parts = features(12), [slice(0, 1), slice(1, 4)]
    lengths = np.array([12, 7, 3, 5], np.int32)
    weights = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
    small = {"channels": 8, "embedding_dim": 6, "dilations": (2,), "scale": 2, "bottleneck": 4}
    alone = AcousticEncoder(**small)
    alone(values, lengths)
    with strategy.scope():
        shared = AcousticEncoder(**small)
        shared(values, lengths)
    shared.set_weights(alone.get_weights())

    def slopes(encoder, clips, counts, directions):
        with tf.GradientTape() as tape:
            frames, utterance = encoder(clips, counts, training=True)
            loss = tf.reduce_sum(directions * utterance) + tf.reduce_sum(tf.sin(frames))
        gradient = tape.gradient(loss, encoder.trainable_variables)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradient = context.all_reduce("SUM", gradient)
        return utterance, gradient

    def per_replica(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array[parts[context.replica_id_in_sync_group]]))

    expected = slopes(alone, values, lengths, weights)
    run = tf.function(lambda *arguments: strategy.run(
        lambda *replica: slopes(shared, *replica), args=arguments), autograph=False)
    results = run(*(per_replica(array) for array in (values, lengths, weights)))
    utterances = np.concatenate(strategy.experimental_local_results(results[0]))
    np.testing.assert_allclose(utterances, expected[0], atol=5e-5)
    for left, right in zip(results[1], expected[1], strict=True):
        left = strategy.experimental_local_results(left)[0]
        scale = max(1.0, float(tf.reduce_max(tf.abs(right))))
        np.testing.assert_allclose(left / scale, right / scale, atol=1e-5)


def test_config_round_trip():
    encoder = AcousticEncoder(20, 64, 32, dilations=(2, 3), scale=4, bottleneck=16, fast=False)
    assert AcousticEncoder.from_config(encoder.get_config()).get_config() == encoder.get_config()
