"""Keyword losses: SphereFace2, AAM-Softmax and the semi-hard triplet.

Unreduced: one value for each item of the batch. A negative label marks an item outside the
classifier: it contributes 0 and is not to be counted.
"""

from __future__ import annotations

import math

import tensorflow as tf

from adml.numerics.similarity import at_least_float32, cosine_similarity, matching

__all__ = ["aam_softmax", "sphereface2", "sphereface2_bias", "triplet"]


def sphereface2(
    cosine, labels, *, scale=32.0, margin=0.2, exponent=3.0, balance=0.7, bias=0.0, variant="C"
) -> tf.Tensor:
    """SphereFace2: one binary decision for each class.

        g(z) = 2 ((z + 1) / 2)^t - 1
        C: p = s (g(cos_y) - m) + b,       n_j = s (g(cos_j) + m) + b
        A: p = s g(cos(theta_y + m)) + b,  n_j = s g(cos(theta_j - m)) + b
        L = balance softplus(-p) + (1 - balance) sum_{j != y} softplus(n_j)

    Args:
        cosine: [B, C] similarity of each item to each class.
        labels: [B] integers below C; negative = no loss.
        scale: s. margin: m, number or scalar tensor (ramped in training). exponent: t >= 1.
        balance: weight of the positive decision, in (0, 1).
        bias: b, scalar; see `sphereface2_bias`.
        variant: "C" or "A".

    Returns:
        [B].

    Raises:
        ValueError: the variant is unknown.

    Source:
        the speaker-verification port of SphereFace2 that the paper converted; the paper states
        neither variant nor margin.
    """
    cosine = at_least_float32(cosine)
    scale, margin, bias = (matching(value, cosine) for value in (scale, margin, bias))
    terms = {"scale": scale, "margin": margin, "bias": bias, "exponent": exponent}
    positive = own_logits(_target_cosine(cosine, labels), **terms, variant=variant)
    negative = other_logits(cosine, **terms, variant=variant)
    is_own, zero = _is_target(cosine, labels), tf.zeros([], cosine.dtype)
    others = tf.where(is_own, zero, tf.nn.softplus(negative))
    losses = balance * tf.nn.softplus(-positive) + (1 - balance) * tf.reduce_sum(others, axis=1)
    return tf.where(tf.convert_to_tensor(labels) >= 0, losses, tf.zeros_like(losses))


def own_logits(cosine, *, scale, margin, bias, exponent, variant) -> tf.Tensor:
    """Logits p of SphereFace2, for the cosine to the own class; all of one shape and type."""
    if variant == "C":
        return scale * (_warp(cosine, exponent) - margin) + bias
    if variant != "A":
        raise ValueError(
            f"sphereface2: unknown variant. Expected: 'A' or 'C'. Received: {variant!r}."
        )
    # Past pi the angle cannot grow: a straight line of the same value at the seam instead.
    widened = _add_angle(cosine, margin, past_pi=cosine - (1 - tf.cos(margin)))
    return scale * _warp(widened, exponent) + bias


def other_logits(cosine, *, scale, margin, bias, exponent, variant) -> tf.Tensor:
    """Logits n_j of SphereFace2, for the cosines to other classes."""
    if variant == "C":
        return scale * _warp(cosine, exponent) + (scale * margin + bias)
    narrowed = cosine * tf.cos(margin) + _sine(cosine) * tf.sin(margin)
    return scale * _warp(narrowed, exponent) + bias


def widened_logits(cosine, *, scale, margin) -> tf.Tensor:
    """Logits s cos(theta + m) of AAM-Softmax, for the cosine to the own class."""
    return scale * _add_angle(cosine, margin, past_pi=cosine - margin * tf.sin(margin))


def sphereface2_bias(
    num_classes: int,
    *,
    scale: float = 32.0,
    margin: float = 0.2,
    exponent: float = 3.0,
    balance: float = 0.7,
    variant: str = "C",
) -> float:
    """Initial bias at which pull and push on it are equal while all cosines are 0.

        z = balance / ((1 - balance) (C - 1))
        a_y = s (2 * 0.5^t - 1 - m),  a_i = s (2 * 0.5^t - 1 + m)
        b = ln(2 z) - a_i - ln(1 - z + sqrt((1 - z)^2 + 4 z e^{a_y - a_i}))

    Args:
        num_classes: C >= 2.
        scale, margin, exponent, balance, variant: as for `sphereface2`; for "A" the levels are
            a_y = s g(-sin m) and a_i = s g(sin m).

    Returns:
        The bias b.

    Raises:
        ValueError: fewer than two classes.

    Source:
        the original SphereFace2 code. With b = 0 the first steps only pull.
    """
    if num_classes < 2:
        raise ValueError(
            "sphereface2_bias: no other class to push from. Expected: num_classes >= 2. "
            f"Received: {num_classes}."
        )
    z = balance / ((1 - balance) * (num_classes - 1))
    if variant == "A":
        shift = math.sin(margin)
        own = scale * (2 * ((1 - shift) / 2) ** exponent - 1)
        other = scale * (2 * ((1 + shift) / 2) ** exponent - 1)
    else:
        level = 2 * 0.5**exponent - 1
        own, other = scale * (level - margin), scale * (level + margin)
    root = math.sqrt((1 - z) ** 2 + 4 * z * math.exp(own - other))
    # For z > 1 the plain sum cancels; its conjugate does not.
    total = 1 - z + root if z <= 1 else 4 * z * math.exp(own - other) / (root - (1 - z))
    return math.log(2 * z) - other - math.log(total)


def aam_softmax(cosine, labels, *, scale=32.0, margin=0.2) -> tf.Tensor:
    """Additive angular margin softmax (easy margin off).

        -log( e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{j != y} e^{s cos_j}) )

    Past theta = pi - m the target logit goes on as cos(theta) - m sin(m).

    Args:
        cosine: [B, C].
        labels: [B] integers below C; negative = no loss.
        scale: s. margin: m in radians, number or scalar tensor.

    Returns:
        [B].
    """
    cosine = at_least_float32(cosine)
    scale, margin = matching(scale, cosine), matching(margin, cosine)
    own = widened_logits(_target_cosine(cosine, labels), scale=scale, margin=margin)
    logits = tf.where(_is_target(cosine, labels), own[:, tf.newaxis], scale * cosine)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=_safe(labels), logits=logits)
    return tf.where(tf.convert_to_tensor(labels) >= 0, losses, tf.zeros_like(losses))


def triplet(embeddings, labels, *, margin=0.4) -> tf.Tensor:
    """Semi-hard triplet hinge in the batch.

        max(0, m + S(a, a-) - S(a, a+))

    a+ is the anchor's least similar positive; a- the most similar negative that is less
    similar than a+ (semi-hard), or where there is none the least similar negative (chosen).

    Args:
        embeddings: [B, D].
        labels: [B] integers; negative = neither anchor nor candidate.
        margin: m.

    Returns:
        [B], 0 for anchors without a positive or a negative.
    """
    similarity = cosine_similarity(embeddings, embeddings)
    labels = tf.convert_to_tensor(labels)
    valid = labels >= 0
    both = valid[:, tf.newaxis] & valid[tf.newaxis, :]
    equal = labels[:, tf.newaxis] == labels[tf.newaxis, :]
    itself = tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    same, different = both & equal & ~itself, both & ~equal
    # Cosines lie in [-1, 1]: 2 and -2 stand for "none".
    positive = tf.reduce_min(tf.where(same, similarity, 2), axis=1)
    semi_hard = different & (similarity < positive[:, tf.newaxis])
    hardest = tf.reduce_max(tf.where(semi_hard, similarity, -2), axis=1)
    easiest = tf.reduce_min(tf.where(different, similarity, 2), axis=1)
    negative = tf.where(tf.reduce_any(semi_hard, axis=1), hardest, easiest)
    hinge = tf.nn.relu(matching(margin, similarity) + negative - positive)
    complete = tf.reduce_any(same, axis=1) & tf.reduce_any(different, axis=1)
    return tf.where(complete, hinge, tf.zeros_like(hinge))


def _safe(labels) -> tf.Tensor:
    """Labels that can index: class 0 in place of a negative one."""
    labels = tf.convert_to_tensor(labels)
    return tf.maximum(labels, tf.zeros([], labels.dtype))


def _target_cosine(cosine: tf.Tensor, labels) -> tf.Tensor:
    """[B] cosine to the own class."""
    return tf.gather(cosine, _safe(labels), axis=1, batch_dims=1)


def _is_target(cosine: tf.Tensor, labels) -> tf.Tensor:
    """True at the own class: bool [B, C]."""
    labels = tf.convert_to_tensor(labels)
    classes = tf.range(tf.cast(tf.shape(cosine)[1], labels.dtype), dtype=labels.dtype)
    return classes[tf.newaxis, :] == labels[:, tf.newaxis]


def _warp(z: tf.Tensor, exponent: float) -> tf.Tensor:
    """g(z) = 2 ((z + 1) / 2)^t - 1, odd about z = -1 so that it stays monotone below."""
    half = (z + 1) / 2
    if exponent == 3:
        return 2 * half * tf.square(half) - 1
    return 2 * tf.sign(half) * tf.pow(tf.abs(half), exponent) - 1


def _sine(cosine: tf.Tensor) -> tf.Tensor:
    """sin(theta) >= 0, with a finite gradient at cos = +-1."""
    return tf.sqrt(tf.maximum(1 - tf.square(cosine), 1e-7))


def _add_angle(cosine: tf.Tensor, margin: tf.Tensor, *, past_pi: tf.Tensor) -> tf.Tensor:
    """cos(theta + m), or `past_pi` where theta + m > pi."""
    widened = cosine * tf.cos(margin) - _sine(cosine) * tf.sin(margin)
    return tf.where(cosine > -tf.cos(margin), widened, past_pi)
