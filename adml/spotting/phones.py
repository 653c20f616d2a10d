"""What tells a keyword in running audio, by NumPy alone: spans and phones. Not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FRAMES_PER_PHONE = 8.0
"""About as long as a phone lasts, chosen."""

SHORTEST, LONGEST = 0.5, 2.0
"""Spans of so many times the expected length of a keyword are compared with it, chosen."""

PHONE_WEIGHT = 0.1
"""Of the phones in a score; chosen on 70 words and phrases that are said in librispeech_dev."""

WORST_PHONES = -10.0
"""Ways through the phones that are worse than this are all as bad."""

PHONE_FRAMES = 30
"""A way may end so many frames before the span that it is told with."""

VOICED = {"P": "B", "T": "D", "K": "G"}
VOICED_COST = 1.0
"""A stop may be heard as the voiced one, at this cost in log, chosen: many accents say it without
the breath that English has behind it, and a T between vowels is near a D in American English."""

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


class SpanEvidence:
    """What the spans that end together, and those that end one before, tell of keywords.

    Of each end the mean cosine of its best two spans counts: what is said lets more than one length
    fit, chance mostly one alone. Told is its mean with that of the end before, as what is said is
    near at more than one end as well. What is told of an end depends on it and that one alone.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def push(self, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hear the next ends.

        Args:
            cosines: float [E, N, K], by end, length and keyword, or [E, N] of one keyword; -inf for
                those that do not count.

        Returns:
            float [E, K] or [E], of an end alone where that before has no span, -inf where it has
            none itself; and which length is the best of each end, int.
        """
        ranked = np.sort(cosines, axis=1)
        best, second = ranked[:, -1], ranked[:, -2:][:, 0]
        here = (best + np.where(np.isfinite(second), second, best)) / 2
        if self._before is None:
            self._before = np.full((1, *here.shape[1:]), -np.inf, here.dtype)
        known = np.concatenate([self._before, here])
        before, self._before = known[:-1], known[-1:]
        mean = np.where(np.isfinite(before), (here + before) / 2, here)
        return mean, cosines.argmax(axis=1)


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
        phones, skips, lasts, counts = [], [], [], []
        for classes in (said for of_keyword in pronunciations for said in of_keyword):
            phones += [-1, *classes]
            skips += [False, True]  # to the place before the first phone, and to that phone
            skips += [classes[n] != classes[n - 1] for n in range(1, len(classes))]
            lasts.append(len(phones) - 1)
            counts.append(len(classes))
        self._phones, self._lasts = np.array(phones, np.int64), np.array(lasts, np.int64)
        self._counts = np.array(counts, np.float32)
        self._before = self._lasts - np.array(counts, np.int64)
        self._fines = np.where(skips, np.float32(0), _NEVER)[1:]
        numbers = [len(of_keyword) for of_keyword in pronunciations]
        self._known = np.flatnonzero(numbers)
        self._groups = np.cumsum([0, *numbers])[:-1][self._known]
        # Of ways that end in each phone, and in the blanks behind it. Before the first phone a way
        # costs nothing, in every frame.
        self._in_phone = np.full(len(phones), _NEVER, np.float32)
        self._in_phone[self._before] = 0.0
        self._in_blank = np.full(len(phones), _NEVER, np.float32)
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
        relative = np.maximum(phones - phones.max(axis=1, keepdims=True), _NEVER)
        costs = relative[:, self._phones]
        costs[:, self._before] = 0.0
        here, blank = self._in_phone, self._in_blank
        ways = np.empty((len(phones), len(self._lasts)), np.float32)
        for cost, of_blank, ended in zip(costs, relative[:, -1], ways, strict=True):
            reached = here[:-1] + self._fines
            np.maximum(reached, blank[:-1], out=reached)
            np.maximum(blank, here, out=blank)
            blank += of_blank
            np.maximum(here[1:], reached, out=here[1:])
            here += cost
            np.take(here, self._lasts, out=ended, mode="clip")
        told[:, self._known] = np.maximum.reduceat(ways / self._counts, self._groups, axis=1)
        return told


def allow_voiced(phones: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Let a stop without voice be as likely as it and, at a cost, the voiced one together.

    Args:
        phones: float32 [n, V + 1], log-probabilities, the blank last.
        names: of the V classes, in their order.

    Returns:
        The same, of those stops raised.
    """
    pairs = [(names.index(stop), names.index(voiced))
             for stop, voiced in VOICED.items() if {stop, voiced} <= set(names)]  # fmt: skip
    allowed = phones.copy()
    for stop, voiced in pairs:
        likely = phones[:, voiced] - np.float32(VOICED_COST)
        np.logaddexp(phones[:, stop], likely, out=allowed[:, stop])
    return allowed


class PhoneEvidence:
    """What the phones before the end of a span add to the score of each keyword in a stream.

    `PHONE_WEIGHT` times the best way through a pronunciation that ends not more than `PHONE_FRAMES`
    before the span does, where stops may be voiced (`allow_voiced`).

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
        self._names = tuple(phones)
        self._ways = np.zeros((0, len(pronunciations)), np.float32)

    def push(self, phones: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Hear the next frames.

        Args:
            phones: float32 [n, V + 1], log-probabilities, the blank last; [n, 0] of a model that
                tells no phones.
            ends: int [E], where spans end, in frames from the first of these.

        Returns:
            float32 [E, K], at most 0; 0 where no phones are told.
        """
        if not phones.shape[1]:
            return np.zeros((len(ends), self._ways.shape[1]), np.float32)
        before = len(self._ways)
        ways = np.concatenate([self._ways, self._paths.push(allow_voiced(phones, self._names))])
        self._ways = ways[-PHONE_FRAMES:]
        found = np.empty((len(ends), ways.shape[1]), np.float32)
        for row, end in enumerate(ends + before):
            found[row] = ways[max(0, end - PHONE_FRAMES) : end].max(axis=0)
        return np.float32(PHONE_WEIGHT) * np.maximum(found, np.float32(WORST_PHONES))
