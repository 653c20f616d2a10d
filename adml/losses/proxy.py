"""AsyP, Proxy-BD and Proxy-MS: text proxies pull and push audio embeddings by label.

All take flattened phonemes (or words) and give one loss per anchor; nothing is reduced here.
Anchors that have no positive or no negative contribute 0 (see `counted_anchors`), and a negative
label takes an item out of the loss altogether.
"""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import cosine_similarity, matching

__all__ = ["asyp", "asyp_terms", "counted_anchors", "proxy_bd", "proxy_ms"]


def counted_anchors(labels: tf.Tensor) -> tf.Tensor:
    """Tell which anchors have both a positive and a negative, and so enter the mean.

    Args:
        labels: [P] integers; negative = outside the loss. Text and audio hold the same labels.

    Returns:
        bool [P]: true where the label is not negative and some other label is present.
    """
    labels = tf.convert_to_tensor(labels)
    valid = labels >= 0
    highest = tf.reduce_max(labels)
    lowest = tf.reduce_min(tf.where(valid, labels, labels.dtype.max))
    return valid & (lowest < highest)


def asyp(text, audio, labels, *, alpha=0.01, beta=1.5, margin=0.01) -> tf.Tensor:
    """Asymmetric proxy loss, one value for each anchor.

        1/alpha log(1 + sum_{j in P_i} exp(alpha (margin - S(t_i, a_j))))
        + 1/|N_i| sum_{k in N_i} log(1 + exp(beta (S(a_i, t_k) - margin)))         (Eq. 2)

    Args:
        text: [P, D] text embeddings t.
        audio: [P, D] audio embeddings a.
        labels: [P] integers; P_i = equal label, N_i = other label; negative = outside the loss.
        alpha, beta, margin: scalars or [P], the anchor's.

    Returns:
        [P], 0 for anchors without a positive or a negative.

    Source:
        paper, section 3.1, Eq. 2 (subscripts reconstructed); no pair mining (chosen).
    """
    positive, negative, _ = asyp_terms(text, audio, labels, alpha=alpha, beta=beta, margin=margin)
    return positive + negative


def asyp_terms(
    text, audio, labels, *, alpha=0.01, beta=1.5, margin=0.01, audio_labels=None, audio_margin=None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The two halves of `asyp`, and the first without its label-count constant.

    With `audio_labels` the two sides may differ in number: where each text row stands for the
    same number of audio rows, the means of the halves are those of the repeated text, at a
    fraction of the similarity matrix.

    Args:
        text: [Pt, D] text embeddings, the anchors of the first half.
        audio: [Pa, D] audio embeddings, the anchors of the second half.
        labels: [Pt] integers.
        alpha: scalar or [Pt].
        beta: scalar or [Pa].
        margin: scalar or [Pt].
        audio_labels: [Pa] integers; None: `labels`.
        audio_margin: scalar or [Pa], the margin of the second half; None: `margin`.

    Returns:
        positive [Pt], negative [Pa], and positive - log(1 + |P_i|) / alpha [Pt]. The last is
        the curve to read: at alpha = 0.01 the constant hides everything else.
    """
    audio_labels = labels if audio_labels is None else audio_labels
    audio_margin = margin if audio_margin is None else audio_margin
    similarity = cosine_similarity(text, audio)
    same, different = _pair_masks(labels, audio_labels)
    positive, num_positives = _positive_part(similarity, same, alpha, margin)
    negative, num_negatives = _mean_softplus(
        _row(beta, similarity) * (similarity - _row(audio_margin, similarity)), different, axis=0
    )
    constant = tf.math.log1p(num_positives) / matching(alpha, similarity)
    text_counted = (num_positives > 0) & tf.reduce_any(different, axis=1)
    audio_counted = (num_negatives > 0) & tf.reduce_any(same, axis=0)
    zero = tf.zeros([], similarity.dtype)
    return (
        tf.where(text_counted, positive, zero),
        tf.where(audio_counted, negative, zero),
        tf.where(text_counted, positive - constant, zero),
    )


def proxy_bd(
    text, audio, labels, *, alpha=0.01, beta=1.5, margin=0.01, audio_labels=None
) -> tf.Tensor:
    """Binomial deviance with the text as anchor on both sides (chosen).

        mean_{P_i} softplus(alpha (margin - S)) + mean_{N_i} softplus(beta (S - margin))

    Args: as for `asyp`; `audio_labels` [Pa] where the two sides differ in number.

    Returns:
        [P], 0 for anchors without a positive or a negative.
    """
    similarity = cosine_similarity(text, audio)
    same, different = _pair_masks(labels, labels if audio_labels is None else audio_labels)
    alpha, beta, margin = (_column(value, similarity) for value in (alpha, beta, margin))
    positive, num_positives = _mean_softplus(alpha * (margin - similarity), same, axis=1)
    negative, num_negatives = _mean_softplus(beta * (similarity - margin), different, axis=1)
    counted = (num_positives > 0) & (num_negatives > 0)
    return tf.where(counted, positive + negative, tf.zeros_like(positive))


def proxy_ms(
    text, audio, labels, *, alpha=0.01, beta=1.5, margin=0.01, audio_labels=None
) -> tf.Tensor:
    """Multi-similarity with the text as anchor on both sides (chosen).

        1/alpha log(1 + sum_{P_i} e^{alpha (margin - S)})
        + 1/beta log(1 + sum_{N_i} e^{beta (S - margin)})

    Args: as for `asyp`; `audio_labels` [Pa] where the two sides differ in number.

    Returns:
        [P], 0 for anchors without a positive or a negative.
    """
    similarity = cosine_similarity(text, audio)
    same, different = _pair_masks(labels, labels if audio_labels is None else audio_labels)
    positive, num_positives = _positive_part(similarity, same, alpha, margin)
    beta, margin = _column(beta, similarity), _column(margin, similarity)
    pushed = _extended_log_sum_exp(beta * (similarity - margin), different)
    negative = pushed / (beta[:, 0] if beta.shape.rank == 2 else beta)
    counted = (num_positives > 0) & tf.reduce_any(different, axis=1)
    return tf.where(counted, positive + negative, tf.zeros_like(positive))


def _pair_masks(labels: tf.Tensor, audio_labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Equal labels, and different ones, both among labels >= 0: bool [Pt, Pa] twice."""
    rows = tf.convert_to_tensor(labels)[:, tf.newaxis]
    columns = tf.cast(audio_labels, rows.dtype)[tf.newaxis, :]
    equal = rows == columns
    same = equal & (rows >= 0)
    different = tf.logical_not(equal) & ((rows >= 0) & (columns >= 0))
    return same, different


def _column(value, like: tf.Tensor) -> tf.Tensor:
    """A scalar, or one value for each row as [P, 1]."""
    value = matching(value, like)
    return value if value.shape.rank == 0 else value[:, tf.newaxis]


def _row(value, like: tf.Tensor) -> tf.Tensor:
    """A scalar, or one value for each column as [1, P]."""
    value = matching(value, like)
    return value if value.shape.rank == 0 else value[tf.newaxis, :]


def _positive_part(similarity, same, alpha, margin) -> tuple[tf.Tensor, tf.Tensor]:
    """1/alpha log(1 + sum_{same} exp(alpha (margin - S))) [Pt] and the number of positives [Pt]."""
    exponents = _column(alpha, similarity) * (_column(margin, similarity) - similarity)
    pulled = _extended_log_sum_exp(exponents, same)
    num_positives = tf.reduce_sum(tf.cast(same, similarity.dtype), axis=1)
    return pulled / matching(alpha, similarity), num_positives


def _extended_log_sum_exp(exponents: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """log(1 + sum of exp(exponents) where mask) along axis 1, stable and finite: [Pt]."""
    masked = tf.where(mask, exponents, tf.constant(float("-inf"), exponents.dtype))
    # The peak counts the 1 as exp(0), so that the logarithm's argument is never below 1.
    peak = tf.stop_gradient(tf.nn.relu(tf.reduce_max(masked, axis=1, keepdims=True)))
    total = tf.reduce_sum(tf.exp(masked - peak), axis=1)
    peak = tf.squeeze(peak, axis=1)
    return peak + tf.math.log(tf.exp(-peak) + total)


def _mean_softplus(values, mask, *, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean of softplus(values) where mask, along axis (0 for an empty mask), and the count."""
    count = tf.reduce_sum(tf.cast(mask, values.dtype), axis=axis)
    kept = tf.where(mask, tf.nn.softplus(values), tf.zeros([], values.dtype))
    return tf.reduce_sum(kept, axis=axis) / tf.maximum(count, 1), count
