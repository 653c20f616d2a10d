"""Metrics of trials against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from adml import metrics
from adml.errors import DataError


def error_rates(labels, scores):
    """(FPR, FNR) at every threshold, counted; accept = score >= threshold."""
    rates = []
    for threshold in [*sorted(set(scores)), max(scores) + 1]:
        accepted = [s >= threshold for s in scores]
        false = sum(a and not y for a, y in zip(accepted, labels, strict=True))
        missed = sum(y and not a for a, y in zip(accepted, labels, strict=True))
        rates.append((false / (len(labels) - sum(labels)), missed / sum(labels)))
    return rates


def random_trials(seed, count=60):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return labels, np.round(labels + generator.normal(size=count), 1)


def test_eer_by_hand():
    labels, scores = [1, 1, 1, 1, 0, 0, 0, 0], [9, 8, 7, 3, 6, 2, 1, 0]
    assert metrics.equal_error_rate(labels, scores) == 0.25
    assert metrics.equal_error_rate([1, 0], [1, 0]) == 0
    assert metrics.equal_error_rate([1, 0], [0, 1]) == 1
    assert metrics.equal_error_rate([1, 0], [5, 5]) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_eer_is_at_the_nearest_threshold(seed):
    labels, scores = random_trials(seed)
    rates = error_rates(labels, scores)
    least = min(abs(f - m) for f, m in rates)
    candidates = [(f + m) / 2 for f, m in rates if abs(f - m) < least + 1e-12]
    value = metrics.equal_error_rate(labels, scores)
    assert any(value == pytest.approx(candidate) for candidate in candidates)


def test_average_precision_by_hand():
    """Hits at ranks 1 and 3: (1/1 + 2/3) / 2."""
    assert metrics.average_precision([1, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx(5 / 6)
    labels, scores = random_trials(1)
    chance = metrics.average_precision(labels, np.zeros(len(scores)))
    assert chance == pytest.approx(np.mean(labels))


def test_auc_is_the_share_of_ordered_pairs():
    labels, scores = random_trials(2)
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    assert metrics.roc_auc(labels, scores) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn(seed):
    labels, scores = random_trials(seed, 300)
    for name, other in (("average_precision", "average_precision_score"),
                        ("roc_auc", "roc_auc_score")):  # fmt: skip
        expected = getattr(reference, other)(labels, scores)
        assert getattr(metrics, name)(labels, scores) == pytest.approx(expected, rel=1e-12)
    alarms, hits, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    nearest = np.argmin(np.abs(alarms + hits - 1))
    expected = (alarms[nearest] + 1 - hits[nearest]) / 2
    assert metrics.equal_error_rate(labels, scores) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["equal_error_rate", "average_precision", "roc_auc"])
def test_order_and_monotone_scores_do_not_matter(name):
    metric, (labels, scores) = getattr(metrics, name), random_trials(3)
    order = np.random.default_rng(0).permutation(len(labels))
    assert metric(labels[order], scores[order]) == pytest.approx(metric(labels, scores))
    assert metric(labels, np.exp(scores)) == pytest.approx(metric(labels, scores))
    assert metric(labels.astype(bool), scores) == metric(labels, scores)


@pytest.mark.parametrize("name", ["equal_error_rate", "average_precision", "roc_auc"])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "Expected: labels 0 and 1. Received: .1. in 2 trials"),
        ([0, 1], [0.1, np.nan], "Received: 1 NaN or infinite of 2"),
        ([0, 1, 1], [0.1, 0.2], "one length"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "Received: .0, 1, 2."),
        ([], [], "both classes"),
    ],
)
def test_bad_trials(name, labels, scores, message):
    with pytest.raises(DataError, match=message):
        getattr(metrics, name)(labels, scores)


def test_bootstrap_covers_and_repeats():
    labels, scores = random_trials(4, 200)
    groups = np.arange(200) // 4
    options = {"resamples": 200, "seed": 5}
    low, high = metrics.bootstrap_interval(labels, scores, groups, metrics.roc_auc, **options)
    assert low < metrics.roc_auc(labels, scores) < high
    assert high - low < 0.2
    again = metrics.bootstrap_interval(labels, scores, groups, metrics.roc_auc, **options)
    assert again == (low, high)
    narrow = metrics.bootstrap_interval(
        labels, scores, groups, metrics.roc_auc, level=0.5, **options
    )
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_draws_groups_and_not_trials():
    """Ten copies of each trial in one group tell no more than the trial itself."""
    labels, scores = random_trials(6, 40)
    wide = metrics.bootstrap_interval(
        labels, scores, np.arange(40), metrics.roc_auc, resamples=300, seed=1
    )
    copied = metrics.bootstrap_interval(
        np.repeat(labels, 10),
        np.repeat(scores, 10),
        np.repeat(np.arange(40), 10),
        metrics.roc_auc,
        resamples=300,
        seed=1,
    )
    assert copied == pytest.approx(wide)


def test_bootstrap_refuses_what_it_cannot_draw():
    with pytest.raises(DataError, match="Expected: 2 groups. Received: 3"):
        metrics.bootstrap_interval([0, 1], [0, 1], [1, 2, 3], metrics.roc_auc, seed=0)
    # A metric of one group is that group; with the classes apart no draw of one holds both.
    value = metrics.bootstrap_interval([0, 1], [0, 1], [7, 7], metrics.roc_auc, seed=0, resamples=5)
    assert value == (1.0, 1.0)
