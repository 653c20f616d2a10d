"""The best way through phones: against all ways there are, and whatever the cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adml.spotting.phones import PHONE_WEIGHT, PhoneEvidence, PhonePaths, allow_voiced

BLANK = 3


@pytest.fixture(scope="module")
def phones():
    logits = np.random.default_rng(4).normal(size=(7, BLANK + 1)) * 2
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def best_way(phones, said, last):
    """Over all sequences of labels that end in frame `last` and collapse to what is said."""
    relative = phones.astype(np.float64) - phones.max(axis=1, keepdims=True)
    best = -np.inf
    for first in range(last + 1):
        frames = range(first, last + 1)
        for labels in itertools.product(range(BLANK + 1), repeat=len(frames)):
            if labels[0] != said[0] or labels[-1] != said[-1]:
                continue
            collapsed = [label for label, _ in itertools.groupby(labels) if label != BLANK]
            if collapsed == list(said):
                cost = sum(relative[t, label] for t, label in zip(frames, labels, strict=True))
                best = max(best, cost)
    return best / len(said)


@pytest.mark.parametrize("said", [(0,), (0, 1), (2, 2), (1, 0, 1)])
def test_every_frame_has_its_best_way(phones, said):
    found = PhonePaths([[said]]).push(phones)
    expected = [best_way(phones, said, last) for last in range(len(phones))]
    possible = np.isfinite(expected)
    assert possible.sum() >= len(phones) - 2 * len(said)
    np.testing.assert_allclose(found[possible, 0], np.array(expected)[possible], rtol=1e-5)
    assert (found[~possible] < -1e8).all()


def test_keywords_do_not_disturb_each_other(phones):
    spoken = [[(0, 1), (1, 0, 1)], [], [(2, 2)]]
    found = PhonePaths(spoken).push(phones)
    alone = [PhonePaths([[said]]).push(phones)[:, 0] for said in ((0, 1), (1, 0, 1), (2, 2))]
    np.testing.assert_array_equal(found[:, 0], np.maximum(alone[0], alone[1]))
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_array_equal(found[:, 2], alone[2])


@pytest.mark.parametrize("cuts", [(1, 2, 3), (4,), (3, 3)])
def test_cuts_make_no_difference(phones, cuts):
    spoken = [[(0, 1)], [(2, 2)]]
    whole, paths = PhonePaths(spoken).push(phones), PhonePaths(spoken)
    parts = [paths.push(part) for part in np.split(phones, cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_no_evidence_without_pronunciations(phones):
    assert not PhonePaths([[], []]).push(phones).any()


def test_what_is_said_costs_nothing_and_a_wrong_phone_its_share():
    certain = np.full((6, BLANK + 1), -9.0, np.float32)
    certain[range(6), [BLANK, 0, BLANK, 1, 1, BLANK]] = 0.0
    found = PhonePaths([[(0, 1)], [(0, 2)]]).push(certain)
    assert found[3, 0] == found[4, 0] == 0.0
    assert found[3, 1] == pytest.approx(-9.0 / 2)


def test_a_long_stream_stays_finite():
    worst = np.full((2000, BLANK + 1), -80.0, np.float32)
    worst[:, BLANK] = 0.0
    found = PhonePaths([[(0, 1, 2) * 10]]).push(worst)
    assert np.isfinite(found).all()


def test_a_phone_that_cannot_be_is_finite_and_no_other_keyword_knows(phones):
    never = phones.copy()
    never[:, 1] = -np.inf
    found = PhonePaths([[(0, 1)], [(0, 2)]]).push(never)
    assert np.isfinite(found).all() and (found[1:, 0] < -1e8).all()
    alone = PhonePaths([[(0, 2)]]).push(never)
    np.testing.assert_array_equal(found[:, 1], alone[:, 0])


NAMES = ("B", "D", "G", "IY", "K", "P", "T")


def log_phones(said):
    """A frame for each name: it has half, B or G what is told, the rest a thousandth."""
    phones = np.full((len(said), len(NAMES) + 1), 1e-3, np.float32)
    for frame, shares in enumerate(said):
        for name, share in shares.items():
            phones[frame, NAMES.index(name) if name else -1] = share
    return np.log(phones)


def test_stops_may_be_voiced_at_a_cost():
    phones = log_phones([{"P": 0.3, "B": 0.6}, {"D": 0.9}, {"T": 0.9}])
    before = phones.copy()
    allowed = np.exp(allow_voiced(phones, NAMES))
    column = NAMES.index
    assert allowed[0, column("P")] == pytest.approx(0.3 + 0.6 / np.e)
    assert allowed[1, column("T")] == pytest.approx(0.001 + 0.9 / np.e)
    assert allowed[2, column("T")] == pytest.approx(0.9 + 0.001 / np.e)
    assert allowed[2, column("K")] == pytest.approx(0.001 + 0.001 / np.e)
    others = [column(name) for name in ("B", "D", "G", "IY")] + [len(NAMES)]
    np.testing.assert_array_equal(allowed[:, others], np.exp(phones)[:, others])
    np.testing.assert_array_equal(phones, before)


def test_a_keyword_hears_the_voiced_stop_for_its_own_and_not_the_other_way():
    said, ends = [["T", "IY1"]], np.array([3])
    as_written = log_phones([{"T": 0.9}, {"IY": 0.9}, {"": 0.9}])
    voiced = log_phones([{"D": 0.9}, {"IY": 0.9}, {"": 0.9}])
    assert PhoneEvidence([said], NAMES).push(as_written, ends)[0, 0] == 0
    cost = np.log(0.001 + 0.9 / np.e) - np.log(0.9)
    found = PhoneEvidence([said], NAMES).push(voiced, ends)
    np.testing.assert_allclose(found, [[PHONE_WEIGHT * cost / 2]], rtol=1e-5)
    other = PhoneEvidence([[["D", "IY1"]]], NAMES).push(as_written, ends)
    likeliest = 0.9 + 0.001 / np.e
    np.testing.assert_allclose(other, [[PHONE_WEIGHT * np.log(0.001 / likeliest) / 2]], rtol=1e-5)


def test_classes_without_such_stops_are_left_as_they_are():
    phones = log_phones([{"P": 0.3}])[:, [0, 3, -1]]
    np.testing.assert_array_equal(allow_voiced(phones, ("B", "IY")), phones)
    never = np.full((2, len(NAMES) + 1), -np.inf, np.float32)
    np.testing.assert_array_equal(allow_voiced(never, NAMES), never)
