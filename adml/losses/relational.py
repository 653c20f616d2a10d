"""Relational proxy (RP) loss: the text embeddings' geometry, carried over to audio.

Text embeddings are proxies; their mutual distances and angles are targets for the keywords' audio
prototypes. Neither changes under a rotation of the audio space, so the prototypical term
ties the two spaces together.
"""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import cosine_similarity, matching, unit_vectors

__all__ = ["angle", "distance", "prototype", "prototypes"]


def prototypes(audio: tf.Tensor, keyword_index: tf.Tensor, num_keywords: int) -> tf.Tensor:
    """Mean unit audio embedding of each keyword.

    Args:
        audio: [B, D].
        keyword_index: [B] integers in [0, K).
        num_keywords: K.

    Returns:
        [K, D]; zeros for a keyword without utterances.
    """
    return tf.math.unsorted_segment_mean(unit_vectors(audio), keyword_index, num_keywords)


def distance(proxies: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """Distance-wise relation loss, RPL-D.

        psi_D(x_i, x_j) = |x_i - x_j| / mu,  mu = mean of the positive distances, for each side
        loss = mean_{i != j} Huber(psi_D(proxies) - psi_D(embeddings)),  delta = 1

    Args:
        proxies: [K, D] text embeddings; targets, no gradient.
        embeddings: [K, D] audio prototypes.

    Returns:
        Scalar; 0 for fewer than two keywords.

    Source:
        paper, section 3.2; the building block is relational knowledge distillation. Both sides
        are scaled to unit length first and the diagonal is left out of the mean (chosen).
    """
    target = _scaled_distances(tf.stop_gradient(_centred_unit(proxies)))
    actual = _scaled_distances(_centred_unit(embeddings))
    num_keywords = tf.cast(tf.shape(actual)[0], actual.dtype)
    pairs = num_keywords * (num_keywords - 1)
    return tf.reduce_sum(_huber(actual - target)) / tf.maximum(pairs, 1)


def angle(proxies: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """Angle-wise relation loss, RPL-A.

        psi_A(x_i, x_j, x_k) = cosine of the angle at x_j
        loss = mean over distinct i, j, k of Huber(psi_A(proxies) - psi_A(embeddings)),  delta = 1

    Args:
        proxies: [K, D] text embeddings; targets, no gradient.
        embeddings: [K, D] audio prototypes.

    Returns:
        Scalar; 0 for fewer than three keywords.

    Source:
        as for `distance`. The law of cosines on the [K, K] distances gives the [K, K, K] angles
        without a product over D: K^3 cells and no [K, K, D] tensor.
    """
    target = _angle_cosines(tf.stop_gradient(_centred_unit(proxies)))
    actual = _angle_cosines(_centred_unit(embeddings))
    num_keywords = tf.cast(tf.shape(embeddings)[0], actual.dtype)
    triples = num_keywords * (num_keywords - 1) * (num_keywords - 2)
    # Cells with two equal indices are the same constant on both sides and add nothing.
    return tf.reduce_sum(_huber(actual - target)) / tf.maximum(triples, 1)


def prototype(audio, proxies, labels, *, scale=20.0) -> tf.Tensor:
    """Prototypical loss against the text proxies, RPL-P.

        -log softmax_k(scale cos(a_i, t_k))[y_i]

    Args:
        audio: [B, D].
        proxies: [K, D] text embeddings.
        labels: [B] integers in [0, K), each utterance's proxy.
        scale: s, a scalar.

    Returns:
        [B].
    """
    similarity = cosine_similarity(audio, proxies)
    logits = matching(scale, similarity) * similarity
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _centred_unit(vectors: tf.Tensor) -> tf.Tensor:
    """Unit vectors minus their mean: differences stay, and their float32 rounding shrinks."""
    unit = unit_vectors(vectors)
    return unit - tf.stop_gradient(tf.reduce_mean(unit, axis=0, keepdims=True))


def _squared_distances(vectors: tf.Tensor) -> tf.Tensor:
    """[K, K] squared Euclidean distances, exactly 0 on the diagonal and never below 0."""
    squares = tf.reduce_sum(tf.square(vectors), axis=-1)
    inner = tf.matmul(vectors, vectors, transpose_b=True)
    squared = squares[:, tf.newaxis] + squares[tf.newaxis, :] - 2 * inner
    zero_diagonal = tf.zeros_like(squares)
    return tf.linalg.set_diag(tf.nn.relu(squared), zero_diagonal)


def _distances(squared: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Square roots, with gradient 0 at (numerically) equal points, and the mask of the others."""
    apart = squared > 1e-12
    safe = tf.where(apart, squared, tf.ones_like(squared))
    return tf.where(apart, tf.sqrt(safe), tf.zeros_like(squared)), apart


def _scaled_distances(vectors: tf.Tensor) -> tf.Tensor:
    """psi_D: [K, K] distances divided by the mean of the positive ones."""
    distances, apart = _distances(_squared_distances(vectors))
    count = tf.reduce_sum(tf.cast(apart, distances.dtype))
    mean = tf.math.divide_no_nan(tf.reduce_sum(distances), count)
    return tf.math.divide_no_nan(distances, mean)


def _angle_cosines(vectors: tf.Tensor) -> tf.Tensor:
    """psi_A: [K, K, K], cell (j, i, k) the cosine at x_j between x_i and x_k; 0 where undefined."""
    squared = _squared_distances(vectors)
    distances, apart = _distances(squared)
    inverse = tf.where(apart, tf.math.divide_no_nan(tf.ones_like(distances), distances), 0)
    # (d_ij^2 + d_jk^2 - d_ik^2) / (2 d_ij d_jk), with the division spread over the [K, K] factors.
    near = (distances / 2)[:, :, tf.newaxis] * inverse[:, tf.newaxis, :]
    far = inverse[:, :, tf.newaxis] * (distances / 2)[:, tf.newaxis, :]
    opposite = (inverse / 2)[:, :, tf.newaxis] * inverse[:, tf.newaxis, :] * squared[tf.newaxis]
    return near + far - opposite


def _huber(difference: tf.Tensor) -> tf.Tensor:
    """x^2 / 2 up to |x| = 1, |x| - 1/2 beyond."""
    clipped = tf.clip_by_value(difference, -1, 1)
    return clipped * (difference - clipped / 2)
