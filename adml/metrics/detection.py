"""Metrics of keyword detection in continuous audio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from adml.errors import DataError

__all__ = ["OperatingPoint", "merge_events", "misses_at_false_alarms", "poisson_interval"]


class OperatingPoint(NamedTuple):
    """What a detector does at one threshold."""

    miss_rate: float
    threshold: float
    false_alarms: int
    false_alarms_per_hour: float
    interval_per_hour: tuple[float, float]


REFRACTORY_S = 1.0
"""Detections of a keyword that lie nearer together are one event, chosen."""


def merge_events(
    times_s: np.ndarray, scores: np.ndarray, *, refractory_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Join detections that are one event: the best score stands for all within the refractory time.

    Best first, each detection is kept unless a kept one lies less than `refractory_s` away.

    Args:
        times_s: [n] seconds, in any order.
        scores: [n].
        refractory_s: seconds.

    Returns:
        times and scores of the events, by time.
    """
    times_s, scores = np.asarray(times_s, np.float64), np.asarray(scores, np.float64)
    order = np.argsort(times_s, kind="stable")
    times_s, scores = times_s[order], scores[order]
    open_to = np.ones(times_s.size, bool)
    kept = []
    for best in np.argsort(-scores, kind="stable"):
        if not open_to[best]:
            continue
        kept.append(best)
        first = np.searchsorted(times_s, times_s[best] - refractory_s, side="right")
        last = np.searchsorted(times_s, times_s[best] + refractory_s, side="left")
        open_to[first:last] = False
    kept = np.sort(np.asarray(kept, np.int64))
    return times_s[kept], scores[kept]


def misses_at_false_alarms(
    keyword_scores: np.ndarray,
    false_alarm_scores: np.ndarray,
    *,
    hours: float,
    false_alarms_per_hour: float,
) -> OperatingPoint:
    """Share of keywords missed at the lowest threshold that keeps the false alarms within limits.

    A detection is a score at or above the threshold.

    Args:
        keyword_scores: best score within each spoken keyword; -inf where none was given.
        false_alarm_scores: scores of the events (see `merge_events`) where nothing was said.
        hours: length of the audio in which false alarms were counted.
        false_alarms_per_hour: the limit.

    Returns:
        The operating point, with the exact Poisson interval of its false alarm rate.

    Raises:
        DataError: no keywords, NaN scores, or no audio.
    """
    keyword_scores = np.asarray(keyword_scores, np.float64)
    alarms = np.sort(np.asarray(false_alarm_scores, np.float64))[::-1]
    if keyword_scores.size == 0 or not hours > 0 or not false_alarms_per_hour >= 0:
        raise DataError(
            "misses_at_false_alarms: nothing to measure. Expected: at least one keyword, hours > 0 "
            f"and a limit >= 0. Received: {keyword_scores.size} keywords, {hours} hours, "
            f"{false_alarms_per_hour} false alarms per hour."
        )
    if np.isnan(keyword_scores).any() or np.isnan(alarms).any():
        raise DataError(
            "misses_at_false_alarms: scores hold NaN. Expected: numbers. Received: NaN."
        )
    # Half a millionth of slack, so that 0.1 per hour over 10 hours allows one.
    allowed = int(np.floor(false_alarms_per_hour * hours + 5e-7))
    threshold = _lowest_threshold(keyword_scores, alarms, allowed)
    count = int(np.count_nonzero(alarms >= threshold))
    low, high = poisson_interval(count)
    return OperatingPoint(
        miss_rate=float(np.mean(keyword_scores < threshold)),
        threshold=threshold,
        false_alarms=count,
        false_alarms_per_hour=count / hours,
        interval_per_hour=(low / hours, high / hours),
    )


def poisson_interval(count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of a Poisson mean of which `count` events were seen.

        [chi2(tail; 2 n) / 2, chi2(1 - tail; 2 n + 2) / 2]

    Args:
        count: n >= 0.
        level: of confidence, in (0, 1).

    Returns:
        Lower and upper bound of the mean.
    """
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(stats.chi2.ppf(tail, 2 * count) / 2)
    return low, float(stats.chi2.ppf(1 - tail, 2 * count + 2) / 2)


def _lowest_threshold(keyword_scores, alarms, allowed: int) -> float:
    """The lowest finite score at which at most `allowed` of the (falling) alarms remain."""
    finite = keyword_scores[np.isfinite(keyword_scores)]
    if alarms.size <= allowed:
        lowest = [values.min() for values in (finite, alarms) if values.size]
        return float(min(lowest)) if lowest else float("inf")
    return float(np.nextafter(alarms[allowed], np.inf))
