"""What the page shows is what the detector detects, and the way through the phones is the best."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from adml.audio.decoding import decode
from adml.demo import listening, plots
from adml.demo.listening import best_way, enrol_lines, listen, read, rows
from adml.errors import AudioError, UsageError
from adml.spotting.detecting import Detector
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.phones import PhonePaths, allow_voiced
from adml.spotting.spotter import KeywordSpotter
from adml.text.phonemes import PHONES, to_classes

SAID = {"yes": "Y EH1 S", "go on": "G OW1 AA1 N", "oh": "OW1", "computer": "K AH0 M P Y UW1 T ER0"}
BLANK = 3


@pytest.fixture(scope="module")
def spotter(tiny_export):
    return KeywordSpotter.load(tiny_export, to_phonemes=lambda text: SAID[text].split())


@pytest.fixture(scope="module")
def heard(spotter, recording):
    keywords, refused = enrol_lines(spotter, "yes\ngo on\n")
    assert not refused
    return listen(spotter, keywords, read(recording, spotter.sample_rate_hz))


@pytest.mark.parametrize("threshold", [-1.5, -0.5, 0.0, 1.0])
def test_detections_are_those_of_the_detector(spotter, heard, recording, threshold):
    keywords = KeywordFile(spotter.model, heard.keywords)
    detector = Detector(spotter, keywords, sample_rate_hz=16000, threshold=threshold)
    expected = [*detector.push(decode(recording)), *detector.close()]
    assert heard.detections(threshold) == expected
    assert expected if threshold == -1.5 else threshold < 1.0 or not expected
    assert [row[0] for row in rows(expected)] == [found.keyword for found in expected]


def test_curves_and_spelling_are_of_one_place(heard):
    times_s, scores, starts_s = heard.curves()
    assert times_s[-1] <= 2.0 and (np.diff(times_s) > 0).all() and (starts_s.min(axis=1) >= 0).all()
    found = heard.spelling("go on")
    best = np.nanargmax(scores[:, 1])
    assert found.score == pytest.approx(scores[best, 1])
    assert found.symbols == ("G", "OW1", "AA1", "N")
    count, frames = found.log_probabilities.shape
    end_s = found.start_s + frames * found.frame_s
    assert (
        count == 5
        and found.start_s <= starts_s[best, 1]
        and end_s >= min(2.0 - 0.03, times_s[best])
    )
    first = round(found.start_s / found.frame_s)
    blanks = heard.phones[first : first + frames, -1]
    np.testing.assert_array_equal(found.log_probabilities[4], blanks)
    assert heard.spelling("other") is None


def test_the_way_may_go_by_voiced_stops_as_the_score_does(spotter, recording):
    keywords, _ = enrol_lines(spotter, "computer")
    listened = listen(spotter, keywords, read(recording, spotter.sample_rate_hz))
    others = 0
    for draw in range(10):
        logits = np.random.default_rng(draw).normal(size=listened.phones.shape) * 4
        logits[:, to_classes(["B", "D", "G"])] += 6
        phones = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        found = dataclasses.replace(listened, phones=phones).spelling("computer")
        first, frames = round(found.start_s / found.frame_s), found.log_probabilities.shape[1]
        excerpt, classes = phones[first : first + frames], to_classes(found.symbols)
        assert found.way == best_way(allow_voiced(excerpt, PHONES), classes)
        others += found.way != best_way(excerpt, classes)
    assert others


def test_nothing_to_show_where_the_model_tells_no_phones(spotter, heard):
    assert dataclasses.replace(heard, phones=None).spelling("yes") is None


@pytest.mark.parametrize("said", [(0,), (0, 1), (2, 2), (1, 0, 1)])
def test_the_way_costs_what_the_best_way_costs(said):
    """Against the costs of the spotter, and the way collapses to what is said."""
    logits = np.random.default_rng(4).normal(size=(9, BLANK + 1)) * 2
    phones = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    way = best_way(phones, said)
    frames = dict(way)
    first, last = min(frames), max(frames)
    labels = [said[frames[t]] if t in frames else BLANK for t in range(first, last + 1)]
    relative = phones - phones.max(axis=1, keepdims=True)
    cost = sum(relative[t, label] for t, label in zip(range(first, last + 1), labels, strict=True))
    assert cost / len(said) == pytest.approx(PhonePaths([[said]]).push(phones).max(), rel=1e-5)
    places = [place for place, _ in itertools.groupby(place for _, place in way)]
    assert places == list(range(len(said)))
    assert [k for k, _ in itertools.groupby(labels) if k != BLANK] == list(said)


def test_too_few_frames_have_no_way():
    assert best_way(np.zeros((1, BLANK + 1), np.float32), (0, 1)) == ()


def test_lines_are_keywords_and_what_is_refused_is_told(spotter):
    made, refused = enrol_lines(spotter, "  yes \n\nyes\noh\ngo   on\n")
    assert [keyword.name for keyword in made] == ["yes", "go on"]
    assert len(refused) == 1 and "'oh' is too short" in refused[0]
    for lines in ("", " \n ", "\n".join(map(str, range(13)))):
        with pytest.raises(UsageError, match="Expected: 1 to 12. Received: (0|13)"):
            enrol_lines(spotter, lines)


def test_a_long_recording_is_for_the_command(recording, monkeypatch):
    monkeypatch.setattr(listening, "LONGEST_S", 1)
    with pytest.raises(AudioError, match=r"tone\.wav is too long for this page.*adml detect"):
        read(recording, 16000)


def test_figures_show_what_was_heard(heard):
    above, below = plots.timeline(heard, -1.5).axes
    assert [text.get_text() for text in above.texts] == [d.keyword for d in heard.detections(-1.5)]
    assert {line.get_label() for line in below.lines} >= {"yes", "go on", "threshold"}
    assert not plots.timeline(heard, 3.0).axes[0].texts
    axes = plots.spelling("yes", heard.spelling("yes")).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Y", "EH1", "S", "none"]
    assert axes.images[0].get_array().min() >= -10


def test_a_waveform_has_few_columns_and_all_its_peaks():
    samples = np.zeros(100_000, np.float32)
    samples[77_777], samples[99_999] = 0.9, -0.8
    times_s, low, high = plots.envelope(samples, 16000)
    assert len(times_s) < 1600 and high.max() == np.float32(0.9) and low.min() == np.float32(-0.8)
    assert abs(times_s[high.argmax()] - 77_777 / 16000) < 0.01
    assert len(plots.envelope(samples[:3], 16000)[0]) == 3


def test_a_keyword_without_a_span_of_its_length_scores_nothing(spotter, heard):
    long = Keyword("long", heard.keywords[0].vectors, (("AA1", "B") * 9,))
    found = listen(spotter, [long], heard.samples[:8000])
    assert np.isnan(found.curves()[1]).all() and found.spelling("long") is None
    assert plots.timeline(found, 0.0).axes
