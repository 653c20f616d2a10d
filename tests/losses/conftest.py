"""The finite-difference check that all loss tests share."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf


def compare_gradients(function, arrays, *, step=1e-6, tolerance=1e-6):
    """Compare the gradient of sum(c * function(*arrays)) with central differences, in float64."""
    arrays = [np.asarray(array, np.float64) for array in arrays]
    weights = np.random.default_rng(3).normal(size=np.shape(function(*map(tf.constant, arrays))))

    def weighted(*values):
        return tf.reduce_sum(function(*values) * weights)

    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = weighted(*tensors)
    gradients = tape.gradient(value, tensors, unconnected_gradients="zero")
    for position, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        expected = np.zeros(array.shape)
        for cell in np.ndindex(array.shape):
            moved = [array.copy() for _ in range(2)]
            moved[0][cell] += step
            moved[1][cell] -= step
            sides = [
                weighted(*[tf.constant(m if i == position else a) for i, a in enumerate(arrays)])
                for m in moved
            ]
            expected[cell] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance * 10)


@pytest.fixture(scope="session")
def check_gradients():
    return compare_gradients
