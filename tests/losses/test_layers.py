"""The learnable constants."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.losses.layers import AdaptiveMargins, LearnableScale


@pytest.mark.parametrize("parametrisation", ["clamp", "softplus"])
def test_initial_values_are_gathered_by_class(parametrisation):
    layer = AdaptiveMargins(4, parametrisation=parametrisation)
    alpha, beta, margin = layer(tf.constant([3, 0, 0, -1]))
    np.testing.assert_allclose(alpha, [0.01] * 4, rtol=1e-5)
    np.testing.assert_allclose(beta, [1.5] * 4, rtol=1e-5)
    np.testing.assert_allclose(margin, [0.01] * 4, rtol=1e-5)
    assert [v.shape.as_list() for v in layer.trainable_variables] == [[4]] * 3
    assert AdaptiveMargins.from_config(layer.get_config()).get_config() == layer.get_config()


def test_gradient_goes_to_the_class_of_the_anchor():
    layer = AdaptiveMargins(4)
    with tf.GradientTape() as tape:
        alpha, beta, margin = layer(tf.constant([3, 0, 0]))
        total = tf.reduce_sum(alpha) + 2 * tf.reduce_sum(beta) + 3 * tf.reduce_sum(margin)
    gradients = tape.gradient(total, [layer.raw_alpha, layer.raw_beta, layer.raw_margin])
    for factor, gradient in enumerate(gradients, start=1):
        dense = tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(dense, factor * np.array([2.0, 0, 0, 1]))


def test_clamp_holds_alpha_and_beta_and_leaves_the_margin():
    layer = AdaptiveMargins(3)
    for variable in (layer.raw_alpha, layer.raw_beta, layer.raw_margin):
        variable.assign([-5.0, 1e-3, 0.5])
    with tf.GradientTape() as tape:
        alpha, beta, margin = layer(tf.constant([0, 1, 2]))
        total = tf.reduce_sum(alpha)
    np.testing.assert_allclose(alpha, [1e-3, 1e-3, 0.5])
    np.testing.assert_allclose(beta, [1e-3, 1e-3, 0.5])
    np.testing.assert_allclose(margin, [-5.0, 1e-3, 0.5])
    gradient = tf.convert_to_tensor(tape.gradient(total, layer.raw_alpha))
    np.testing.assert_allclose(gradient, [0, 1, 1])


def test_unknown_parametrisation():
    with pytest.raises(ValueError, match=r"Expected: 'clamp' or 'softplus'\. Received: 'exp'"):
        AdaptiveMargins(3, parametrisation="exp")


def test_scale_starts_where_told_and_is_bounded():
    layer = LearnableScale(20.0, highest=50.0)
    assert float(layer(None)) == pytest.approx(20.0, rel=1e-5)
    layer.logarithm.assign(9.0)
    assert float(layer(None)) == pytest.approx(50.0, rel=1e-5)
    assert LearnableScale.from_config(layer.get_config()).settings == layer.settings
    with pytest.raises(ValueError, match=r"Expected: 0 < initial <= 100\.0\. Received: 0"):
        LearnableScale(0)
