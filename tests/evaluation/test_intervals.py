import time

import numpy as np
import pytest

from adml import metrics
from adml.errors import DataError, NumericError
from adml.evaluation.intervals import proportion_estimate, trial_estimates

NAMES = {
    "average_precision": metrics.average_precision,
    "equal_error_rate": metrics.equal_error_rate,
    "roc_auc": metrics.roc_auc,
}


def random_trials(seed, count, *, ties):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    labels[:2] = (0, 1)
    scores = generator.normal(size=count) + labels
    return labels, np.round(scores, 0 if ties else 9), generator.integers(0, 7, count)


def test_pencil_case():
    # by falling score: + - + -   AP = (1/1 + 2/3) / 2, AUC = 3 of 4 pairs, EER at one error each
    estimates = trial_estimates(
        np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]), np.arange(4), resamples=0
    )
    assert estimates["average_precision"].value == pytest.approx(5 / 6)
    assert estimates["roc_auc"].value == pytest.approx(3 / 4)
    assert estimates["equal_error_rate"].value == pytest.approx(0.5)
    assert estimates["roc_auc"].low is None and estimates["roc_auc"].n == 4


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [3, 40, 700])
def test_point_estimates_are_those_of_the_metrics(ties, count):
    for seed in range(20):
        labels, scores, groups = random_trials(seed, count, ties=ties)
        estimates = trial_estimates(labels, scores, groups, resamples=0)
        for name, metric in NAMES.items():
            assert estimates[name].value == pytest.approx(metric(labels, scores), abs=1e-12), name


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_repeated_trials(ties):
    """Each resample equals the metrics on trials that are written out as often as drawn."""
    labels, scores, groups = random_trials(3, 60, ties=ties)
    estimates = trial_estimates(labels, scores, groups, resamples=50, seed=5)
    num_groups = len(np.unique(groups))
    weights = np.random.default_rng(5).multinomial(num_groups, [1 / num_groups] * num_groups, 50)
    for name, metric in NAMES.items():
        values = [
            metric(np.repeat(labels, w[groups]), np.repeat(scores, w[groups])) for w in weights
        ]
        assert estimates[name].low == pytest.approx(np.percentile(values, 2.5), abs=1e-12)
        assert estimates[name].high == pytest.approx(np.percentile(values, 97.5), abs=1e-12)


def test_interval_agrees_with_the_reference_bootstrap():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 20)
    labels = (generator.random(1200) < 0.3).astype(int)
    scores = generator.normal(size=1200) + labels + generator.normal(size=60)[groups] * 0.5
    ours = trial_estimates(labels, scores, groups, resamples=150)["roc_auc"]
    low, high = metrics.bootstrap_interval(
        labels, scores, groups, metrics.roc_auc, resamples=150, seed=1
    )
    assert ours.low == pytest.approx(low, abs=0.015) and ours.high == pytest.approx(high, abs=0.015)


def test_hundred_thousand_trials_take_seconds():
    generator = np.random.default_rng(0)
    labels = (np.arange(100_000) < 2000).astype(int)
    scores, groups = (
        generator.normal(size=100_000) + 3 * labels,
        generator.integers(0, 900, 100_000),
    )
    started = time.process_time()
    estimate = trial_estimates(labels, scores, groups, resamples=200)["equal_error_rate"]
    assert time.process_time() - started < 8.0
    assert estimate.low < estimate.value < estimate.high


def test_same_seed_same_interval_and_order_does_not_matter():
    labels, scores, groups = random_trials(1, 300, ties=False)
    first = trial_estimates(labels, scores, groups, resamples=30, seed=2)
    shuffled = np.random.default_rng(9).permutation(300)
    second = trial_estimates(
        labels[shuffled], scores[shuffled], groups[shuffled], resamples=30, seed=2
    )
    assert first == second
    assert first != trial_estimates(labels, scores, groups, resamples=30, seed=3)


def test_one_class_or_one_group_has_no_interval():
    one_class = trial_estimates(np.ones(4), np.arange(4.0), np.arange(4))
    assert one_class["roc_auc"].to_dict() == {"value": None, "low": None, "high": None, "n": 4}
    one_group = trial_estimates(np.array([0, 1]), np.array([0.0, 1.0]), np.array(["a", "a"]))
    assert one_group["roc_auc"].value == 1.0 and one_group["roc_auc"].low is None


@pytest.mark.parametrize(
    ("labels", "scores", "error", "message"),
    [
        ([], [], DataError, "no trials"),
        ([0, 1], [0.5], DataError, "one length"),
        ([0, 2], [0.5, 0.1], DataError, "0 or 1"),
        ([0, 1], [np.nan, 0.1], NumericError, "1 of 2"),
    ],
)
def test_bad_trials_are_errors(labels, scores, error, message):
    with pytest.raises(error, match=message):
        trial_estimates(np.array(labels), np.array(scores), np.zeros(len(labels)))


def test_proportion_over_groups():
    correct, groups = np.array([1, 1, 1, 0, 0, 1]), np.array(list("aabbcc"))
    estimate = proportion_estimate(correct, groups, resamples=500)
    assert estimate.value == pytest.approx(4 / 6) and estimate.n == 6
    assert 0.5 <= estimate.low < estimate.value < estimate.high <= 1.0
    alone = proportion_estimate(correct, np.zeros(6))
    assert alone.low is None and alone.value == pytest.approx(4 / 6)
    with pytest.raises(DataError, match="no outcomes"):
        proportion_estimate(np.array([]), np.array([]))
