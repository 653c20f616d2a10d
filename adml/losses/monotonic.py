"""Monotonic matching: the attention of text on audio should run along the diagonal."""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import at_least_float32

__all__ = ["diagonal_error", "monotonic_matching"]


def monotonic_matching(attention, num_phonemes, num_frames, *, width=0.2) -> tf.Tensor:
    """Guided-attention penalty, L_MM.

        W_uj = 1 - exp(-((u + .5) / T_t - (j + .5) / T_a)^2 / (2 g^2))
        L = 1 / T_t sum_u sum_j A_uj W_uj  over valid cells

    Args:
        attention: [B, L, F], rows sum to 1 over the frames.
        num_phonemes: [B] integers T_t.
        num_frames: [B] integers T_a.
        width: g, as a share of the whole.

    Returns:
        [B] in [0, 1]; 0 for an item without phonemes or frames.

    Source:
        only the full-match case, as the paper has it; the form of the penalty is chosen.
    """
    attention = at_least_float32(attention)
    row, column, valid = _positions(attention, num_phonemes, num_frames)
    offset = row[:, :, tf.newaxis] - column[:, tf.newaxis, :]
    weights = 1 - tf.exp(-tf.square(offset) / (2 * width**2))
    masked = tf.where(valid, attention * weights, tf.zeros([], attention.dtype))
    length = tf.maximum(tf.cast(num_phonemes, attention.dtype), 1)
    return tf.reduce_sum(masked, axis=[1, 2]) / length


def diagonal_error(attention, num_phonemes, num_frames) -> tf.Tensor:
    """Mean squared error to the diagonal resized to T_t x T_a, the other form of L_MM.

    Frame j belongs to phoneme floor((j + .5) / T_a * T_t); each row of the target is spread
    evenly over its frames.

    Args:
        attention: [B, L, F], rows sum to 1 over the frames.
        num_phonemes: [B] integers T_t.
        num_frames: [B] integers T_a.

    Returns:
        [B], the mean over valid cells; 0 for an item without phonemes or frames.
    """
    attention = at_least_float32(attention)
    _, column, valid = _positions(attention, num_phonemes, num_frames)
    length = tf.cast(num_phonemes, attention.dtype)[:, tf.newaxis]
    owner = tf.cast(tf.floor(column * length), tf.int32)
    phonemes = tf.range(tf.shape(attention)[1])
    diagonal = tf.cast(
        (owner[:, tf.newaxis, :] == phonemes[tf.newaxis, :, tf.newaxis]) & valid, attention.dtype
    )
    target = tf.math.divide_no_nan(diagonal, tf.reduce_sum(diagonal, axis=2, keepdims=True))
    squared = tf.where(valid, tf.square(attention - target), tf.zeros([], attention.dtype))
    cells = tf.reduce_sum(tf.cast(valid, attention.dtype), axis=[1, 2])
    return tf.reduce_sum(squared, axis=[1, 2]) / tf.maximum(cells, 1)


def _positions(attention, num_phonemes, num_frames) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Relative positions of rows [B, L] and columns [B, F], and the valid cells [B, L, F]."""
    shape = tf.shape(attention)
    rows, columns = tf.range(shape[1]), tf.range(shape[2])
    row = _relative(rows, num_phonemes, attention.dtype)
    column = _relative(columns, num_frames, attention.dtype)
    row_valid = tf.sequence_mask(num_phonemes, shape[1])
    column_valid = tf.sequence_mask(num_frames, shape[2])
    return row, column, row_valid[:, :, tf.newaxis] & column_valid[:, tf.newaxis, :]


def _relative(positions, lengths, dtype) -> tf.Tensor:
    """(position + .5) / length, [B, positions]."""
    lengths = tf.maximum(tf.cast(lengths, dtype), 1)
    return (tf.cast(positions, dtype)[tf.newaxis, :] + 0.5) / lengths[:, tf.newaxis]
