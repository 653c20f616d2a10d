"""SphereFace2, AAM-Softmax and triplet against loops written from the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import keyword
from adml.losses.layers import KeywordClassifier

SETTINGS = {"scale": 32.0, "margin": 0.2, "exponent": 3.0, "balance": 0.7, "bias": -1.5}


def sp(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def g(z, t):
    return 2 * ((z + 1) / 2) ** t - 1


def sphereface2_oracle(cosine, labels, variant, scale, margin, exponent, balance, bias):
    losses = []
    for row, y in zip(cosine, labels, strict=True):
        total = 0.0
        for j, z in enumerate(row):
            theta = math.acos(z)
            if variant == "C":
                p = scale * (g(z, exponent) - margin) + bias
                n = scale * (g(z, exponent) + margin) + bias
            else:
                p = scale * g(math.cos(theta + margin), exponent) + bias
                n = scale * g(math.cos(theta - margin), exponent) + bias
            total += balance * sp(-p) if j == y else (1 - balance) * sp(n)
        losses.append(total if y >= 0 else 0.0)
    return losses


@pytest.fixture
def cosine():
    return np.random.default_rng(0).uniform(-0.8, 0.8, size=(4, 6))


LABELS = np.array([3, 0, 5, 3])


def test_sphereface2_by_hand():
    """t = 1 makes g the identity: p = s (cos - m) + b, n = s (cos + m) + b."""
    value = keyword.sphereface2(
        [[0.5, 0.0]], [0], scale=2.0, margin=0.1, exponent=1.0, balance=0.7, bias=0.3
    )
    expected = 0.7 * math.log(1 + math.exp(-1.1)) + 0.3 * math.log(1 + math.exp(0.5))
    np.testing.assert_allclose(value, [expected], rtol=1e-6)


@pytest.mark.parametrize("variant", ["A", "C"])
@pytest.mark.parametrize("exponent", [2.0, 3.0, 3.5])
def test_sphereface2_equation(variant, exponent, cosine):
    settings = SETTINGS | {"exponent": exponent}
    value = keyword.sphereface2(cosine, LABELS, variant=variant, **settings)
    expected = sphereface2_oracle(cosine, LABELS, variant, **settings)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_sphereface2_defaults_are_the_papers_port(cosine):
    settings = SETTINGS | {"bias": 0.0}
    expected = sphereface2_oracle(cosine, LABELS, "C", **settings)
    np.testing.assert_allclose(keyword.sphereface2(cosine, LABELS), expected, rtol=1e-9)


def test_variant_a_goes_on_past_pi():
    """Beyond theta = pi - m the positive logit still falls, without a jump."""
    seam = -math.cos(0.15)
    cosines = np.array([seam + 1e-9, seam - 1e-9, -0.999, -1.0])
    table = np.stack([cosines, np.zeros(4)], axis=1)
    value = keyword.sphereface2(table, [0] * 4, variant="A", **SETTINGS | {"margin": 0.15}).numpy()
    assert abs(value[0] - value[1]) < 1e-5
    assert (np.diff(value) > -1e-5).all()


@pytest.mark.parametrize("variant", ["A", "C"])
def test_sphereface2_gradients(variant, cosine, check_gradients):
    def loss(cosine, margin, bias):
        return keyword.sphereface2(
            cosine, [3, -1, 5, 3], margin=margin, bias=bias, scale=8.0, variant=variant
        )

    check_gradients(loss, [cosine, 0.2, -3.0])


@pytest.mark.parametrize("num_classes", [2, 10, 5000, 210_000])
@pytest.mark.parametrize("variant", ["A", "C"])
def test_bias_balances_pull_and_push(num_classes, variant):
    """With all cosines 0 the pull is balance, 0.70, and the push over all others is the same."""
    settings = {"scale": 32.0, "margin": 0.2, "exponent": 3.0, "balance": 0.7}
    bias = keyword.sphereface2_bias(num_classes, variant=variant, **settings)
    shift = math.sin(0.2)
    own, other = (g(0, 3) - 0.2, g(0, 3) + 0.2) if variant == "C" else (g(-shift, 3), g(shift, 3))
    pull = 0.7 / (1 + math.exp(32 * own + bias))
    push = 0.3 * (num_classes - 1) / (1 + math.exp(-32 * other - bias))
    assert pull == pytest.approx(push, rel=1e-9)
    if num_classes > 2:
        assert pull == pytest.approx(0.70, abs=1e-3)


def test_bias_is_the_formula_of_the_method():
    z = 0.7 / (0.3 * 4999)
    own, other = 32 * (2 * 0.5**3 - 1 - 0.2), 32 * (2 * 0.5**3 - 1 + 0.2)
    root = math.sqrt((1 - z) ** 2 + 4 * z * math.exp(own - other))
    expected = math.log(2 * z) - other - math.log(1 - z + root)
    assert keyword.sphereface2_bias(5000) == pytest.approx(expected, rel=1e-12)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"Expected: num_classes >= 2\. Received: 1"):
        keyword.sphereface2_bias(1)


def test_unknown_variant_is_refused(cosine):
    with pytest.raises(ValueError, match=r"Expected: 'A' or 'C'\. Received: 'B'"):
        keyword.sphereface2(cosine, LABELS, variant="B")


def aam_oracle(cosine, labels, scale, margin):
    losses = []
    for row, y in zip(cosine, labels, strict=True):
        theta = math.acos(row[y])
        past = theta + margin > math.pi
        own = row[y] - margin * math.sin(margin) if past else math.cos(theta + margin)
        others = sum(math.exp(scale * z) for j, z in enumerate(row) if j != y)
        losses.append(math.log(math.exp(scale * own) + others) - scale * own)
    return losses


def test_aam_softmax(cosine, check_gradients):
    cosine[1, 0] = -0.99  # past pi - m
    value = keyword.aam_softmax(cosine, LABELS, scale=32.0, margin=0.2)
    np.testing.assert_allclose(value, aam_oracle(cosine, LABELS, 32.0, 0.2), rtol=1e-9)
    check_gradients(lambda c, m: keyword.aam_softmax(c, LABELS, scale=4.0, margin=m), [cosine, 0.2])


def test_aam_softmax_without_margin_is_softmax(cosine):
    value = keyword.aam_softmax(cosine, LABELS, scale=5.0, margin=0.0)
    expected = -tf.nn.log_softmax(5.0 * cosine).numpy()[range(4), LABELS]
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("function", [keyword.sphereface2, keyword.aam_softmax])
def test_label_minus_one_gives_zero_and_no_gradient(function, cosine):
    cosine = tf.constant(cosine)
    with tf.GradientTape() as tape:
        tape.watch(cosine)
        value = function(cosine, [3, -1, -1, 2])
    gradient = tape.gradient(value, cosine).numpy()
    np.testing.assert_array_equal(value.numpy()[1:3], 0)
    np.testing.assert_array_equal(gradient[1:3], 0)
    assert (value.numpy()[[0, 3]] > 0).all()
    assert (np.abs(gradient[[0, 3]]).sum(axis=1) > 0).all()


@pytest.mark.parametrize("variant", ["A", "C", "softmax"])
def test_extreme_cosines_and_margins_stay_finite(variant):
    cosine = tf.constant([[1.0, -1.0, 1.0000001], [-1.0000001, 1.0, 0.0]])
    for scale, margin in ((32.0, 0.0), (32.0, 0.2), (1e4, 3.0)):
        with tf.GradientTape() as tape:
            tape.watch(cosine)
            if variant == "softmax":
                value = keyword.aam_softmax(cosine, [0, 0], scale=scale, margin=margin)
            else:
                value = keyword.sphereface2(
                    cosine, [0, 0], scale=scale, margin=margin, variant=variant
                )
        assert np.isfinite(value).all()
        assert np.isfinite(tape.gradient(value, cosine)).all()


def triplet_oracle(embeddings, labels, margin):
    def similarity(i, j):
        a, b = embeddings[i], embeddings[j]
        return np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b))

    everyone, losses = range(len(labels)), []
    for i in everyone:
        positives = [similarity(i, j) for j in everyone if j != i and labels[j] == labels[i]]
        negatives = [
            similarity(i, j) for j in everyone if labels[j] != labels[i] and labels[j] >= 0
        ]
        if labels[i] < 0 or not positives or not negatives:
            losses.append(0.0)
            continue
        own = min(positives)
        semi_hard = [s for s in negatives if s < own]
        other = max(semi_hard) if semi_hard else min(negatives)
        losses.append(max(0.0, margin + other - own))
    return losses


def test_triplet(check_gradients):
    embeddings = np.random.default_rng(5).normal(size=(9, 3))
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3, -1])
    value = keyword.triplet(embeddings, labels, margin=0.4)
    np.testing.assert_allclose(value, triplet_oracle(embeddings, labels, 0.4), atol=1e-12)
    np.testing.assert_allclose(
        keyword.triplet(embeddings * 9, labels, margin=0.4), value, atol=1e-12
    )
    check_gradients(lambda e: keyword.triplet(e, labels, margin=0.4), [embeddings])


def test_triplet_by_hand():
    """a+ at 60 degrees (S = 0.5), a negative at 90 (S = 0): 0.4 + 0 - 0.5 is below 0."""
    half = math.sqrt(3) / 2
    value = keyword.triplet([[1.0, 0.0], [0.5, half], [0.0, 1.0]], [0, 0, 1], margin=0.4)
    # The second anchor's only negative is more similar (S = 0.87), and is taken all the same.
    np.testing.assert_allclose(value, [0.0, 0.4 + half - 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1]])
def test_triplet_without_a_pair_is_zero(labels):
    value = keyword.triplet(np.eye(3), labels)
    np.testing.assert_array_equal(value, 0)


@pytest.mark.parametrize("kind", ["sphereface2", "aam_softmax"])
def test_classifier_is_the_function_of_its_cosines(kind):
    tf.random.set_seed(1)
    layer = KeywordClassifier(7, 4, kind=kind)
    embeddings = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    weights = layer.class_weights.numpy()
    cosine = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)) @ (
        weights / np.linalg.norm(weights, axis=1, keepdims=True)
    ).T
    value = layer(embeddings, np.array([2, -1, 6]), margin_fraction=0.5)
    if kind == "sphereface2":
        bias = keyword.sphereface2_bias(7)
        expected = sphereface2_oracle(cosine, [2, -1, 6], "C", 32.0, 0.1, 3.0, 0.7, bias)
        assert float(layer.bias) == pytest.approx(bias, rel=1e-6)
    else:
        expected = aam_oracle(cosine, [2, 0, 6], 32.0, 0.1)
        expected[1] = 0
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    assert KeywordClassifier.from_config(layer.get_config()).get_config() == layer.get_config()


def test_classifier_can_balance_its_bias_for_the_margin_in_force():
    layer = KeywordClassifier(100, 4, initial_margin_fraction=0.0)
    assert float(layer.bias) == pytest.approx(keyword.sphereface2_bias(100, margin=0.0), rel=1e-6)
    with pytest.raises(ValueError, match="Received: 'softmax'"):
        KeywordClassifier(10, 4, kind="softmax")
