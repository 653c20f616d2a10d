"""Thresholds by hand, and those of a stream hold in the same stream."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adml.errors import DataError, UsageError
from adml.spotting.calibration import Background, listen_to_background
from adml.spotting.detecting import Detector, detect_stream
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.scoring import LOWEST_SCORE

RATE_HZ = 16000


def background(*events, hours=2.0):
    ordered = tuple(np.sort(np.array(e, np.float32))[::-1] for e in events)
    names = tuple(f"kw{number}" for number in range(len(events)))
    return Background(names, ordered, hours * 3600, 3, "c" * 64)


def test_a_threshold_lets_as_many_events_through_as_are_allowed():
    found = background([0.9, 0.8, 0.7, 0.6], [0.5, 0.2]).thresholds(1.0)
    threshold, told = found["kw0"]
    assert 0.7 < threshold < 0.701 and told["events"] == 2 and told["hours"] == 2.0
    low, high = stats.chi2.ppf(0.025, 4) / 2 / 2, stats.chi2.ppf(0.975, 6) / 2 / 2
    assert told["interval_per_hour"] == pytest.approx([low, high], abs=1e-4)
    assert told["content"] == "c" * 64 and told["recordings"] == 3
    assert found["kw1"][0] == pytest.approx(LOWEST_SCORE) and found["kw1"][1]["events"] == 2


def test_too_little_background_for_the_rate_lets_none_through():
    threshold, told = background([0.9, 0.8]).thresholds(0.1)["kw0"]
    assert 0.9 < threshold < 0.901 and told["events"] == 0
    assert told["interval_per_hour"][1] == pytest.approx(3.689 / 2, abs=1e-3)


def test_equal_events_are_let_through_together_or_not_at_all():
    threshold, told = background([0.9, 0.8, 0.8, 0.8]).thresholds(1.0)["kw0"]
    assert told["events"] == 1 and 0.8 < threshold < 0.9


def test_background_in_which_nothing_can_be_compared_is_refused():
    with pytest.raises(DataError, match="too short.*Received: 0.36 s"):
        background([0.9], [], hours=1e-4).thresholds(0.5)


@pytest.mark.parametrize("rate", [0.0, -1.0, 3601.0, float("nan")])
def test_a_rate_is_above_0(rate):
    with pytest.raises(UsageError, match="above 0 an hour"):
        background([0.5]).thresholds(rate)


def sound(seconds, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sweep = np.sin(2 * np.pi * np.cumsum(200 + 150 * np.sin(rng.uniform(1, 9) * time)) / RATE_HZ)
    return (0.2 * sweep * (np.sin(5 * time) > 0) + 0.01 * rng.normal(size=len(time))).astype(
        np.float32
    )


def test_a_calibrated_keyword_is_detected_as_often_as_was_told(spotter):
    words = [Keyword(text, spotter.embed_text(text)[np.newaxis]) for text in ("yes", "go on")]
    file, streams = KeywordFile(spotter.model, tuple(words)), [sound(9, 1), sound(7, 2)]
    heard = listen_to_background(spotter, file, streams)
    assert heard.seconds == 16 and heard.recordings == 2 and heard.names == ("yes", "go on")
    calibrated = file.with_thresholds(heard.thresholds(1000.0))
    for keyword in calibrated.keywords:
        assert keyword.calibration["events"] <= 1000 * 16 / 3600
    detections = []
    for stream in streams:
        detector = Detector(spotter, calibrated, sample_rate_hz=RATE_HZ)
        detections += detect_stream(detector, [stream])
    for keyword in calibrated.keywords:
        count = sum(detection.keyword == keyword.name for detection in detections)
        assert keyword.calibration["events"] == 4 and 1 <= count <= 4 + 2


def test_the_background_is_told_by_its_content(spotter):
    file = KeywordFile(spotter.model, (Keyword("yes", spotter.embed_text("yes")[np.newaxis]),))
    one, two, other = (
        listen_to_background(spotter, file, [sound(2, seed)]).content for seed in (1, 1, 3)
    )
    assert one == two != other


def test_what_is_missing_is_told(spotter):
    file = KeywordFile(spotter.model, (Keyword("yes", spotter.embed_text("yes")[np.newaxis]),))
    with pytest.raises(DataError, match="no background"):
        listen_to_background(spotter, file, [])
    with pytest.raises(UsageError, match="another model"):
        listen_to_background(spotter, KeywordFile("other", file.keywords), [sound(1, 1)])
