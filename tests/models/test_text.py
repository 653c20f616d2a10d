"""The text encoder: parameters, both paths, and that nothing but the text itself counts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.models.text import TextEncoder

LENGTHS = np.array([5, 2, 1], np.int32)
PHONEMES = np.array([[3, 9, 4, 4, 1], [7, 8, 0, 0, 0], [2, 0, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def pair():
    fast, plain = TextEncoder(70), TextEncoder(70, fast=False)
    fast(PHONEMES, LENGTHS)
    plain(PHONEMES, LENGTHS)
    plain.set_weights(fast.get_weights())
    return fast, plain


def test_parameters(pair):
    recurrent = 4 * 256 * (256 + 256 + 1) * 2 + 4 * 256 * (512 + 256 + 1) * 2
    expected = 70 * 256 + recurrent + 512 * 256 + 256 + 256 * 256 + 256
    for encoder in pair:
        assert encoder.count_params() == expected == 2_840_576
    assert [w.shape for w in pair[0].weights] == [w.shape for w in pair[1].weights]


@pytest.mark.parametrize("training", [False, True])
def test_padding_neighbours_and_batch_size_change_nothing(pair, training):
    encoder = pair[0]
    phonemes, utterance = encoder(PHONEMES, LENGTHS, training=training)
    assert phonemes.shape == (3, 5, 256) and utterance.shape == (3, 256)
    junk = np.full((3, 9), 33, np.int32)
    for index, length in enumerate(LENGTHS):
        junk[index, :length] = PHONEMES[index, :length]
    padded, padded_utterance = encoder(junk, LENGTHS, training=training)
    np.testing.assert_allclose(padded[:, :5], phonemes, atol=1e-5)
    np.testing.assert_allclose(padded_utterance, utterance, atol=1e-5)
    for index, length in enumerate(LENGTHS):
        alone, alone_utterance = encoder(PHONEMES[index:index + 1, :length],
                                         LENGTHS[index:index + 1], training=training)
        np.testing.assert_allclose(alone[0], phonemes[index, :length], atol=1e-5)
        np.testing.assert_allclose(alone_utterance[0], utterance[index], atol=1e-5)
        assert np.all(phonemes[index, length:].numpy() == 0.0)


def test_both_paths_give_equal_values_and_gradients(pair):
    weights = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    results = []
    for encoder in pair:
        with tf.GradientTape() as tape:
            phonemes, utterance = encoder(PHONEMES, LENGTHS, training=True)
            loss = tf.reduce_sum(weights * utterance) + tf.reduce_sum(tf.sin(phonemes))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        results.append([phonemes, utterance, *map(tf.convert_to_tensor, gradients)])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5, rtol=1e-5)


def test_an_empty_text_gives_no_nan(pair):
    for training in (False, True):
        phonemes, utterance = pair[0](np.zeros((2, 4), np.int32), np.zeros(2, np.int32),
                                      training=training)
        assert np.all(phonemes.numpy() == 0.0) and np.all(np.isfinite(utterance))


def test_order_matters(pair):
    forward = pair[0](PHONEMES[:1], LENGTHS[:1])[1]
    backward = pair[0](PHONEMES[:1, ::-1].copy(), LENGTHS[:1])[1]
    assert float(tf.reduce_max(tf.abs(forward - backward))) > 1e-3


def test_config_round_trip():
    encoder = TextEncoder(12, 32, 16, 1, fast=False)
    assert TextEncoder.from_config(encoder.get_config()).get_config() == encoder.get_config()
