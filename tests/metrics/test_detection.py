"""Detection metrics against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adml import metrics
from adml.errors import DataError


def test_merge_keeps_the_best_of_each_event():
    times, scores = metrics.merge_events(
        [0.0, 0.4, 0.8, 5.0, 9.0, 9.5], [1, 3, 2, 1, 4, 4], refractory_s=1.0
    )
    np.testing.assert_array_equal(times, [0.4, 5.0, 9.0])
    np.testing.assert_array_equal(scores, [3, 1, 4])


def test_merge_does_not_chain():
    """A weak detection that only a swallowed one would reach is its own event."""
    times, _ = metrics.merge_events([0.0, 0.9, 1.8], [3, 2, 1], refractory_s=1.0)
    np.testing.assert_array_equal(times, [0.0, 1.8])


def test_merge_at_exactly_the_refractory_time_and_of_nothing():
    times, _ = metrics.merge_events([2.0, 1.0], [1, 1], refractory_s=1.0)
    np.testing.assert_array_equal(times, [1.0, 2.0])
    assert metrics.merge_events([], [], refractory_s=1.0)[0].size == 0


def test_misses_by_hand():
    """One false alarm an hour for two hours: the threshold is above the third alarm, 0.5."""
    point = metrics.misses_at_false_alarms(
        [0.9, 0.6, 0.5, 0.4], [0.8, 0.7, 0.5, 0.1], hours=2.0, false_alarms_per_hour=1.0
    )
    assert point.miss_rate == 0.5
    assert point.false_alarms == 2
    assert point.false_alarms_per_hour == 1.0
    assert 0.5 < point.threshold <= 0.6
    low, high = metrics.poisson_interval(2)
    assert point.interval_per_hour == (low / 2, high / 2)


def test_ties_at_the_limit_are_all_shut_out():
    point = metrics.misses_at_false_alarms(
        [0.9, 0.5], [0.5, 0.5, 0.5], hours=1.0, false_alarms_per_hour=1.0
    )
    assert point.false_alarms == 0
    assert point.miss_rate == 0.5


def test_few_alarms_accept_everything_that_was_detected():
    point = metrics.misses_at_false_alarms(
        [0.9, -np.inf, 0.2], [0.3], hours=10.0, false_alarms_per_hour=0.1
    )
    assert point.miss_rate == pytest.approx(1 / 3)
    assert point.threshold == 0.2
    assert point.false_alarms == 1


def test_nothing_detected_is_all_missed():
    point = metrics.misses_at_false_alarms(
        [-np.inf, -np.inf], [], hours=1.0, false_alarms_per_hour=1.0
    )
    assert point.miss_rate == 1.0


@pytest.mark.parametrize("count", [0, 1, 4, 20])
def test_poisson_interval_has_the_tails_it_says(count):
    low, high = metrics.poisson_interval(count)

    def at_most(mean, limit):
        return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(limit + 1))

    assert at_most(high, count) == pytest.approx(0.025)
    if count:
        assert 1 - at_most(low, count - 1) == pytest.approx(0.025)
    else:
        assert low == 0
        assert high == pytest.approx(-math.log(0.025))


@pytest.mark.parametrize(
    ("keywords", "alarms", "hours", "message"),
    [
        ([], [1.0], 1.0, "Received: 0 keywords"),
        ([1.0], [1.0], 0.0, "0.0 hours"),
        ([np.nan], [1.0], 1.0, "NaN"),
    ],
)
def test_nothing_to_measure(keywords, alarms, hours, message):
    with pytest.raises(DataError, match=message):
        metrics.misses_at_false_alarms(keywords, alarms, hours=hours, false_alarms_per_hour=1.0)
