"""How well the phones of a keyword are heard in their order, frame by frame. Not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FRAMES_PER_PHONE = 8.0
"""About as long as a phone lasts, chosen."""

SHORTEST, LONGEST = 0.5, 2.0
"""Spans of so many times the expected length of a keyword are compared with it, chosen."""

PHONE_WEIGHT = 0.1
"""Of the phones in a score; chosen on other words than those that figures are told of."""

WORST_PHONES = -10.0
"""Ways through the phones that are worse than this are all as bad."""

PHONE_FRAMES = 20
"""A way may end so many frames before the span that it is told with."""

_NEVER = np.float32(-1e9)


def fitting_lengths(pronunciations: Sequence[Sequence[str]], lengths: Sequence[int]) -> np.ndarray:
    """Which lengths of spans a keyword may have; all, where nothing tells how it is pronounced.

    Args:
        pronunciations: phoneme symbols, " " between words.
        lengths: in frames, rising.

    Returns:
        bool [N].
    """
    counts = [sum(symbol != " " for symbol in said) for said in pronunciations]
    lengths = np.asarray(lengths)
    if not counts:
        return np.ones(len(lengths), bool)
    low = SHORTEST * FRAMES_PER_PHONE * min(counts)
    high = LONGEST * FRAMES_PER_PHONE * max(counts)
    fitting = (lengths >= low) & (lengths <= high)
    if not fitting.any():
        fitting[np.abs(lengths - FRAMES_PER_PHONE * max(counts)).argmin()] = True
    return fitting


class PhonePaths:
    """The best way through each pronunciation that ends in a frame, wherever it began.

    A way goes through the phones in order; blanks may stand between two, and must between two
    equal ones. Each frame costs what its phone, or blank, is less likely than the likeliest of the
    frame (in log), so that nothing is gained by being short; the sum is told per phone. What is
    told of a frame depends on it and on those before it alone.

    Args:
        pronunciations: of each of K keywords, phone classes each; the best of a keyword counts.
            A keyword without any is told 0, as of no evidence.
    """

    def __init__(self, pronunciations: Sequence[Sequence[Sequence[int]]]):
        phones, skips, firsts, lasts, counts = [], [], [], [], []
        for classes in (said for of_keyword in pronunciations for said in of_keyword):
            firsts.append(len(phones))
            for place, phone in enumerate(classes):
                if place:
                    phones.append(-1)
                    skips.append(False)
                skips.append(place > 0 and phone != classes[place - 1])
                phones.append(phone)
            lasts.append(len(phones) - 1)
            counts.append(len(classes))
        self._phones, self._skips = np.array(phones, np.int64), np.array(skips, bool)
        self._firsts, self._lasts = np.array(firsts, np.int64), np.array(lasts, np.int64)
        self._counts = np.array(counts, np.float32)
        numbers = [len(of_keyword) for of_keyword in pronunciations]
        self._known = np.flatnonzero(numbers)
        self._groups = np.cumsum([0, *numbers])[:-1][self._known]
        self._states = np.full(len(phones) + 2, _NEVER, np.float32)
        self._keywords = len(numbers)

    def push(self, phones: np.ndarray) -> np.ndarray:
        """The ways that end in the next frames.

        Args:
            phones: float32 [n, V + 1], log-probabilities, the blank last.

        Returns:
            float32 [n, K], at most 0.
        """
        told = np.zeros((len(phones), self._keywords), np.float32)
        if not len(self._known):
            return told
        costs = (phones - phones.max(axis=1, keepdims=True))[:, self._phones]
        for frame, cost in enumerate(costs):
            here = self._states[2:]
            before = self._states[1:-1].copy()
            before[self._firsts] = 0.0
            skipped = np.where(self._skips, self._states[:-2], _NEVER)
            best = np.maximum(np.maximum(here, before), skipped) + cost
            self._states[2:] = np.maximum(best, _NEVER)
            ways = best[self._lasts] / self._counts
            told[frame, self._known] = np.maximum.reduceat(ways, self._groups)
        return told


class PhoneEvidence:
    """What the phones before the end of a span add to the score of each keyword in a stream.

    `PHONE_WEIGHT` times the best way through a pronunciation that ends not more than `PHONE_FRAMES`
    before the span does.

    Args:
        pronunciations: of each of K keywords, phoneme symbols, with or without stress.
        phones: names of the classes, in their order.
    """

    def __init__(self, pronunciations: Sequence[Sequence[Sequence[str]]], phones: Sequence[str]):
        place = {phone: number for number, phone in enumerate(phones)}
        self._paths = PhonePaths(
            [[[place[symbol.rstrip("012")] for symbol in said if symbol != " "]
              for said in of_keyword] for of_keyword in pronunciations]
        )  # fmt: skip
        self._ways = np.zeros((0, len(pronunciations)), np.float32)

    def push(self, phones: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Hear the next frames.

        Args:
            phones: float32 [n, V + 1], log-probabilities, the blank last.
            ends: int [E], where spans end, in frames from the first of these.

        Returns:
            float32 [E, K], at most 0.
        """
        before = len(self._ways)
        ways = np.concatenate([self._ways, self._paths.push(phones)])
        self._ways = ways[-PHONE_FRAMES:]
        found = np.empty((len(ends), ways.shape[1]), np.float32)
        for row, end in enumerate(ends + before):
            found[row] = ways[max(0, end - PHONE_FRAMES) : end].max(axis=0)
        return np.float32(PHONE_WEIGHT) * np.maximum(found, np.float32(WORST_PHONES))
