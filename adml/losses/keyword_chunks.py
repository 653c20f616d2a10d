"""SphereFace2 and AAM-Softmax over many classes, a chunk of classes at a time.

The plain losses hold [B, C] logits and their gradients several times over. These hold [B, chunk]:
going forward they keep one number an item, going backward they compute each chunk anew. Values and
gradients are those of the plain losses, but for the order in which rounded numbers are added.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from adml.losses import keyword
from adml.numerics.similarity import at_least_float32, matching, unit_vectors

__all__ = ["aam_softmax_in_chunks", "sphereface2_in_chunks"]

Piece = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""(unit embeddings [B, D], class weights [c, D], own class within the chunk [B], bias) -> [B]."""


def sphereface2_in_chunks(
    embeddings, class_weights, labels, *, chunk, scale=32.0, margin=0.2, exponent=3.0,
    balance=0.7, bias=0.0, variant="C",
) -> tf.Tensor:  # fmt: skip
    """`keyword.sphereface2` of the cosines of embeddings and class weights.

    Args:
        embeddings: [B, D]. class_weights: [C, D]. Neither needs unit length.
        labels: [B] integers below C; negative = no loss.
        chunk: classes at a time, at least 1.
        scale, margin, exponent, balance, bias, variant: as for `keyword.sphereface2`; no gradient
            reaches scale and margin.

    Returns:
        [B].

    Source:
        chosen, as the paper trains 210,000 classes and does not say how.
    """
    rows, classes, labels = _prepared(embeddings, class_weights, labels)
    bias = matching(bias, rows)
    terms = {"scale": matching(scale, rows), "margin": matching(margin, rows),
             "exponent": exponent, "variant": variant}  # fmt: skip
    positive = keyword.own_logits(_own_cosine(rows, classes, labels), bias=bias, **terms)

    def pushed(rows, weights, own, bias) -> tf.Tensor:
        cosine = tf.matmul(rows, unit_vectors(weights), transpose_b=True)
        each = tf.nn.softplus(keyword.other_logits(cosine, bias=bias, **terms))
        return tf.reduce_sum(tf.where(_is_own(each, own), tf.zeros_like(each), each), axis=1)

    negative = _over_classes(pushed, tf.add, rows, classes, labels, bias, chunk)
    losses = balance * tf.nn.softplus(-positive) + (1 - balance) * negative
    return tf.where(labels >= 0, losses, tf.zeros_like(losses))


def aam_softmax_in_chunks(
    embeddings, class_weights, labels, *, chunk, scale=32.0, margin=0.2
) -> tf.Tensor:
    """`keyword.aam_softmax` of the cosines of embeddings and class weights.

    Args:
        embeddings, class_weights, labels, chunk: as for `sphereface2_in_chunks`.
        scale, margin: as for `keyword.aam_softmax`; no gradient reaches them.

    Returns:
        [B].
    """
    rows, classes, labels = _prepared(embeddings, class_weights, labels)
    scale, margin = matching(scale, rows), matching(margin, rows)
    target = _own_cosine(rows, classes, labels)
    own_logit = keyword.widened_logits(target, scale=scale, margin=margin)

    def normaliser(rows, weights, own, bias) -> tf.Tensor:
        cosine = tf.matmul(rows, unit_vectors(weights), transpose_b=True)
        widened = keyword.widened_logits(cosine, scale=scale, margin=margin)
        return tf.reduce_logsumexp(tf.where(_is_own(cosine, own), widened, scale * cosine), axis=1)

    no_bias = tf.zeros([], rows.dtype)
    total = _over_classes(normaliser, _add_exponentials, rows, classes, labels, no_bias, chunk)
    losses = total - own_logit
    return tf.where(labels >= 0, losses, tf.zeros_like(losses))


def _over_classes(
    piece: Piece, combine: Callable, rows: tf.Tensor, classes: tf.Tensor, labels: tf.Tensor,
    bias: tf.Tensor, chunk: int,
) -> tf.Tensor:  # fmt: skip
    """Combine `piece` of every chunk of classes, [B]; `combine` adds numbers, or their powers."""
    if chunk < 1:
        raise ValueError(f"A chunk holds no class. Expected: chunk >= 1. Received: {chunk}.")
    count = tf.shape(classes)[0]

    @tf.custom_gradient
    def combined(rows, classes, bias):
        def forward(start, total):
            found = piece(rows, classes[start : start + chunk], labels - start, bias)
            return start + chunk, combine(total, found)

        nothing = tf.zeros_like(rows[:, 0])
        if combine is not tf.add:
            nothing += nothing.dtype.min
        _, total = tf.while_loop(
            lambda start, _: start < count, forward, (0, nothing), parallel_iterations=1
        )

        def gradient(upstream):
            def backward(start, to_rows, to_classes, to_bias):
                weights = classes[start : start + chunk]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch((rows, weights, bias))
                    found = piece(rows, weights, labels - start, bias)
                share = upstream if combine is tf.add else upstream * tf.exp(found - total)
                rows_part, weights_part, bias_part = tape.gradient(
                    found, (rows, weights, bias), output_gradients=share,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )  # fmt: skip
                to_classes = to_classes.write(start // chunk, weights_part)
                return start + chunk, to_rows + rows_part, to_classes, to_bias + bias_part

            pieces = tf.TensorArray(
                rows.dtype, (count + chunk - 1) // chunk, infer_shape=False,
                element_shape=[None, classes.shape[1]],
            )  # fmt: skip
            _, to_rows, to_classes, to_bias = tf.while_loop(
                lambda start, *_: start < count, backward,
                (0, tf.zeros_like(rows), pieces, tf.zeros_like(bias)), parallel_iterations=1,
            )  # fmt: skip
            return to_rows, to_classes.concat(), to_bias

        return total, gradient

    return combined(rows, classes, bias)


def _prepared(embeddings, class_weights, labels) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Unit embeddings, class weights of the same type, and int32 labels."""
    rows = unit_vectors(embeddings)
    classes = tf.cast(at_least_float32(class_weights), rows.dtype)
    return rows, classes, tf.cast(labels, tf.int32)


def _own_cosine(rows: tf.Tensor, classes: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """[B] cosine to the own class; to class 0 where there is none."""
    own = tf.gather(classes, tf.maximum(labels, 0))
    return tf.reduce_sum(rows * unit_vectors(own), axis=1)


def _is_own(values: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """True at the own class: bool like [B, c]; `own` may lie outside the chunk."""
    return tf.range(tf.shape(values)[1])[tf.newaxis, :] == own[:, tf.newaxis]


def _add_exponentials(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """log(e^first + e^second)."""
    return tf.maximum(first, second) + tf.nn.softplus(-tf.abs(first - second))
