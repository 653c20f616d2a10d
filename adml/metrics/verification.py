"""Metrics of scored trials: equal error rate, average precision, area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn import metrics

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
    labels, scores = _checked(labels, scores)
    false_alarms, hits, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    misses = 1 - hits
    nearest = np.argmin(np.abs(false_alarms - misses))
    return float((false_alarms[nearest] + misses[nearest]) / 2)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Sum of precisions over the steps of recall, AP = sum_n (R_n - R_{n-1}) P_n.

    Args, Raises: as for `equal_error_rate`.

    Returns:
        A fraction; chance is the share of matches.
    """
    return float(metrics.average_precision_score(*_checked(labels, scores)))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a match scores above a non-match; ties count half.

    Args, Raises: as for `equal_error_rate`.

    Returns:
        A fraction; chance is 0.5.
    """
    return float(metrics.roc_auc_score(*_checked(labels, scores)))


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
    # Sorted once: the metrics' own stable sort is then linear.
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
    present = np.unique(labels)
    if not np.array_equal(present, [0, 1]):
        raise DataError(
            "Trials need both classes. Expected: labels 0 and 1. "
            f"Received: {present.tolist()} in {labels.size} trials."
        )
    return labels, scores
