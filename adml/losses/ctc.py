"""Frame-level CTC on the phoneme classes."""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import at_least_float32

__all__ = ["frame_ctc"]

_LOWEST_LOG_PROBABILITY = -40.0


def frame_ctc(logits, frame_lengths, phoneme_classes, phoneme_lengths) -> tf.Tensor:
    """CTC loss per phoneme; the blank is the last class.

        -log sum over alignments of prod_f softmax(logits_f)[symbol_f]  /  number of phonemes

    Args:
        logits: [B, F, V + 1].
        frame_lengths: [B] integers.
        phoneme_classes: [B, L] integers below V; padding is ignored.
        phoneme_lengths: [B] integers.

    Returns:
        [B]; 0, with no gradient, where a label does not fit into its frames (it needs one
        frame each, and a blank between equal neighbours) or is empty.
    """
    # The native kernel takes logarithms of a softmax: what underflows there must not be zero.
    logits = tf.maximum(tf.nn.log_softmax(at_least_float32(logits)), _LOWEST_LOG_PROBABILITY)
    frame_lengths = tf.cast(frame_lengths, tf.int32)
    lengths = tf.cast(phoneme_lengths, tf.int32)
    classes = tf.cast(phoneme_classes, tf.int32)
    mask = tf.sequence_mask(lengths, tf.shape(classes)[1])
    repeats = mask[:, 1:] & (classes[:, 1:] == classes[:, :-1])
    needed = lengths + tf.reduce_sum(tf.cast(repeats, tf.int32), axis=1)
    fits = (needed <= frame_lengths) & (lengths > 0)
    # The native kernel refuses a label that does not fit, and an empty one: such rows go in as
    # one phoneme, and their loss is put aside below.
    first = tf.range(tf.shape(classes)[1])[tf.newaxis, :] == 0
    labels_mask = tf.where(fits[:, tf.newaxis], mask, first)
    classes = tf.where(mask, classes, 0)
    labels = tf.SparseTensor(
        tf.where(labels_mask),
        tf.boolean_mask(classes, labels_mask),
        tf.shape(classes, out_type=tf.int64),
    )
    losses = tf.nn.ctc_loss(
        labels=labels,
        logits=tf.transpose(logits, [1, 0, 2]),
        label_length=None,
        logit_length=tf.maximum(frame_lengths, 1),
        logits_time_major=True,
        blank_index=-1,
    )
    losses = losses / tf.cast(tf.maximum(lengths, 1), losses.dtype)
    return tf.where(fits, losses, tf.zeros_like(losses))
