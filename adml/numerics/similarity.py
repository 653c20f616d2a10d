"""Unit vectors and cosine similarity, never below float32."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["at_least_float32", "cosine_similarity", "matching", "unit_vectors"]


def at_least_float32(values: tf.Tensor) -> tf.Tensor:
    """Return `values` as a tensor of float32, or float64 where it already is.

    Losses compute in float32 whatever the precision policy; float64 is kept so that gradients
    can be compared with finite differences.

    Args:
        values: floating tensor of any shape.

    Returns:
        The same values, float32 or float64.
    """
    values = tf.convert_to_tensor(values)
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)


def matching(value: float | tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Return a constant, tensor or variable in the floating type of another tensor.

    Args:
        value: number, tensor or variable.
        like: tensor of the wanted type.

    Returns:
        `value` as a tensor. A plain number does not pass through float32 on its way.
    """
    if isinstance(value, float | int):
        return tf.constant(value, like.dtype)
    return tf.cast(value, like.dtype)


def unit_vectors(vectors: tf.Tensor) -> tf.Tensor:
    """Scale the last axis to Euclidean length 1; a zero vector stays zero.

    Args:
        vectors: [..., D].

    Returns:
        [..., D], float32 or float64.
    """
    return tf.math.l2_normalize(at_least_float32(vectors), axis=-1, epsilon=1e-24)


def cosine_similarity(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Cosine of every row vector with every column vector: S(x, y) = x . y / (|x| |y|).

    Args:
        rows: [R, D].
        columns: [Q, D].

    Returns:
        [R, Q], float32 or float64.
    """
    return tf.matmul(unit_vectors(rows), unit_vectors(columns), transpose_b=True)
