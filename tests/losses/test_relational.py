"""The relational proxy terms against loops written from the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import relational


def huber(x):
    return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5


def units(vectors):
    return [v / math.sqrt(np.dot(v, v)) for v in vectors]


def scaled_distances(vectors):
    vectors, count = units(vectors), len(vectors)
    raw = {
        (i, j): math.sqrt(sum((vectors[i] - vectors[j]) ** 2))
        for i in range(count)
        for j in range(count)
        if i != j
    }
    mean = sum(raw.values()) / len(raw)
    return {pair: value / mean for pair, value in raw.items()}


def distance_oracle(proxies, embeddings):
    target, actual = scaled_distances(proxies), scaled_distances(embeddings)
    return sum(huber(actual[pair] - target[pair]) for pair in target) / len(target)


def angle_oracle(proxies, embeddings):
    proxies, embeddings = units(proxies), units(embeddings)

    def at(vectors, i, j, k):
        one, two = vectors[i] - vectors[j], vectors[k] - vectors[j]
        return np.dot(one, two) / math.sqrt(np.dot(one, one) * np.dot(two, two))

    indices = range(len(proxies))
    values = [
        huber(at(embeddings, i, j, k) - at(proxies, i, j, k))
        for i in indices
        for j in indices
        for k in indices
        if len({i, j, k}) == 3
    ]
    return sum(values) / len(values)


ORACLES = {"distance": distance_oracle, "angle": angle_oracle}


@pytest.fixture
def sides():
    return np.random.default_rng(0).normal(size=(2, 6, 4))


def test_distance_by_hand():
    """Three points at 0, 90 and 180 degrees against three at 0, 120 and 240."""
    line = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    star = np.array([[math.cos(a), math.sin(a)] for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)])
    mean = (2 * math.sqrt(2) + 2) / 3
    short, long = math.sqrt(2) / mean - 1, 2 / mean - 1
    expected = (2 * short**2 / 2 + long**2 / 2) / 3
    np.testing.assert_allclose(relational.distance(line, star), expected, rtol=1e-9)


def test_angle_by_hand():
    """A right triangle (90, 45, 45) against an equilateral one (60, 60, 60)."""
    line = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    star = np.array([[math.cos(a), math.sin(a)] for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)])
    expected = (0.5**2 / 2 + 2 * (math.sqrt(0.5) - 0.5) ** 2 / 2) / 3
    np.testing.assert_allclose(relational.angle(line, star), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ORACLES)
def test_equation(kind, sides):
    value = getattr(relational, kind)(*sides)
    np.testing.assert_allclose(value, ORACLES[kind](*sides), rtol=1e-10)


@pytest.mark.parametrize("cells, slabs", [(1, 6), (150, 2), (10**6, 1)])
def test_angles_in_slabs_are_all_angles(cells, slabs, sides, check_gradients, monkeypatch):
    """Six keywords have 36 cells each: one, four and two, or six at a time; as a graph too."""
    monkeypatch.setattr(relational, "_CELLS", cells)
    seen, cosines = [], relational._angle_cosines
    monkeypatch.setattr(
        relational, "_angle_cosines", lambda *three: seen.append(len(three[0])) or cosines(*three)
    )
    np.testing.assert_allclose(relational.angle(*sides), angle_oracle(*sides), rtol=1e-10)
    assert sum(seen) == 12 and len(seen) == 2 * slabs
    monkeypatch.setattr(relational, "_angle_cosines", cosines)
    check_gradients(lambda embeddings: relational.angle(sides[0], embeddings), [sides[1]])
    graph = tf.function(relational.angle, autograph=False)
    np.testing.assert_allclose(graph(*sides), angle_oracle(*sides), rtol=1e-10)


@pytest.mark.parametrize("kind", ORACLES)
def test_equal_geometry_is_zero_and_rotation_changes_nothing(kind, sides):
    function = getattr(relational, kind)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    assert abs(float(function(sides[0], 3 * sides[0] @ rotation))) < 1e-12
    np.testing.assert_allclose(function(sides[0], sides[1] @ rotation), function(*sides))


@pytest.mark.parametrize("kind", ORACLES)
def test_permutation(kind, sides):
    function, order = getattr(relational, kind), [3, 1, 5, 0, 2, 4]
    np.testing.assert_allclose(function(*sides[:, order]), function(*sides), rtol=1e-12)


@pytest.mark.parametrize("kind", ORACLES)
def test_gradient_reaches_the_embeddings_only(kind, sides, check_gradients):
    function = getattr(relational, kind)
    check_gradients(lambda embeddings: function(sides[0], embeddings), [sides[1]])
    proxies = tf.constant(sides[0])
    with tf.GradientTape() as tape:
        tape.watch(proxies)
        value = function(proxies, sides[1])
    assert tape.gradient(value, proxies) is None


@pytest.mark.parametrize("kind", ORACLES)
def test_huber_is_linear_far_out(kind):
    """Nearly one point against well spread points: differences above 1 occur."""
    generator = np.random.default_rng(2)
    close = generator.normal(size=(1, 3)) + np.array([[0.0], [0.001], [0.0011], [2.0]])
    spread = generator.normal(size=(4, 3))
    np.testing.assert_allclose(
        getattr(relational, kind)(close, spread), ORACLES[kind](close, spread), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_equal_points_give_finite_gradients(kind, count):
    points = tf.ones([count, 3])
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = getattr(relational, kind)(tf.ones([count, 3]), points)
    assert float(value) == 0
    assert np.isfinite(tape.gradient(value, points)).all()


@pytest.mark.parametrize("kind", ORACLES)
def test_float32_is_exact_where_the_embeddings_are_crowded(kind):
    """At the first steps all cosines are near 1: the rounding of float32 must not show."""
    generator = np.random.default_rng(3)
    sides = generator.normal(size=(1, 1, 32)) + 0.01 * generator.normal(size=(2, 12, 32))
    value = getattr(relational, kind)(*sides.astype(np.float32))
    np.testing.assert_allclose(value, ORACLES[kind](*sides), rtol=1e-3)


def test_prototypes_are_means_of_unit_vectors():
    audio = np.array([[2.0, 0.0], [0.0, 5.0], [3.0, 4.0]])
    value = relational.prototypes(audio, [0, 0, 2], 3)
    np.testing.assert_allclose(value, [[0.5, 0.5], [0.0, 0.0], [0.6, 0.8]], atol=1e-12)


def test_prototype_by_hand_and_by_loop(sides, check_gradients):
    eye = np.eye(2)
    value = relational.prototype(eye, eye, [0, 1], scale=3.0)
    np.testing.assert_allclose(value, [math.log(1 + math.exp(-3))] * 2, rtol=1e-9)
    labels, expected = [2, 0, 1, 3, 3, 5], []
    for i, y in enumerate(labels):
        logits = [20 * float(np.dot(units(sides[1])[i], t)) for t in units(sides[0])]
        expected.append(math.log(sum(math.exp(z) for z in logits)) - logits[y])
    value = relational.prototype(sides[1], sides[0], labels)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    check_gradients(
        lambda a, t, s: relational.prototype(a, t, labels, scale=s),
        [sides[1][:, :3], sides[0][:, :3], 5.0],
    )
