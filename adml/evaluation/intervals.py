"""Point estimates with percentile bootstrap intervals over groups, fast enough for 100k trials.

The scores are sorted once. A resample is one integer weight per group (a multinomial draw), so that
its curve is two cumulative sums over the sorted trials; nothing is sorted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from adml.errors import DataError, NumericError

_CELLS = 4_000_000  # weights held at once: resamples x trials


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Args:
        value: point estimate, or None where it is not defined (one class only).
        low: lower end of the interval, or None where there is none.
        high: upper end of the interval, or None.
        n: number of trials or clips behind it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def to_dict(self) -> dict:
        """Plain dictionary for a record."""
        return asdict(self)


@dataclass(frozen=True)
class _SortedTrials:
    """Trials by falling score, one threshold per distinct score."""

    group: np.ndarray  # [N] group of each trial
    positive_group: np.ndarray  # [positives] group of each positive trial
    ends: np.ndarray  # [E] index of the last trial at each threshold
    positives_at_end: np.ndarray  # [E] positives at or above each threshold
    hit_ends: np.ndarray  # thresholds (indices into E) at which a positive is accepted
    num_groups: int


def trial_estimates(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Average precision, equal error rate and area under the ROC, each with an interval.

    The point estimates are those of `adml.metrics` (ties share a threshold; the equal error rate is
    (FPR + FNR) / 2 at the threshold where the two are nearest).

    Args:
        labels: [N] 1 for a positive trial, 0 for a negative one.
        scores: [N] higher means more alike.
        groups: [N] cluster of each trial (the spoken word); whole groups are drawn.
        resamples: number of bootstrap resamples; 0 gives no interval.
        seed: of the resampling.
        level: coverage of the interval.

    Returns:
        Estimates named `average_precision`, `equal_error_rate` and `roc_auc`; their values are None
        where one class is missing, their intervals None where there are fewer than two groups.

    Raises:
        DataError: shapes differ, no trials, or a label that is neither 0 nor 1.
        NumericError: a score that is not finite.
    """
    labels, scores = _check_trials(labels, scores, groups)
    count = len(labels)
    names = ("average_precision", "equal_error_rate", "roc_auc")
    if labels.all() or not labels.any():
        return {name: Estimate(None, None, None, count) for name in names}
    trials = _sort(labels, scores, groups)
    values = _weighted_metrics(trials, np.ones((1, trials.num_groups), dtype=np.int64))[0]
    draws = _draws(trials, resamples, np.random.default_rng(seed))
    low, high = _percentiles(draws, level)
    return {
        name: Estimate(float(values[i]), low[i], high[i], count) for i, name in enumerate(names)
    }


def proportion_estimate(
    correct: np.ndarray,
    groups: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean of a 0/1 outcome (accuracy) with a bootstrap interval over groups (speakers).

    Args:
        correct: [n] outcome of each clip.
        groups: [n] cluster of each clip.
        resamples: number of bootstrap resamples; 0 gives no interval.
        seed: of the resampling.
        level: coverage of the interval.

    Returns:
        The estimate; no interval where there are fewer than two groups.
    """
    correct = np.asarray(correct, dtype=np.float64)
    if correct.size == 0:
        raise DataError("There are no outcomes to average. Expected: at least one.")
    codes, num_groups = _codes(groups)
    hits = np.bincount(codes, weights=correct, minlength=num_groups)
    sizes = np.bincount(codes, minlength=num_groups)
    draws = np.empty((0, 1))
    if resamples > 0 and num_groups > 1:
        weights = _group_weights(np.random.default_rng(seed), num_groups, resamples)
        draws = ((weights @ hits) / (weights @ sizes))[:, None]
    low, high = _percentiles(draws, level)
    return Estimate(float(correct.mean()), low[0], high[0], int(correct.size))


def weighted_estimate(
    values: Callable[[np.ndarray], np.ndarray],
    num_groups: int,
    count: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """A figure of weighted groups with a bootstrap interval over them.

    Args:
        values: weights [R, num_groups] -> the figure of each of the R resamples; one that is not
            finite is left out.
        num_groups: groups that are drawn.
        count: n of the estimate.
        resamples: number of bootstrap resamples; 0 gives no interval.
        seed: of the resampling.
        level: coverage of the interval.
    """
    weights = np.ones((1, num_groups))
    if resamples > 0 and num_groups > 1:
        rng = np.random.default_rng(seed)
        weights = np.concatenate([weights, _group_weights(rng, num_groups, resamples)])
    found = values(weights)
    draws = found[1:][np.isfinite(found[1:])]
    low, high = _percentiles(draws[:, None], level)
    return Estimate(float(found[0]), low[0], high[0], count)


def _check_trials(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple:
    labels, scores, groups = np.asarray(labels), np.asarray(scores), np.asarray(groups)
    if labels.ndim != 1 or labels.shape != scores.shape or labels.shape != groups.shape:
        raise DataError(
            "Labels, scores and groups must be of one length. Expected: [N] each. Received: "
            f"{labels.shape}, {scores.shape}, {groups.shape}."
        )
    if labels.size == 0:
        raise DataError("There are no trials to score. Expected: at least one.")
    if not np.isin(labels, (0, 1)).all():
        raise DataError("A trial's label is wrong. Expected: 0 or 1 (or a boolean).")
    if not np.isfinite(scores).all():
        bad = int(np.count_nonzero(~np.isfinite(scores)))
        raise NumericError(f"{bad} of {scores.size} scores are NaN or infinite. Expected: finite.")
    return labels.astype(bool), scores


def _codes(groups: np.ndarray) -> tuple[np.ndarray, int]:
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    return codes.reshape(-1).astype(np.intp), len(names)


def _sort(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> _SortedTrials:
    codes, num_groups = _codes(groups)
    order = np.argsort(-scores, kind="stable")
    sorted_labels, sorted_scores, sorted_groups = labels[order], scores[order], codes[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(order) - 1)
    positives_at_end = np.cumsum(sorted_labels)[ends]
    hits = np.flatnonzero(np.diff(positives_at_end, prepend=0))
    return _SortedTrials(
        sorted_groups, sorted_groups[sorted_labels], ends, positives_at_end, hits, num_groups
    )


def _group_weights(rng: np.random.Generator, num_groups: int, resamples: int) -> np.ndarray:
    """Draw how often each group stands in each resample: int64 [resamples, groups]."""
    return rng.multinomial(num_groups, np.full(num_groups, 1.0 / num_groups), size=resamples)


def _draws(trials: _SortedTrials, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Metrics of all resamples that hold both classes, [at most resamples, 3]."""
    if resamples <= 0 or trials.num_groups < 2:
        return np.empty((0, 3))
    rows = max(1, _CELLS // len(trials.group))
    parts = []
    for start in range(0, resamples, rows):
        weights = _group_weights(rng, trials.num_groups, min(rows, resamples - start))
        parts.append(_weighted_metrics(trials, weights))
    draws = np.concatenate(parts)
    return draws[np.isfinite(draws).all(axis=1)]


def _weighted_metrics(trials: _SortedTrials, weights: np.ndarray) -> np.ndarray:
    """AP, EER and AUC of each row of group weights, [R, 3]; NaN where a row lacks a class."""
    dtype = np.int32 if int(weights.max()) * len(trials.group) < 2**31 else np.int64
    weights = weights.astype(dtype)
    total = np.cumsum(np.take(weights, trials.group, axis=1), axis=1, dtype=dtype)
    hits = np.zeros((len(weights), len(trials.positive_group) + 1), dtype=dtype)
    np.cumsum(np.take(weights, trials.positive_group, axis=1), axis=1, out=hits[:, 1:])
    positives = hits[:, -1].astype(np.float64)
    negatives = total[:, -1] - positives
    valid = (positives > 0) & (negatives > 0)
    result = np.full((len(weights), 3), np.nan)
    if not valid.any():
        return result
    total, hits, positives, negatives = (x[valid] for x in (total, hits, positives, negatives))
    precision, auc = _areas(trials, total, hits, positives, negatives)
    result[valid, 0] = precision
    result[valid, 1] = _equal_error_rates(trials, total, hits, positives, negatives)
    result[valid, 2] = auc
    return result


def _areas(trials, total, hits, positives, negatives) -> tuple[np.ndarray, np.ndarray]:
    """AP and AUC; both need only the thresholds at which a positive is accepted."""
    ends = trials.ends[trials.hit_ends]
    accepted = total[:, ends].astype(np.float64)
    last_above = np.append(-1, trials.ends[:-1])[trials.hit_ends]
    before = np.where(last_above >= 0, total[:, last_above], 0)
    true = hits[:, trials.positives_at_end[trials.hit_ends]].astype(np.float64)
    gained = np.diff(true, axis=1, prepend=0.0)
    precision = (gained * true / np.maximum(accepted, 1.0)).sum(axis=1) / positives
    false_after = accepted - true
    false_before = before - (true - gained)
    mean_false = (false_after + false_before) / 2.0
    auc = 1.0 - (gained * mean_false).sum(axis=1) / (positives * negatives)
    return precision, auc


def _equal_error_rates(trials, total, hits, positives, negatives) -> np.ndarray:
    """(FPR + FNR) / 2 at the threshold where they are nearest, by bisection in each row."""

    def rates(threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # threshold -1 accepts nothing
        rows = np.arange(len(positives))
        index = np.maximum(threshold, 0)
        true = hits[rows, trials.positives_at_end[index]]
        false = total[rows, trials.ends[index]] - true
        none = threshold < 0
        return np.where(none, 0.0, false / negatives), np.where(none, 1.0, 1.0 - true / positives)

    low = np.full(len(positives), -1)  # FPR below FNR here
    high = np.full(len(positives), len(trials.ends) - 1)  # FPR at or above FNR here
    while (high - low > 1).any():
        middle = (low + high) // 2
        false_positive, false_negative = rates(middle)
        crossed = false_positive >= false_negative
        high = np.where(crossed, middle, high)
        low = np.where(crossed, low, middle)
    below, above = np.stack(rates(low)), np.stack(rates(high))
    nearer_below = np.abs(below[0] - below[1]) <= np.abs(above[0] - above[1])
    return np.where(nearer_below, below.sum(axis=0), above.sum(axis=0)) / 2.0


def _percentiles(draws: np.ndarray, level: float) -> tuple[list, list]:
    if len(draws) == 0:
        missing = [None] * draws.shape[1]
        return missing, missing
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return low.tolist(), high.tolist()
