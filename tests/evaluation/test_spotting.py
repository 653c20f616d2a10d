"""Spotting: an engine whose scores are known gives figures that a pencil can check."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adml.errors import DataError
from adml.evaluation.spotting import LEAD_S, Noise, Spoken, spot

RATE_HZ = 16000
LEAD = round(LEAD_S * RATE_HZ)


def recordings():
    """Clips are constant at a level that is their score; the background has two loud places."""
    background = 0.01 * np.ones(60 * RATE_HZ, np.float32)
    background[10 * RATE_HZ] = 0.5
    background[int(10.4 * RATE_HZ)] = 0.6
    background[40 * RATE_HZ] = 0.3
    clips = {f"clip{n}": np.full(RATE_HZ, level, np.float32)
             for n, level in enumerate((0.2, 0.4, 0.55, 0.9))}  # fmt: skip
    return {"background": background, **clips}


def peaks(samples):
    """Everything above 0.1, every 0.1 s, is a detection whose score is the level."""
    steps = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600).max(axis=1)
    times = (np.arange(len(steps)) + 1) / 10
    kept = steps > 0.1
    return {"one": (times[kept], steps[kept]), "other": (times[:0], steps[:0])}


CLIPS = [Spoken(f"clip{n}", "one") for n in range(4)]


def test_misses_and_alarms_by_hand():
    read = recordings().__getitem__
    found = spot(peaks, CLIPS, ["background"] * 6, read)
    np.testing.assert_allclose(found.clip_scores["one"], [0.2, 0.4, 0.55, 0.9], rtol=1e-6)
    np.testing.assert_allclose(np.unique(found.alarm_scores["one"]), [0.3, 0.6], rtol=1e-6)
    assert len(found.alarm_scores["one"]) == 12 and found.hours == pytest.approx(0.1)
    assert set(found.alarm_scores) == {"one"}
    at_50, at_60, at_120 = found.points([50, 60, 120])["one"]
    assert at_50.misses == 3 and at_50.at.false_alarms == 0
    assert (at_60.misses, at_60.clips) == (1, 4) and at_60.at.false_alarms == 6
    assert at_120.misses == 0 and at_120.at.false_alarms == 12
    low, high = stats.beta.ppf(0.025, 1, 4), stats.beta.ppf(0.975, 2, 3)
    assert at_60.miss_interval == pytest.approx((low, high))
    assert at_60.at.interval_per_hour[0] < 60 < at_60.at.interval_per_hour[1]


def test_a_clip_is_heard_after_other_speech_of_its_level():
    streams = []

    def listener(samples):
        streams.append(samples)
        return {"one": (np.array([2.9, 3.5]), np.array([9.0, 1.0]))}

    read = recordings().__getitem__
    found = spot(listener, CLIPS[:1], ["background"], read)
    assert len(streams[0]) == LEAD + RATE_HZ
    np.testing.assert_allclose(np.mean(streams[0][:LEAD] ** 2), 0.2**2, rtol=1e-3)
    np.testing.assert_array_equal(streams[0][LEAD:], read("clip0"))
    assert found.clip_scores["one"].tolist() == [1.0], "what is found in the lead does not count"


def test_a_clip_without_any_score_is_missed():
    quiet = {"one": (np.zeros(0), np.zeros(0))}
    found = spot(lambda samples: quiet, CLIPS, ["background"], recordings().__getitem__)
    assert [point.misses for point in found.points()["one"]] == [4] * 5


def test_noise_has_its_ratio_and_is_drawn_by_the_stream():
    rng = np.random.default_rng(0)
    noise = Noise([rng.normal(0, 0.3, 5000), np.zeros(100), rng.normal(0, 0.1, 7000)], 10.0)
    speech = rng.normal(0, 0.2, 3 * RATE_HZ).astype(np.float32)
    mixed = noise(speech, 4)
    ratio = np.mean(speech**2) / np.mean((mixed - speech) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(10.0, abs=0.1)
    np.testing.assert_array_equal(mixed, noise(speech, 4))
    assert not np.array_equal(mixed, noise(speech, 5))
    with pytest.raises(DataError, match="no noise"):
        Noise([np.zeros(100)], 10.0)


def test_the_same_seed_gives_the_same_streams():
    def summed(samples):
        return {"one": (np.array([3.5]), np.array([float(np.sum(samples))]))}

    varied = recordings() | {"background": np.linspace(0, 0.1, 60 * RATE_HZ, dtype=np.float32)}
    read = varied.__getitem__
    one, two, other = (
        spot(summed, CLIPS, ["background"], read, seed=seed).clip_scores["one"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_what_is_missing_is_named():
    read = recordings().__getitem__
    with pytest.raises(DataError, match="0 clips, 1 recordings"):
        spot(peaks, [], ["background"], read)
    with pytest.raises(DataError, match="tells nothing of 'third'"):
        spot(peaks, [Spoken("clip0", "third")], ["background"], read)
