"""The modality cross-entropy, and its way through the gradient reversal."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from adml.losses.adversarial import AUDIO, TEXT, modality_accuracy, modality_cross_entropy
from adml.numerics.reversal import reverse_gradient


def test_chance_is_two_ln_two():
    value = modality_cross_entropy(tf.zeros([3, 2]), tf.zeros([3, 2]))
    np.testing.assert_allclose(value, [2 * math.log(2)] * 3, rtol=1e-6)


def test_equation(check_gradients):
    audio, text = np.random.default_rng(0).normal(size=(2, 5, 2))
    expected = []
    for a, t in zip(audio, text, strict=True):
        own_audio = math.exp(a[AUDIO]) / (math.exp(a[0]) + math.exp(a[1]))
        own_text = math.exp(t[TEXT]) / (math.exp(t[0]) + math.exp(t[1]))
        expected.append(-math.log(own_audio) - math.log(own_text))
    np.testing.assert_allclose(modality_cross_entropy(audio, text), expected, rtol=1e-9)
    check_gradients(modality_cross_entropy, [audio, text])


def test_a_sure_classifier_stays_finite():
    far = tf.constant([[1e4, -1e4]])
    np.testing.assert_allclose(modality_cross_entropy(far, -far), [0])
    np.testing.assert_allclose(modality_cross_entropy(-far, far), [4e4])


def test_encoder_ascends_what_the_classifier_descends():
    embeddings, weights = tf.constant([[1.0, 2.0]]), tf.Variable([[0.3, -0.2], [0.1, 0.4]])
    gradients = []
    for transform in (tf.identity, lambda x: reverse_gradient(x, 0.1)):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            logits = tf.matmul(transform(embeddings), weights)
            loss = tf.reduce_sum(modality_cross_entropy(logits, tf.zeros([1, 2])))
        gradients.append(tape.gradient(loss, [embeddings, weights]))
    (plain, plain_weights), (reversed_, reversed_weights) = gradients
    np.testing.assert_allclose(reversed_, -0.1 * plain, rtol=1e-6)
    np.testing.assert_allclose(reversed_weights, plain_weights, rtol=1e-6)


def test_accuracy_and_no_gradient():
    audio = tf.constant([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0], [1e-20, 0.0]], tf.float64)
    text = tf.constant([[0.0, 2.0], [0.0, 2.0], [2.0, 0.0], [0.0, 0.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([audio, text])
        right = modality_accuracy(audio, text)
    np.testing.assert_array_equal(right, [1, 0.5, 0.25, 0.75])
    assert right.dtype == tf.float64
    assert tape.gradient(right, [audio, text]) == [None, None]
    assert modality_accuracy(tf.zeros([2, 2], tf.bfloat16), tf.zeros([2, 2])).dtype == tf.float32
