"""The gradient reversal."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.numerics.reversal import GradientReversal, reverse_gradient


@pytest.mark.parametrize("strength", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("compiled", [False, True])
def test_value_stays_and_gradient_is_minus_strength(strength, compiled):
    def gradient_of(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = reverse_gradient(x, strength)
            loss = tf.reduce_sum(tf.square(y))
        return y, tape.gradient(loss, x)

    x = tf.constant([[1.0, -2.0], [0.5, 3.0]])
    y, gradient = (tf.function(gradient_of) if compiled else gradient_of)(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(gradient, -strength * 2 * x.numpy())


def test_strength_may_be_a_variable():
    x, strength = tf.constant([1.0, 2.0]), tf.Variable(0.25)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(reverse_gradient(x, strength))
        return tape.gradient(loss, x)

    np.testing.assert_allclose(gradient(), [-0.25, -0.25])
    strength.assign(1.0)
    np.testing.assert_allclose(gradient(), [-1.0, -1.0])


def test_layer():
    layer = GradientReversal(0.3, name="reversal")
    again = GradientReversal.from_config(layer.get_config())
    assert again.strength == 0.3
    np.testing.assert_array_equal(again(tf.constant([1.0])), [1.0])
    with pytest.raises(ValueError, match=r"Expected: a number >= 0\. Received: -1"):
        GradientReversal(-1)
