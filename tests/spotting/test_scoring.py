"""Scores and detections by hand."""

from __future__ import annotations

import numpy as np
import pytest

from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import Keyword
from adml.spotting.phones import PHONE_FRAMES, PHONE_WEIGHT, WORST_PHONES, SpanEvidence
from adml.spotting.scoring import LOWEST_SCORE, Events, Scorer, Scores
from adml.text.phonemes import to_classes

LENGTHS = (20, 40, 80)
X, Y = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
FIVE = (tuple("ABCDE"),)  # 40 frames are expected, 20 to 80 allowed
TWO = (("A", " ", "B"),)  # 16 are expected, 8 to 32 allowed


def heard(spans):
    """(start, end, angle in degrees from x) each."""
    starts, ends, angles = map(np.array, zip(*spans, strict=True))
    turns = np.deg2rad(angles)
    embeddings = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    return Heard(starts, ends, embeddings, 0, None, 0)


def test_the_best_two_spans_of_an_end_and_of_the_one_before_count():
    scorer = Scorer([Keyword("x", X, FIVE), Keyword("y", Y, FIVE)], LENGTHS)
    spans = [(80, 100, 60), (60, 100, 30), (20, 100, 90), (90, 110, 0), (70, 110, 45)]
    scores = scorer.score(heard(spans))
    assert scores.ends.tolist() == [100, 110]
    most = np.cos(np.pi / 6)
    first = np.array([(most + 0.5) / 2, (1 + most) / 2])
    second = np.array([(1 + 0.5**0.5) / 2, 0.5**0.5 / 2])
    np.testing.assert_allclose(scores.scores, [first, (first + second) / 2], atol=1e-6)
    assert scores.starts.tolist() == [[60, 20], [90, 70]]
    third = scorer.score(heard([(100, 120, 90)]))  # in the next block
    np.testing.assert_allclose(third.scores, [(second + [0, 1]) / 2], atol=1e-6)


def test_one_span_alone_counts_as_it_is_and_none_never():
    never = -np.inf
    cosines = np.array([[0.2, never, 0.6], [never, 0.3, never], [never] * 3, [0.5, 0.5, 0.1]])
    evidence = SpanEvidence()
    scores, longest = evidence.push(cosines)
    np.testing.assert_allclose(scores, [0.4, 0.35, never, 0.5])
    assert longest.tolist() == [2, 1, 0, 0]
    nothing, _ = evidence.push(cosines[:0])
    np.testing.assert_allclose(evidence.push(cosines[:1])[0], [0.45])
    assert nothing.shape == (0,)


@pytest.mark.parametrize("cuts", [[0, 0, 1], [3], [1, 2, 3, 4]])
def test_blocks_of_ends_make_no_difference(cuts):
    cosines = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    cosines[1, :, 0] = -np.inf
    whole, places = SpanEvidence().push(cosines)
    evidence = SpanEvidence()
    parts = [evidence.push(part) for part in np.split(cosines, cuts)]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), whole)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), places)
    one = SpanEvidence().push(cosines[:, :, 1])[0]
    np.testing.assert_array_equal(one, whole[:, 1])


def test_spans_too_long_or_too_short_for_a_keyword_do_not_count():
    scorer = Scorer([Keyword("short", X, TWO), Keyword("any", X)], LENGTHS)
    scores = scorer.score(heard([(80, 100, 60), (60, 100, 0), (20, 100, 30)]))
    np.testing.assert_allclose(scores.scores, [[0.5, (1 + 0.75**0.5) / 2]], atol=1e-6)
    assert scores.starts.tolist() == [[80, 60]]
    long = Scorer([Keyword("long", X, (tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),))], LENGTHS)
    assert long.score(heard([(80, 100, 0), (20, 100, 60)])).scores == pytest.approx(0.5)


def test_the_best_pronunciation_counts():
    both = Keyword("both", np.concatenate([X, Y]), FIVE * 2)
    scorer = Scorer([both, Keyword("x", X, FIVE)], LENGTHS)
    scores = scorer.score(heard([(60, 100, 80)]))
    np.testing.assert_allclose(
        scores.scores, [[np.sin(np.deg2rad(80)), np.cos(np.deg2rad(80))]], atol=1e-6
    )


def test_no_spans_no_scores():
    none = Heard(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2), np.float32), 0, None, 0)
    scores = Scorer([Keyword("x", X)], LENGTHS).score(none)
    assert scores.scores.shape == scores.starts.shape == (0, 1)
    assert list(Events(["x"], [0.5]).detect(scores, 1.0)) == []


def log_phones(count, said):
    """[count, 40]: the blank is likeliest by 5, but for the class said in a frame."""
    phones = np.full((count, 40), -6.0, np.float32)
    phones[:, -1] = -1.0
    for frame, phone in said.items():
        phones[frame, [phone, -1]] = -1.0, -6.0
    return phones


def test_phones_that_end_before_the_span_count():
    b, iy = to_classes(["B", "IY1"])
    scorer = Scorer([Keyword("be", X, (("B", "IY1"),)), Keyword("x", X)], LENGTHS)
    spans = heard([(80, 100, 0), (110, 130, 0), (111, 131, 0)])
    phones = log_phones(131, {90: b, 100: iy})
    scores = scorer.score(spans._replace(phones=phones))
    missing = PHONE_WEIGHT * -5.0 / 2  # one of the two phones
    assert PHONE_FRAMES == 30
    np.testing.assert_allclose(scores.scores[:, 0], [1 + missing, 1, 1 + missing], atol=1e-6)
    np.testing.assert_allclose(scores.scores[:, 1], 1.0, atol=1e-6)


def test_phones_are_followed_from_block_to_block():
    b, iy = to_classes(["B", "IY1"])
    phones = log_phones(60, {10: b, 35: iy, 50: iy})
    spans = heard([(0, 20, 10), (20, 40, 20), (20, 60, 30)])
    whole = Scorer([Keyword("be", X, (("B", "IY1"),))], LENGTHS).score(
        spans._replace(phones=phones)
    )
    scorer, parts = Scorer([Keyword("be", X, (("B", "IY1"),))], LENGTHS), []
    for place, (first, last) in enumerate([(0, 25), (25, 41), (41, 60)]):
        one = [part[place : place + 1] for part in spans[:3]]
        part = scorer.score(Heard(*one, first, phones[first:last], 0))
        parts.append(part.scores)
    np.testing.assert_array_equal(np.concatenate(parts), whole.scores)


def test_bad_phones_take_no_more_than_the_worst():
    phones = np.full((100, 40), -1000.0, np.float32)
    phones[:, 3] = 0.0
    spans = heard([(80, 100, 0), (20, 100, 0)])._replace(phones=phones)
    scores = Scorer([Keyword("be", X, (("B", "IY1"),))], LENGTHS).score(spans).scores
    np.testing.assert_allclose(scores, [[1 + PHONE_WEIGHT * WORST_PHONES]], atol=1e-6)
    long = spans._replace(starts=spans.starts[1:], ends=spans.ends[1:])
    long = long._replace(embeddings=spans.embeddings[1:])
    none = Scorer([Keyword("be", X, (("B", "IY1"),))], LENGTHS).score(long).scores
    assert none == pytest.approx(LOWEST_SCORE)


def block(ends, *rows):
    scores = np.array(rows, np.float32).T
    return Scores(np.array(ends), scores, np.zeros(scores.shape, int) + 7)


def test_a_detection_is_the_best_of_its_block_and_then_there_is_silence():
    events = Events(["one", "two"], [0.5, 0.8], refractory_s=1.0)
    first = list(events.detect(block([10, 20, 30], [0.6, 0.7, 0.4], [0.1, 0.79, 0.1]), 0.5))
    assert [(d.keyword, d.end_s, round(d.score, 6), d.told_s) for d in first] == [
        ("one", 0.2, 0.7, 0.5)
    ]
    assert first[0].start_s == pytest.approx(0.07)
    assert list(events.detect(block([40, 120], [0.9, 0.9], [0.0, 0.0]), 1.3)) == []
    later = list(events.detect(block([110, 121], [0.9, 0.6], [0.8, 0.0]), 1.4))
    assert [(d.keyword, d.end_s) for d in later] == [("two", 1.1), ("one", 1.21)]


def test_a_threshold_is_reached_by_a_score_equal_to_it():
    assert len(list(Events(["one"], [0.5]).detect(block([10], [0.5]), 0.1))) == 1
    assert not list(Events(["one"], [0.5]).detect(block([10], [0.49999]), 0.1))


def test_where_nothing_fits_nothing_is_detected_whatever_the_threshold():
    events = Events(["one", "two"], [-3.0, -3.0])
    found = list(events.detect(block([10], [LOWEST_SCORE], [-1.9]), 0.1))
    assert [(d.keyword, round(d.score, 6)) for d in found] == [("two", -1.9)]
