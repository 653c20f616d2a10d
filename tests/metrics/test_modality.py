"""Distances between modalities: pencil cases, loops in float64, what may not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adml.errors import DataError
from adml.metrics import centroid_gap, mmd, probe_accuracy
from adml.metrics.modality import centroid_gaps, mmds, probe_outcomes

RNG = np.random.default_rng(11)
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def clouds(shift: float = 0.0, count: int = 60, width: int = 5, words: int = 12):
    """Audio, text and word of each row; the text of a word is always the same row."""
    generator = np.random.default_rng(4)
    groups = generator.permutation(np.arange(count) % words)
    audio = generator.normal(size=(count, width))
    text = generator.normal(size=(words, width))[groups]
    text[:, 0] += shift
    return audio, text, groups


def unit(rows):
    return [np.array(row, float) / math.sqrt(sum(x * x for x in row)) for row in rows]


def mmd_by_loops(audio, text, groups, bandwidth):
    audio, text = unit(audio), unit(text)

    def kernel(x, y):
        return math.exp(-sum((x - y) ** 2) / (2 * bandwidth**2))

    total, pairs = 0.0, 0
    for n in range(len(audio)):
        for m in range(len(audio)):
            if groups[n] != groups[m]:
                total += kernel(audio[n], audio[m]) + kernel(text[n], text[m])
                total -= kernel(audio[n], text[m]) + kernel(text[n], audio[m])
                pairs += 1
    return total / pairs


def test_gap_of_two_points_by_hand():
    assert centroid_gap([EAST, EAST], [NORTH, NORTH]) == pytest.approx(math.sqrt(2))
    # the length of a row does not matter
    assert centroid_gap([[9, 0], EAST], [NORTH, [0, 0.1]]) == pytest.approx(math.sqrt(2))
    # centres (1/2, 1/2) and (-1, 0); spreads 1/2 and 0, so that the pooled one is 1/2
    audio, text = [EAST, NORTH], [[-1, 0], [-1, 0]]
    assert centroid_gap(audio, text) == pytest.approx(math.sqrt(1.5**2 + 0.5**2))
    assert centroid_gap(audio, text, scaled=True) == pytest.approx(math.sqrt(2.5) / 0.5)


def test_gap_is_that_of_loops_and_scaled_by_the_pooled_spread():
    audio, text, _ = clouds(0.7)
    a, t = np.array(unit(audio)), np.array(unit(text))
    centres = [sum(rows) / len(rows) for rows in (a, t)]
    gap = math.sqrt(sum((centres[0] - centres[1]) ** 2))
    squares = [
        sum(sum((row - centre) ** 2) for row in rows) / len(rows)
        for rows, centre in zip((a, t), centres, strict=True)
    ]
    assert centroid_gap(audio, text) == pytest.approx(gap, rel=1e-12)
    scaled = gap / math.sqrt(sum(squares) / 2)
    assert centroid_gap(audio, text, scaled=True) == pytest.approx(scaled, rel=1e-12)


def test_drawing_all_embeddings_together_shrinks_only_the_plain_gap():
    audio, text, _ = clouds(0.7)
    base = np.array([40.0, 0, 0, 0, 0])
    near = centroid_gap(base + audio, base + text)
    assert near < centroid_gap(audio, text) / 10
    scaled = [centroid_gap(b + audio, b + text, scaled=True) for b in (10 * base, 20 * base)]
    assert scaled[0] == pytest.approx(scaled[1], rel=0.05)


def test_mmd_of_two_points_by_hand():
    """Distances 0 and sqrt 2, so that s^2 = 2 and k = exp(-1/2) between the clouds."""
    value = mmd([EAST, EAST], [NORTH, NORTH])
    assert value == pytest.approx(2 - 2 * math.exp(-0.5))
    assert mmd([EAST, EAST], [NORTH, NORTH], bandwidth=0.5) == pytest.approx(2 - 2 * math.exp(-4))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_mmd_is_that_of_loops(shift):
    audio, text, groups = clouds(shift)
    expected = mmd_by_loops(audio, text, groups, 0.8)
    assert mmd(audio, text, groups, bandwidth=0.8) == pytest.approx(expected, rel=1e-10)
    alone = mmd_by_loops(audio, text, range(len(audio)), 0.8)
    assert mmd(audio, text, bandwidth=0.8) == pytest.approx(alone, rel=1e-10)


def test_bandwidth_is_the_median_distance(monkeypatch):
    audio, text, groups = clouds()
    rows = np.array(unit(np.concatenate([audio, text])))
    distances = [math.dist(rows[i], rows[j]) for i in range(len(rows)) for j in range(i)]
    median = float(np.median([d for d in distances if d > 1e-6]))
    expected = mmd_by_loops(audio, text, groups, median)
    monkeypatch.setattr("adml.metrics.modality._ROWS_AT_ONCE", 7)
    assert mmd(audio, text, groups) == pytest.approx(expected, rel=1e-10)


def test_equal_clouds_are_nowhere_apart():
    audio, _, groups = clouds()
    assert centroid_gap(audio, audio) == 0
    assert mmd(audio, audio, groups) == pytest.approx(0, abs=1e-12)
    assert probe_accuracy(audio, audio, groups) == 0.5
    assert probe_accuracy(audio, audio, groups, hidden_units=8) == 0.5
    collapsed = np.tile(EAST, (6, 1))
    assert mmd(collapsed, collapsed) == 0 and centroid_gap(collapsed, collapsed, scaled=True) == 0


def test_one_distribution_is_near_zero_and_a_shifted_one_far():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 400, 8))
    same, apart = mmd(first, second), mmd(first, second + [2.0, *[0.0] * 7])
    assert abs(same) < 0.005 and apart > 0.1
    values = [mmd(*generator.normal(size=(2, 40, 8))) for _ in range(40)]
    assert abs(np.mean(values)) < 2.5 * np.std(values) / math.sqrt(40), "it has no bias"
    groups = np.arange(400)
    assert 0.4 < probe_accuracy(first, second, groups) < 0.6
    shift = np.array([9.0, *[0.0] * 7])
    assert probe_accuracy(first - shift, second + shift, groups) == 1.0
    assert probe_accuracy(first - shift, second + shift, groups, hidden_units=8) == 1.0


def test_a_perceptron_finds_what_no_plane_parts():
    """Audio on both ends of an axis, text on both ends of another: the centres are the same."""
    generator = np.random.default_rng(1)
    signs = generator.choice([-1.0, 1.0], size=(2, 300, 1))
    audio, text = signs[0] * EAST, signs[1] * NORTH
    audio, text = (rows + 0.1 * generator.normal(size=(300, 2)) for rows in (audio, text))
    groups = np.arange(300)
    assert probe_accuracy(audio, text, groups) < 0.7
    assert probe_accuracy(audio, text, groups, hidden_units=16) > 0.95


def test_no_word_is_in_training_and_test():
    """Text is a word's own random row: known words would be told, new ones cannot."""
    audio, text, groups = clouds(count=240, width=40, words=20)
    right, rows = probe_outcomes(audio, text, groups, seed=3)
    tested = set(groups[rows])
    assert len(tested) == 6, "three in ten of the words"
    assert set(np.flatnonzero(np.isin(groups, list(tested)))) == set(rows)
    assert right.shape == (len(rows), 2) and right.dtype == bool
    assert probe_accuracy(audio, text, groups, seed=3) == right.mean()
    again, same = probe_outcomes(audio, text, groups, seed=3)
    np.testing.assert_array_equal(right, again)
    np.testing.assert_array_equal(rows, same)
    assert set(groups[probe_outcomes(audio, text, groups, seed=4)[1]]) != tested
    few = probe_outcomes(audio[:4], text[:4], np.array([0, 1, 0, 1]), test_share=0.99)[1]
    assert len(few) == 2, "a word is left to train on"


def test_weighted_groups_are_repeated_rows():
    audio, text, groups = clouds(0.5)
    weights = np.ones((3, 12))
    weights[1] = RNG.integers(0, 3, 12)
    weights[2] = np.eye(12)[5]
    rows = np.repeat(np.arange(60), weights[1][groups].astype(int))
    for scaled in (False, True):
        values = centroid_gaps(audio, text, groups, weights, scaled=scaled)
        assert values[0] == pytest.approx(centroid_gap(audio, text, scaled=scaled))
        drawn = centroid_gap(audio[rows], text[rows], scaled=scaled)
        assert values[1] == pytest.approx(drawn)
    values = mmds(audio, text, groups, weights, bandwidth=0.9)
    assert values[0] == pytest.approx(mmd(audio, text, groups, bandwidth=0.9))
    drawn = mmd(audio[rows], text[rows], groups[rows], bandwidth=0.9)
    assert values[1] == pytest.approx(drawn)
    assert np.isnan(values[2]), "one word alone tells nothing"


@pytest.mark.parametrize("measure", [centroid_gap, mmd])
def test_order_and_roles_do_not_matter(measure):
    audio, text, _ = clouds(0.5)
    order = RNG.permutation(60)
    value = measure(audio, text)
    assert measure(audio[order], text[order]) == pytest.approx(value)
    assert measure(text, audio) == pytest.approx(value)
    assert measure(3 * audio, text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("audio", "text", "groups", "message"),
    [
        ([EAST], [NORTH], [0], "two pairs or more. Received: 1"),
        ([EAST, NORTH], [NORTH], [0, 1], r"\(2, 2\), \(1, 2\)"),
        ([EAST, NORTH], [NORTH, EAST], [0], r"and \(1,\)"),
        (EAST, NORTH, [0, 1], r"\[N, D\] each"),
        ([EAST, [np.nan, 1]], [NORTH, EAST], [0, 1], "finite"),
        ([EAST, NORTH], [NORTH, EAST], ["a", "a"], "needs two texts or more. Received: 1"),
    ],
)
def test_what_cannot_be_compared_is_named(audio, text, groups, message):
    for measure in (mmd, probe_accuracy):
        with pytest.raises(DataError, match=message):
            measure(audio, text, groups)
