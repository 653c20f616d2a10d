"""Automatic bfloat16: on inside, put back after, off by default."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.numerics.autocast import autocast

NAME = "auto_mixed_precision_onednn_bfloat16"


def option() -> bool:
    return bool(tf.config.optimizer.get_experimental_options().get(NAME, False))


def product(kind: str) -> np.ndarray:
    """A product of matrices that bfloat16 cannot hold, in a graph of its own."""
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    multiply = tf.function(lambda a, b: tf.linalg.matmul(a, b) + 1.0)
    with autocast(kind):
        return multiply(tf.constant(values), tf.constant(values)).numpy()


def test_none_changes_nothing():
    before = option()
    with autocast("none"):
        assert option() == before


def test_option_is_on_inside_and_put_back_even_after_an_error():
    before = option()
    with pytest.raises(RuntimeError, match="midway"), autocast("bfloat16"):
        assert option()
        raise RuntimeError("midway")
    assert option() == before


def test_products_come_back_as_float32_and_near():
    exact, lowered = product("none"), product("bfloat16")
    assert lowered.dtype == np.float32
    np.testing.assert_allclose(lowered, exact, atol=0.02 * np.abs(exact).max())


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="Expected: one of"), autocast("float8"):
        pass
