"""How many of its utterances a keyword will miss, told from what other words missed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from adml.errors import DataError
from adml.metrics.detection import REFRACTORY_S, merge_events
from adml.spotting.calibration import Background
from adml.spotting.engine import SpotterEngine
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.spotter import KeywordSpotter

FORECAST_PER_HOUR = (1.0, 10.0)
"""False alarms an hour at which misses are foretold."""

_LATE_S = 0.3
"""A word may be found so long after its end."""

_FOLDS = 5
_FEWEST = 20


@dataclass(frozen=True)
class Forecast:
    """A logistic model of the share of utterances that are missed.

    Args:
        weights: [R, 1 + 3], of 1 and of `describe`, for each rate of `FORECAST_PER_HOUR`.
        error: [R], mean distance of the forecast and the share that a word missed, over words that
            the forecast did not know.
        words: how many.
    """

    weights: np.ndarray
    error: np.ndarray
    words: int

    def misses(self, described: np.ndarray) -> np.ndarray:
        """Share of utterances that are missed, float64 [R].

        Args:
            described: [R, 3], the keyword at each rate.
        """
        sums = self.weights[:, 0] + (self.weights[:, 1:] * described).sum(axis=1)
        return 1 / (1 + np.exp(-sums))


def describe(phones: int, distance: float, threshold: float) -> list[float]:
    """What the forecast goes by.

    Args:
        phones: of the pronunciation.
        distance: to the nearest other word, in edits per phone.
        threshold: of the keyword at the rate of false alarms.
    """
    return [phones / 10, distance, threshold]


def count_words(
    spotter: KeywordSpotter,
    keywords: KeywordFile,
    streams: Iterable[tuple[np.ndarray, Mapping[str, Sequence[tuple[float, float]]]]],
) -> tuple[Background, tuple[np.ndarray, ...]]:
    """Hear speech and tell false alarms of words from the words.

    Args:
        spotter: the model.
        keywords: enrolled with it.
        streams: samples, float32 [T] at the model's rate, and by keyword the times in seconds
            between which it is said in them.

    Returns:
        The events of each keyword where it is not said, and the best score of each of its
        utterances, [n] each, in the order of the keywords.
    """
    engine, names = SpotterEngine(spotter, keywords), [k.name for k in keywords.keywords]
    alarms: dict[str, list] = {name: [] for name in names}
    found: dict[str, list] = {name: [] for name in names}
    digest, samples, count = hashlib.sha256(), 0, 0
    for stream, said in streams:
        for name, (times_s, scores) in engine(stream).items():
            apart = np.ones(len(times_s), bool)
            for start_s, end_s in said.get(name, ()):
                within = (times_s > start_s) & (times_s <= end_s + _LATE_S)
                found[name].append(float(scores[within].max(initial=-np.inf)))
                apart &= (times_s < start_s) | (times_s > end_s + REFRACTORY_S)
            events = merge_events(times_s[apart], scores[apart], refractory_s=REFRACTORY_S)
            alarms[name].append(events[1])
        digest.update(np.ascontiguousarray(stream, np.float32).tobytes())
        samples, count = samples + len(stream), count + 1
    events = tuple(np.sort(np.concatenate([*of, []]))[::-1] for of in alarms.values())
    seconds = samples / spotter.sample_rate_hz
    background = Background(tuple(names), events, seconds, count, digest.hexdigest())
    return background, tuple(np.array(scores) for scores in found.values())


def fit_forecast(
    described: np.ndarray, thresholds: np.ndarray, said: Sequence[np.ndarray]
) -> Forecast:
    """Fit the forecast to words and what was missed of them.

    Args:
        described: [W, R, 3], each word at each rate.
        thresholds: [W, R], those that keep its false alarms within the rates.
        said: the scores of the utterances of each word.

    Raises:
        DataError: there are too few words.
    """
    if len(said) < _FEWEST:
        raise DataError(
            f"Too few words are said to foretell misses. Expected: {_FEWEST} words that are said "
            f"several times. Received: {len(said)}. Take more speech."
        )
    weights, errors = [], []
    groups = np.repeat(np.arange(len(said)), [len(scores) for scores in said])
    for place in range(described.shape[1]):
        missed = np.concatenate(
            [scores < limit for scores, limit in zip(said, thresholds[:, place], strict=True)]
        )
        rows = described[groups, place]
        if len(set(missed.tolist())) == 1:  # all found, or none: there is nothing to go by
            sure = np.log(1 / (len(missed) + 1)) * (1 if not missed[0] else -1)
            weights.append([sure, 0.0, 0.0, 0.0])
            errors.append(0.0)
            continue
        model = LogisticRegression(C=100.0, max_iter=1000)
        folds = GroupKFold(min(_FOLDS, len(said)))
        told = np.empty(len(missed))
        for train, test in folds.split(rows, missed, groups):
            if missed[train].all() or not missed[train].any():
                told[test] = missed[train][0]
            else:
                told[test] = model.fit(rows[train], missed[train]).predict_proba(rows[test])[:, 1]
        by_word = [abs(told[groups == w].mean() - missed[groups == w].mean())
                   for w in range(len(said))]  # fmt: skip
        model.fit(rows, missed)
        weights.append([float(model.intercept_[0]), *map(float, model.coef_[0])])
        errors.append(float(np.mean(by_word)))
    return Forecast(np.array(weights), np.array(errors), len(said))
