"""Relational proxy (RP) loss: the text embeddings' geometry, carried over to audio.

Text embeddings are proxies; their mutual distances and angles are targets for the keywords' audio
prototypes. Neither changes under a rotation of the audio space, so the prototypical term
ties the two spaces together.
"""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import cosine_similarity, matching, unit_vectors

__all__ = ["angle", "distance", "prototype", "prototypes"]

_CELLS = 500_000
"""About so many angles are computed at a time."""


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
        as for `distance`. The law of cosines on the [K, K] distances gives the K^3 angles
        without a product over D and without a [K, K, D] tensor.
    """
    target = _sides(_squared_distances(tf.stop_gradient(_centred_unit(proxies))))
    actual = _sides(_squared_distances(_centred_unit(embeddings)))
    num_keywords = tf.cast(tf.shape(embeddings)[0], actual[0].dtype)
    triples = num_keywords * (num_keywords - 1) * (num_keywords - 2)
    # Cells with two equal indices are the same constant on both sides and add nothing.
    return _huber_of_angles(target, actual) / tf.maximum(triples, 1)


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


def _sides(squared: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Distances, their inverses (0 where points are equal) and squares, each [K, K]."""
    distances, apart = _distances(squared)
    inverse = tf.where(apart, tf.math.divide_no_nan(tf.ones_like(distances), distances), 0)
    return distances, inverse, squared


def _angle_cosines(distances: tf.Tensor, inverse: tf.Tensor, squared: tf.Tensor) -> tf.Tensor:
    """psi_A: cell (j, i, k) is the cosine at x_j between x_i and x_k; 0 where undefined.

    Args:
        distances, inverse: [J, K], of some x_j.
        squared: [K, K].

    Returns:
        [J, K, K].
    """
    # (d_ij^2 + d_jk^2 - d_ik^2) / (2 d_ij d_jk), with the division spread over the [J, K] factors.
    near = (distances / 2)[:, :, tf.newaxis] * inverse[:, tf.newaxis, :]
    far = inverse[:, :, tf.newaxis] * (distances / 2)[:, tf.newaxis, :]
    opposite = (inverse / 2)[:, :, tf.newaxis] * inverse[:, tf.newaxis, :] * squared[tf.newaxis]
    return near + far - opposite


def _huber_of_angles(target: tuple, actual: tuple) -> tf.Tensor:
    """Sum over all angles of Huber(psi_A(target) - psi_A(actual)), a slab of x_j at a time.

    The gradient is computed with the value and kept as [K, K]: the K^3 cells, which would be held
    several times over, never stand at once, and a slab of them stays near the processor.

    Args:
        target, actual: of `_sides`; the gradient is that in `actual`.
    """
    count = tf.shape(actual[2])[0]
    rows = tf.maximum(1, _CELLS // tf.maximum(1, count * count))

    # The targets are arguments, though no gradient is theirs: of what a custom gradient encloses
    # the runtime looks for the variables, all through the network that it comes from.
    @tf.custom_gradient
    def total(*given: tf.Tensor):
        theirs, sides = given[:3], given[3:]

        def slab(start, value, to_squared, *arrays):
            def of(three):
                return three[0][start : start + rows], three[1][start : start + rows], three[2]

            ours = of(sides)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(ours)
                difference = _angle_cosines(*ours) - _angle_cosines(*of(theirs))
                part = tf.reduce_sum(_huber(difference))
            *parts, into_squared = tape.gradient(part, ours)
            arrays = [a.write(start // rows, g) for a, g in zip(arrays, parts, strict=True)]
            return (start + rows, value + part, to_squared + into_squared, *arrays)

        dtype, slabs = sides[0].dtype, (count + rows - 1) // rows
        arrays = [
            tf.TensorArray(dtype, slabs, infer_shape=False, element_shape=[None, None])
            for _ in range(2)
        ]
        _, value, to_squared, *arrays = tf.while_loop(
            lambda start, *_: start < count, slab,
            (0, tf.zeros([], dtype), tf.zeros_like(sides[2]), *arrays), parallel_iterations=1,
        )  # fmt: skip
        slopes = (*(array.concat() for array in arrays), to_squared)
        return value, lambda upstream: (None, None, None, *(upstream * one for one in slopes))

    return total(*target, *actual)


def _huber(difference: tf.Tensor) -> tf.Tensor:
    """x^2 / 2 up to |x| = 1, |x| - 1/2 beyond."""
    clipped = tf.clip_by_value(difference, -1, 1)
    return clipped * (difference - clipped / 2)
