"""Thresholds from a cohort: by hand, through a file, and of a small model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from adml.errors import DataError, UsageError
from adml.spotting.calibration import Background
from adml.spotting.cohort import RATES_PER_HOUR, Cohort, Table, hear_cohort, read_cohort
from adml.spotting.enrolment import enrol
from adml.spotting.forecast import Forecast
from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.spotter import KeywordSpotter

X = np.array([[1.0, 0.0]], np.float32)
TABLE = Table(*np.array([[1, 10], [4, 2], [0.5, 0.8], [2, 1.2]], float), 200, 5.0)


def stream(*cosines_at_ends):
    ends = np.array([end for end, _ in cosines_at_ends])
    cosines = np.array([cosine for _, cosine in cosines_at_ends])
    embeddings = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)
    return Heard(ends - 40, ends, embeddings, 0, None, 0)


@pytest.fixture(scope="module")
def keywords(spotter):
    return KeywordFile(spotter.model, (enrol(spotter, "yes"), enrol(spotter, "go on")))


@pytest.fixture(scope="module")
def cohort(spotter):
    rng = np.random.default_rng(0)
    return hear_cohort(spotter, (rng.normal(0, 0.1, 48000).astype(np.float32) for _ in range(4)))


def test_levels_are_of_the_best_in_each_second():
    """Frames 0 to 99 are the first second; where a second has no end, it does not count."""
    cohort = Cohort((stream((50, 0.1), (90, 0.4), (100, 0.2), (350, 0.6)), stream((60, 0.0))))
    levels = cohort.levels(KeywordFile("m", (Keyword("x", X),)), (40,))
    best = [(0.1 + 0.4) / 2, (0.4 + 0.2) / 2, (0.2 + 0.6) / 2, 0.0]
    np.testing.assert_allclose(levels, [[np.mean(best), np.std(best)]], rtol=1e-5)


def test_thresholds_by_hand(spotter, cohort, keywords):
    levels = cohort.levels(keywords, spotter.hearing().places.lengths)
    assert (levels[:, 1] > 0).all()
    fitted = Cohort(cohort.heard, TABLE)
    for rate, height in ((1.0, 4.0), (10.0, 2.0), (10**0.5, 3.0)):
        found = fitted.thresholds(spotter, keywords, rate)
        expected = levels[:, 0] + height * levels[:, 1]
        np.testing.assert_allclose([t for t, _ in found.values()], expected, rtol=1e-9)
    told = fitted.thresholds(spotter, keywords, 10.0)["go on"][1]
    assert told["expected_per_hour"] == [8.0, 12.0] and told["words"] == 200
    assert len(told["cohort"]) == 64
    with pytest.raises(UsageError, match="1 to 10 an hour. Received: 0.5"):
        fitted.thresholds(spotter, keywords, 0.5)
    with pytest.raises(UsageError, match="not fitted"):
        cohort.thresholds(spotter, keywords, 1.0)
    with pytest.raises(UsageError, match="another model"):
        fitted.thresholds(spotter, KeywordFile("other", keywords.keywords), 1.0)


def test_the_file_keeps_the_levels(spotter, cohort, keywords, tmp_path):
    path = tmp_path / "cohort.npz"
    forecast = Forecast(np.arange(8.0).reshape(2, 4), np.array([0.1, 0.2]), 50)
    Cohort(cohort.heard, TABLE, forecast).write(path)
    back, lengths = Cohort.read(path), spotter.hearing().places.lengths
    np.testing.assert_array_equal(back.table.heights, TABLE.heights)
    assert (back.table.words, back.table.hours, back.forecast.words) == (200, 5.0, 50)
    np.testing.assert_array_equal(back.forecast.weights, forecast.weights)
    np.testing.assert_array_equal(back.forecast.error, forecast.error)
    ours, theirs = (c.levels(keywords, lengths) for c in (back, cohort))
    np.testing.assert_allclose(ours, theirs, atol=0.01)
    assert back.model == ""
    replace(back, model=spotter.model).write(path)
    assert Cohort.read(path).thresholds(spotter, keywords, 1.0)
    replace(back, model="ab" * 32).write(path)
    with pytest.raises(UsageError, match="cohort is of another model.*Received: abababababab"):
        Cohort.read(path).thresholds(spotter, keywords, 1.0)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot write"):
        back.write(tmp_path / "file" / "cohort.npz")
    written = path.read_bytes()
    for damaged in (b"", written[:300], b"no cohort", written[:-200]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="is no cohort"):
            Cohort.read(path)
    np.savez(path, table=np.array([{}], object))
    with pytest.raises(DataError, match="is no cohort"):
        Cohort.read(path)


def words(count, heights, hours):
    """Levels of words, and their events at the same heights above them."""
    rng = np.random.default_rng(1)
    levels = np.stack([rng.uniform(-0.2, 0.2, count), rng.uniform(0.05, 0.2, count)], axis=1)
    events = tuple(mean + np.array(heights) * spread for mean, spread in levels)
    names = tuple(f"word {number}" for number in range(count))
    return levels, Background(names, events, 3600 * hours, 3, "c" * 64)


def test_words_that_behave_alike_give_their_height_and_no_error():
    levels, background = words(30, range(100, 0, -1), 4.0)
    table = Cohort(()).fitted(levels, background).table
    np.testing.assert_allclose(table.rates, RATES_PER_HOUR)
    # at most rate x hours events may lie above: the next one is the edge
    np.testing.assert_allclose(table.heights, [100 - 4 * rate for rate in RATES_PER_HOUR])
    np.testing.assert_allclose([table.low, table.high], 1.0)
    assert (table.words, table.hours) == (30, 4.0)


def test_the_error_is_told_by_words_that_the_height_is_not_from():
    levels, background = words(40, range(100, 0, -1), 4.0)
    events = list(background.events)
    for place in range(1, 40, 2):  # every other word has its alarms higher by 4.5 spreads
        events[place] = events[place] + 4.5 * levels[place, 1]
    table = Cohort(()).fitted(levels, replace(background, events=tuple(events))).table
    rates = np.array(RATES_PER_HOUR)
    np.testing.assert_allclose(table.high, (4 * rates + 5) / (4 * rates))
    np.testing.assert_allclose(table.low, np.maximum(4 * rates - 4, 0) / (4 * rates))


def test_what_is_too_little_is_refused(tmp_path, run):
    with pytest.raises(DataError, match="Received: 30 words, 1.00 hours"):
        Cohort(()).fitted(*words(30, [1.0], 1.0))
    with pytest.raises(DataError, match="Received: 3 words"):
        Cohort(()).fitted(*words(3, [1.0], 4.0))
    with pytest.raises(DataError, match="no cohort"):
        hear_cohort(None, [])
    with pytest.raises(UsageError, match="has no cohort"):
        read_cohort(run)


def test_the_commands(run, speech_set, tmp_path, monkeypatch, capsys):
    """A cohort is made of two sets and a keyword file calibrated by it, without background."""
    from adml import make_cohort
    from adml.cli import main
    from adml.spotting import cohort, cohort_file, forecast

    monkeypatch.setattr(cohort, "RATES_PER_HOUR", (2000.0, 4000.0))  # there are but seconds
    monkeypatch.setattr(make_cohort, "PIECE_S", 1.5)
    for module in (make_cohort, cohort_file):
        monkeypatch.setattr(module, "FORECAST_PER_HOUR", (2000.0,))
    monkeypatch.setattr(make_cohort, "FEWEST_UTTERANCES", 4)
    monkeypatch.setattr(forecast, "_FEWEST", 4)
    voices, background = (speech_set(tmp_path / name) for name in ("voices", "background"))
    model = tmp_path / "model"
    shutil.copytree(run, model)
    given = ["--model", str(model), "--cache", str(tmp_path / "cache")]
    sets = ["--voices", str(voices), "--background", str(background)]
    for minutes in ("0", "21"):
        assert main(["cohort", *given, *sets, "--minutes", minutes]) == 2
        assert "above 0 to 20 minutes" in capsys.readouterr().err
    assert main(["cohort", *given, *sets, "--words", "20", "--minutes", "0.1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(model / "export" / "cohort.npz") and told["words"] == 26
    assert [row["per_hour"] for row in told["table"]] == [2000.0, 4000.0]
    made = Cohort.read(told["path"])
    assert made.forecast.words >= 4 and made.model == KeywordSpotter.load(model).model
    keywords = str(tmp_path / "kw.json")
    assert main(["enroll", "computer", "--model", str(model), "-o", keywords]) == 0
    capsys.readouterr()
    rate = ["--false-alarms-per-hour", "3000"]
    assert main(["calibrate", keywords, "--model", str(model), *rate]) == 0
    assert "computer: " in (line := capsys.readouterr().out) and "by the cohort" in line
    keyword = KeywordFile.read(keywords).keywords[0]
    assert keyword.threshold is not None and keyword.calibration["words"] == 26
    assert main(["calibrate", keywords, "--model", str(model)]) == 2
    assert "2000 to 4000 an hour" in capsys.readouterr().err
