"""Metrics of scored trials: equal error rate, average precision, area under the ROC curve.

The values are scikit-learn's; they are counted here because a bootstrap asks for thousands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adml.errors import DataError

__all__ = ["average_precision", "bootstrap_interval", "equal_error_rate", "roc_auc"]


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """Error rate at the threshold where misses and false alarms are equally frequent.

        EER = (FPR + FNR) / 2 at the threshold where |FPR - FNR| is least

    Args:
        labels: [N], 1 or true for a match.
        scores: [N], higher for a match.

    Returns:
        A fraction in [0, 1].

    Raises:
        DataError: the trials cannot be scored (lengths, one class only, scores not finite).
    """
    hits, false_alarms = _accepted(labels, scores)
    miss_rate = 1 - hits / hits[-1]
    false_alarm_rate = false_alarms / false_alarms[-1]
    nearest = np.argmin(np.abs(false_alarm_rate - miss_rate))
    return float((false_alarm_rate[nearest] + miss_rate[nearest]) / 2)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Sum of precisions over the steps of recall, AP = sum_n (R_n - R_{n-1}) P_n.

    Args, Raises: as for `equal_error_rate`.

    Returns:
        A fraction; chance is the share of matches.
    """
    hits, false_alarms = _accepted(labels, scores)
    precision = hits[1:] / (hits[1:] + false_alarms[1:])
    return float(np.sum(np.diff(hits) * precision) / hits[-1])


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a match scores above a non-match; ties count half.

    Args, Raises: as for `equal_error_rate`.

    Returns:
        A fraction; chance is 0.5.
    """
    hits, false_alarms = _accepted(labels, scores)
    area = np.sum(np.diff(false_alarms) * (hits[1:] + hits[:-1]) / 2)
    return float(area / (hits[-1] * false_alarms[-1]))


def bootstrap_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of `metric` when whole groups are drawn with replacement.

    Trials of one speaker, or of one recording, are not independent: the group is the unit.
    Draws in which one class is missing are drawn again.

    Args:
        labels: [N].
        scores: [N].
        groups: [N], the group of each trial (any sortable values).
        metric: of (labels, scores), such as `equal_error_rate`.
        resamples: number of draws.
        seed: of the draws.
        level: of confidence, in (0, 1).

    Returns:
        Lower and upper bound.

    Raises:
        DataError: as for `equal_error_rate`, or no draw in ten had both classes.
    """
    labels, scores = _checked(labels, scores)
    names, group_index = np.unique(np.asarray(groups), return_inverse=True)
    if group_index.shape != labels.shape:
        raise DataError(
            "bootstrap_interval: groups do not fit the trials. "
            f"Expected: {len(labels)} groups. Received: {group_index.size}."
        )
    # Sorted once: the metrics' own stable sorts are then linear.
    order = np.argsort(-scores, kind="stable")
    labels, scores, group_index = labels[order], scores[order], group_index[order]
    generator = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(10 * resamples):
        drawn = generator.integers(len(names), size=len(names))
        counts = np.bincount(drawn, minlength=len(names))[group_index]
        chosen = np.repeat(labels, counts)
        if chosen.size and 0 < chosen.sum() < chosen.size:
            values.append(metric(chosen, np.repeat(scores, counts)))
        if len(values) == resamples:
            break
    if len(values) < resamples:
        raise DataError(
            "bootstrap_interval: too few draws hold both classes. Expected: matches and "
            f"non-matches in several groups. Received: {len(names)} groups."
        )
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _accepted(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of matches and of non-matches accepted, from none to all.

    One entry for "above every score", then one for each distinct score as the threshold.
    """
    labels, scores = _checked(labels, scores)
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    hits = np.cumsum(labels)[last_of_ties]
    false_alarms = last_of_ties + 1 - hits
    return np.concatenate([[0], hits]), np.concatenate([[0], false_alarms])


def _checked(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """The trials as arrays of 0/1 and of float64, or a clear error."""
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise DataError(
            "Trials do not fit together. Expected: labels and scores as vectors of one length. "
            f"Received: shapes {labels.shape} and {scores.shape}."
        )
    if not np.all(np.isfinite(scores)):
        raise DataError(
            "Scores are not finite. Expected: finite numbers. "
            f"Received: {np.count_nonzero(~np.isfinite(scores))} NaN or infinite of {scores.size}."
        )
    labels = labels.astype(np.int64)
    # A match and a non-match, and nothing else; np.unique would sort for each bootstrap draw.
    matches = np.count_nonzero(labels == 1)
    if not 0 < matches < labels.size or np.count_nonzero(labels == 0) != labels.size - matches:
        raise DataError(
            "Trials need both classes. Expected: labels 0 and 1. "
            f"Received: {np.unique(labels).tolist()} in {labels.size} trials."
        )
    return labels, scores
