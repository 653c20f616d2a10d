"""Small tensor expressions written so that the CPU runtime computes them in few memory passes."""

from __future__ import annotations

import tensorflow as tf


def affine_product(inputs: tf.Tensor, kernel: tf.Tensor,
                   bias: tf.Tensor | None = None) -> tf.Tensor:
    """Returns `inputs @ kernel + bias` over the last axis as one matrix product.

    A plain product of matrices on purpose: the gradient of a broadcast `tf.einsum` ("...c,cd")
    ends the process with TensorFlow 2.17 and oneDNN.

    Args:
        inputs: `[..., C]`.
        kernel: `[C, D]`.
        bias: `[D]`; None: nothing is added.
    """
    flat = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel)
    if bias is not None:
        flat = tf.nn.bias_add(flat, bias)
    shape = tf.concat([tf.shape(inputs)[:-1], [kernel.shape[1]]], axis=0)
    outputs = tf.reshape(flat, shape)
    outputs.set_shape(inputs.shape[:-1].concatenate(kernel.shape[1]))
    return outputs


def valid_frames(lengths: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Returns 1 on the frames of an utterance and 0 on its padding.

    Args:
        lengths: int `[B]` frames of each utterance.
        reference: `[B, F, C]` or `[B, 1, F, C]`; gives the number of frames, rank and dtype.

    Returns:
        `[B, F, 1]` or `[B, 1, F, 1]` in the dtype of `reference`.
    """
    valid = tf.sequence_mask(lengths, tf.shape(reference)[-2], dtype=reference.dtype)
    valid = tf.expand_dims(valid, -1)
    return valid if reference.shape.rank == 3 else tf.expand_dims(valid, 1)
