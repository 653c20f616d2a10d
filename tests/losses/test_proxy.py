"""AsyP, Proxy-BD, Proxy-MS against loops written from the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import proxy

LABELS = np.array([0, 1, 0, 2, 1, 0, 3])
NAMES = ["asyp", "proxy_bd", "proxy_ms"]


def sp(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def cosine(x, y):
    return float(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)))


def oracle(kind, text, audio, labels, alpha, beta, margin):
    """One anchor at a time; all three kinds share the sets, not the reductions."""
    count = len(labels)
    alpha, beta, margin = (np.broadcast_to(v, count) for v in (alpha, beta, margin))
    losses = []
    for i in range(count):
        a, b, m = alpha[i], beta[i], margin[i]
        positives = [j for j in range(count) if labels[j] == labels[i]]
        negatives = [k for k in range(count) if labels[k] != labels[i]]
        if not negatives:
            losses.append(0.0)
            continue
        pulls = [a * (m - cosine(text[i], audio[j])) for j in positives]
        if kind == "asyp":
            pushes = [b * (cosine(audio[i], text[k]) - m) for k in negatives]
        else:
            pushes = [b * (cosine(text[i], audio[k]) - m) for k in negatives]
        if kind == "proxy_bd":
            positive = sum(sp(x) for x in pulls) / len(pulls)
        else:
            positive = math.log(1 + sum(math.exp(x) for x in pulls)) / a
        if kind == "proxy_ms":
            negative = math.log(1 + sum(math.exp(x) for x in pushes)) / b
        else:
            negative = sum(sp(x) for x in pushes) / len(pushes)
        losses.append(positive + negative)
    return np.array(losses)


@pytest.fixture
def pairs():
    generator = np.random.default_rng(0)
    return generator.normal(size=(2, len(LABELS), 5))


def test_asyp_by_hand():
    """Two phonemes, orthogonal, text = audio: S = 1 on the diagonal, 0 elsewhere."""
    eye = np.eye(2)
    value = proxy.asyp(eye, eye, [0, 1], alpha=2.0, beta=3.0, margin=0.5)
    expected = math.log(1 + math.exp(2 * (0.5 - 1))) / 2 + math.log(1 + math.exp(3 * (0 - 0.5)))
    np.testing.assert_allclose(value, [expected, expected], rtol=1e-12)


def test_asyp_anchors_are_asymmetric():
    """The pull is over the anchor's text row, the push over the anchor's audio column."""
    text, audio = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    positive, negative, _ = proxy.asyp_terms(text, audio, [0, 1], alpha=1.0, beta=1.0, margin=0.0)
    np.testing.assert_allclose(positive, [math.log(1 + math.exp(-1)), math.log(2)])
    # a_0 against t_1: S = 0; a_1 against t_0: S = 1.
    np.testing.assert_allclose(negative, [math.log(2), math.log(1 + math.e)])


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("constants", [(0.01, 1.5, 0.01), (2.0, 40.0, 0.5)])
def test_equation(kind, constants, pairs):
    alpha, beta, margin = constants
    value = getattr(proxy, kind)(*pairs, LABELS, alpha=alpha, beta=beta, margin=margin)
    np.testing.assert_allclose(value, oracle(kind, *pairs, LABELS, *constants), rtol=1e-10)


@pytest.mark.parametrize("kind", NAMES)
def test_constants_of_each_anchor(kind, pairs):
    generator = np.random.default_rng(1)
    constants = generator.uniform(0.5, 3.0, size=(3, len(LABELS)))
    value = getattr(proxy, kind)(
        *pairs, LABELS, alpha=constants[0], beta=constants[1], margin=constants[2]
    )
    np.testing.assert_allclose(value, oracle(kind, *pairs, LABELS, *constants), rtol=1e-10)


def test_defaults_are_the_papers(pairs):
    value = proxy.asyp(*pairs, LABELS)
    np.testing.assert_allclose(value, oracle("asyp", *pairs, LABELS, 0.01, 1.5, 0.01), rtol=1e-9)


@pytest.mark.parametrize("kind", NAMES)
def test_order_of_the_batch(kind, pairs):
    function, order = getattr(proxy, kind), np.array([4, 0, 6, 2, 5, 1, 3])
    value = function(*pairs, LABELS)
    shuffled = function(*pairs[:, order], LABELS[order])
    np.testing.assert_allclose(shuffled, value.numpy()[order], rtol=1e-12)


@pytest.mark.parametrize("kind", NAMES)
def test_scale_of_embeddings(kind, pairs):
    function = getattr(proxy, kind)
    np.testing.assert_allclose(
        function(pairs[0] * 7, pairs[1] * 0.01, LABELS), function(*pairs, LABELS), rtol=1e-12
    )


@pytest.mark.parametrize("kind", NAMES)
def test_repeated_text_is_what_fewer_text_rows_stand_for(kind, pairs):
    """Each text row once, two audio rows to each: the means of the halves stay."""
    text, labels = pairs[0, :4], np.array([0, 1, 0, 2])
    audio, audio_labels = pairs[:, :4].reshape(8, 5), np.tile(labels, 2)
    whole = getattr(proxy, kind)(np.tile(text, (2, 1)), audio, audio_labels)
    if kind == "asyp":
        positive, negative, _ = proxy.asyp_terms(text, audio, labels, audio_labels=audio_labels)
        mean = tf.reduce_mean(positive) + tf.reduce_mean(negative)
    else:
        mean = tf.reduce_mean(getattr(proxy, kind)(text, audio, labels, audio_labels=audio_labels))
    np.testing.assert_allclose(mean, tf.reduce_mean(whole), rtol=1e-12)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("labels", [[5], [2, 2, 2], [-1, -1, -1], [3, -1]])
def test_nothing_to_compare_gives_zero(kind, labels, pairs):
    text, audio = (tf.constant(side[: len(labels)]) for side in pairs)
    with tf.GradientTape() as tape:
        tape.watch([text, audio])
        value = tf.reduce_sum(getattr(proxy, kind)(text, audio, labels))
    assert float(value) == 0
    for gradient in tape.gradient(value, [text, audio]):
        np.testing.assert_array_equal(gradient, 0)
    assert not proxy.counted_anchors(labels).numpy().any()


@pytest.mark.parametrize("kind", NAMES)
def test_negative_labels_are_outside(kind, pairs):
    function, inside = getattr(proxy, kind), np.array([0, 2, 3, 5, 6])
    labels = LABELS.copy()
    labels[[1, 4]] = -1
    value = function(*pairs, labels).numpy()
    np.testing.assert_allclose(value[inside], function(*pairs[:, inside], labels[inside]))
    np.testing.assert_array_equal(value[[1, 4]], 0)
    np.testing.assert_array_equal(proxy.counted_anchors(labels), labels >= 0)


def test_centred_value_is_without_the_label_count(pairs):
    positive, _, centred = proxy.asyp_terms(*pairs, LABELS)
    counts = np.array([np.sum(label == LABELS) for label in LABELS])
    np.testing.assert_allclose(positive - centred, np.log(1 + counts) / 0.01, rtol=1e-10)
    # The limit for a small alpha: n / (1 + n) times the mean of margin - S.
    means = [
        np.mean([0.01 - cosine(pairs[0, i], pairs[1, j]) for j in np.flatnonzero(label == LABELS)])
        for i, label in enumerate(LABELS)
    ]
    np.testing.assert_allclose(centred, counts / (1 + counts) * means, atol=5e-3)


@pytest.mark.parametrize("kind", NAMES)
def test_gradients(kind, pairs, check_gradients):
    function, generator = getattr(proxy, kind), np.random.default_rng(2)
    constants = generator.uniform(0.5, 2.0, size=(3, 4))
    labels = np.array([0, 1, 0, 2])

    def loss(text, audio, alpha, beta, margin):
        return function(text, audio, labels, alpha=alpha, beta=beta, margin=margin)

    check_gradients(loss, [*pairs[:, :4, :3], *constants])


def test_gradients_of_the_constants_are_the_derived_ones(pairs):
    """dL/dl, dL/db and dL/da of one anchor, in closed form, at the paper's constants."""
    constants = [tf.constant(np.full(len(LABELS), value)) for value in (0.01, 1.5, 0.01)]
    with tf.GradientTape() as tape:
        tape.watch(constants)
        alpha, beta, margin = constants
        total = tf.reduce_sum(proxy.asyp(*pairs, LABELS, alpha=alpha, beta=beta, margin=margin))
    by_alpha, by_beta, by_margin = tape.gradient(total, constants)
    text, audio = pairs
    for i, label in enumerate(LABELS):
        own = np.array([0.01 - cosine(text[i], audio[j]) for j in np.flatnonzero(label == LABELS)])
        other = np.array(
            [cosine(audio[i], text[k]) - 0.01 for k in np.flatnonzero(label != LABELS)]
        )
        total = np.exp(0.01 * own).sum()
        weights = np.exp(0.01 * own) / (1 + total)
        pushes = 1 / (1 + np.exp(-1.5 * other))
        np.testing.assert_allclose(by_margin[i], weights.sum() - 1.5 * pushes.mean(), rtol=1e-8)
        np.testing.assert_allclose(by_beta[i], (pushes * other).mean(), rtol=1e-8)
        expected = -math.log1p(total) / 0.01**2 + (weights * own).sum() / 0.01
        np.testing.assert_allclose(by_alpha[i], expected, rtol=1e-8)
        assert -5e4 < expected < -6e3


@pytest.mark.parametrize("kind", NAMES)
def test_huge_constants_stay_finite(kind, pairs):
    text, audio = (tf.constant(side, tf.float32) for side in pairs)
    for margin in (-1e4, 1e4):
        with tf.GradientTape() as tape:
            tape.watch([text, audio])
            losses = getattr(proxy, kind)(text, audio, LABELS, alpha=500.0, beta=1e3, margin=margin)
        assert np.isfinite(losses).all()
        for gradient in tape.gradient(losses, [text, audio]):
            assert np.isfinite(gradient).all()


def test_low_precision_is_computed_in_float32(pairs):
    half = tf.cast(pairs, tf.float16)
    value = proxy.asyp(half[0], half[1], LABELS)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, proxy.asyp(*pairs, LABELS), rtol=1e-3)
