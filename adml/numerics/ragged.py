"""From padded phoneme sequences to one flat list of phonemes."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["flatten", "phoneme_mask"]


def phoneme_mask(lengths: tf.Tensor, max_length: int | tf.Tensor) -> tf.Tensor:
    """Mark the positions that are not padding.

    Args:
        lengths: [B] integers, valid positions of each row.
        max_length: L, the padded length.

    Returns:
        bool [B, L].
    """
    return tf.sequence_mask(lengths, max_length)


def flatten(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Drop the padding and join the rows, in order: (B, L, ...) -> (P, ...).

    Args:
        values: [B, L, ...] padded on the right.
        lengths: [B] integers, valid positions of each row.

    Returns:
        [P, ...] with P = sum(lengths).

    Source:
        paper, section 3.1: `tf.ragged.boolean_mask` and `.flat_values`.
    """
    values = tf.convert_to_tensor(values)
    mask = phoneme_mask(lengths, tf.shape(values)[1])
    return tf.ragged.boolean_mask(values, mask).flat_values
