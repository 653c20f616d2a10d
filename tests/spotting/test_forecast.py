"""Misses foretold, and utterances told from false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import DataError
from adml.spotting import forecast
from adml.spotting.forecast import Forecast, count_words, describe, fit_forecast
from adml.spotting.keyword_file import Keyword, KeywordFile


def test_the_logistic_model_by_hand():
    model = Forecast(np.array([[0.5, 1.0, -2.0, 3.0], [0, 0, 0, 0]]), np.zeros(2), 30)
    described = np.array([describe(7, 0.25, 0.4), describe(7, 0.25, 0.2)])
    sums = 0.5 + 0.7 - 0.5 + 1.2
    np.testing.assert_allclose(model.misses(described), [1 / (1 + np.exp(-sums)), 0.5])


def words(count, per_word, weights, seed=0):
    """Words whose utterances are missed by a logistic model of what describes them."""
    rng = np.random.default_rng(seed)
    described = np.stack(
        [rng.integers(4, 15, count) / 10, rng.uniform(0.1, 0.6, count), rng.uniform(0, 0.5, count)],
        axis=1,
    )
    shares = 1 / (1 + np.exp(-(weights[0] + described @ weights[1:])))
    thresholds = described[:, 2:]
    said = [
        np.where(rng.random(per_word) < share, limit - 0.1, limit)
        for share, limit in zip(shares, thresholds[:, 0], strict=True)
    ]
    return described[:, np.newaxis], thresholds, said, shares


def test_a_logistic_truth_is_found_again():
    truth = np.array([1.0, -3.0, -1.0, 4.0])
    described, thresholds, said, shares = words(200, 200, truth)
    found = fit_forecast(described, thresholds, said)
    told = np.array([found.misses(row)[0] for row in described])
    np.testing.assert_allclose(told, shares, atol=0.03)
    assert found.words == 200 and 0.01 < found.error[0] < 0.05
    np.testing.assert_allclose(found.weights[0], truth, atol=0.5)


def test_the_error_is_of_words_that_were_left_out():
    """What each word misses is chance: known words would be told by their average alone."""
    rng = np.random.default_rng(1)
    described, thresholds, said, _ = words(60, 30, np.zeros(4))
    shares = rng.choice([0.1, 0.9], 60)
    said = [np.where(rng.random(30) < share, -1.0, 1.0) for share in shares]
    assert fit_forecast(described, thresholds, said).error[0] > 0.35


def test_one_word_alone_may_be_missed():
    """Without it all are found, which is what it is told by those that it is left out of."""
    described, thresholds, _, _ = words(25, 4, np.zeros(4))
    said = [np.ones(4)] * 24 + [np.full(4, -1.0)]
    found = fit_forecast(described, np.zeros_like(thresholds), said)
    assert np.isfinite(found.weights).all() and 1 / 25 <= found.error[0] < 0.3


def test_nothing_missed_is_foretold_as_next_to_nothing():
    described, thresholds, said, _ = words(25, 40, np.zeros(4))
    found = fit_forecast(described, thresholds, [np.ones(40)] * 25)
    assert 0 < found.misses(described[0])[0] < 0.002
    none = fit_forecast(described, thresholds, [np.full(40, -1.0)] * 25)
    assert 0.998 < none.misses(described[0])[0] < 1
    with pytest.raises(DataError, match="Received: 19"):
        fit_forecast(described[:19], thresholds[:19], said[:19])


class Engine:
    """Hears a score every tenth of a second, as the samples say."""

    def __init__(self, spotter, keywords):
        self.names = [keyword.name for keyword in keywords.keywords]

    def __call__(self, samples):
        times = (1 + np.arange(len(samples) // 1600)) / 10
        return {name: (times, samples[1599::1600] + n) for n, name in enumerate(self.names)}


def test_utterances_are_told_from_alarms(monkeypatch):
    monkeypatch.setattr(forecast, "SpotterEngine", Engine)
    spotter = type("Spotter", (), {"sample_rate_hz": 16000})
    one = np.ones((1, 1), np.float32)
    keywords = KeywordFile("m", (Keyword("a", one), Keyword("b", one)))
    stream = np.zeros(16000 * 6)
    for second, score in ((1.0, 0.3), (2.3, 0.9), (3.4, 0.7), (5.0, 0.5)):
        stream[round(second * 16000) - 1] = score
    said = {"a": [(2.0, 2.1)]}  # 2.3 is late, but not too late; 3.4 is past its second
    background, found = count_words(spotter, keywords, [(stream, said), (stream * 0, {})])
    np.testing.assert_allclose(found[0], [0.9])
    assert len(found[1]) == 0
    assert background.names == ("a", "b") and background.seconds == 12.0
    np.testing.assert_allclose([e for e in background.events[0] if e > 0], [0.7, 0.5, 0.3])
    np.testing.assert_allclose(
        [e for e in background.events[1] if e > 1], [1.9, 1.7, 1.5, 1.3]
    )
