"""How well the phones of a keyword are heard in their order, frame by frame. Not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NEVER = np.float32(-1e9)


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
