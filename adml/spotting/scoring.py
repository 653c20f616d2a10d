"""Scores of keywords where spans of a stream end, and the detections that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from adml.errors import DataError
from adml.metrics.detection import REFRACTORY_S
from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import Keyword
from adml.spotting.phones import PhonePaths
from adml.text.phonemes import to_classes

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

LOWEST_SCORE = -1.0 + PHONE_WEIGHT * WORST_PHONES


class Scores(NamedTuple):
    """How alike keywords and what ends at some frames are.

    `ends` int [E], frames; `scores` float32 [E, K], the best over the spans that end there,
    `LOWEST_SCORE` where there is none; `starts` int [E, K], where that span begins.
    """

    ends: np.ndarray
    scores: np.ndarray
    starts: np.ndarray


class Scorer:
    """Compares one stream with keywords, block by block.

    The score of a span of a length that a keyword may have is the cosine, and where the model
    tells phones and the keyword has a pronunciation, `PHONE_WEIGHT` times the best way through its
    phones (see `PhonePaths`) that ends not long before the span.

    Args:
        keywords: K of them.
        lengths: of the spans that are told, in frames.
    """

    def __init__(self, keywords: Sequence[Keyword], lengths: Sequence[int]):
        self.vectors = np.concatenate([keyword.vectors for keyword in keywords]).astype(np.float32)
        self._firsts = np.cumsum([0] + [len(keyword.vectors) for keyword in keywords[:-1]])
        self._allowed = np.array([_allowed(keyword, lengths) for keyword in keywords])
        self._lengths = np.asarray(lengths)
        self._keywords, self._paths = tuple(keywords), None
        self._ways = np.zeros((0, len(keywords)), np.float32)

    def score(self, heard: Heard) -> Scores:
        """Scores of the spans of a block, the next one of the stream.

        Raises:
            DataError: the keywords' vectors have another length than the model's.
        """
        ends, first = np.unique(heard.ends, return_index=True)
        ways = self._follow(heard, ends)
        if not len(ends):
            empty = np.zeros((0, len(self._firsts)))
            return Scores(ends, empty.astype(np.float32), empty.astype(np.int64))
        if heard.embeddings.shape[1] != self.vectors.shape[1]:
            raise DataError(
                "The keywords do not fit the model. Expected: vectors of "
                f"{heard.embeddings.shape[1]} numbers. Received: {self.vectors.shape[1]}. Enrol "
                "them again."
            )
        each = heard.embeddings @ self.vectors.T
        best = np.maximum.reduceat(each, self._firsts, axis=1)
        place = np.searchsorted(self._lengths, heard.ends - heard.starts)
        allowed = self._allowed[:, place].T
        best = np.where(allowed, best, np.float32(LOWEST_SCORE))
        scores = np.maximum.reduceat(best, first, axis=0)
        scores = np.where(scores > LOWEST_SCORE, scores + ways, np.float32(LOWEST_SCORE))
        starts = np.zeros(scores.shape, np.int64)
        for row, span in enumerate(np.split(np.arange(len(heard.ends)), first[1:])):
            starts[row] = heard.starts[span[best[span].argmax(axis=0)]]
        return Scores(ends, scores, starts)

    def _follow(self, heard: Heard, ends: np.ndarray) -> np.ndarray:
        """What the phones before each end add to the scores, float32 [E, K] or 0."""
        if heard.phones is None:
            return np.float32(0.0)
        if self._paths is None:
            spoken = [[to_classes(said) for said in k.pronunciations] for k in self._keywords]
            self._paths = PhonePaths(spoken)
        first_frame = heard.first_frame - len(self._ways)
        ways = np.concatenate([self._ways, self._paths.push(heard.phones)])
        self._ways = ways[-PHONE_FRAMES:]
        found = np.empty((len(ends), ways.shape[1]), np.float32)
        for row, end in enumerate(ends - first_frame):
            found[row] = ways[max(0, end - PHONE_FRAMES) : end].max(axis=0)
        return np.float32(PHONE_WEIGHT) * np.maximum(found, np.float32(WORST_PHONES))


def _allowed(keyword: Keyword, lengths: Sequence[int]) -> np.ndarray:
    """Which lengths a keyword may have; all, where nothing tells how it is pronounced."""
    counts = [len([s for s in symbols if s != " "]) for symbols in keyword.pronunciations]
    lengths = np.asarray(lengths)
    if not counts:
        return np.ones(len(lengths), bool)
    low = SHORTEST * FRAMES_PER_PHONE * min(counts)
    high = LONGEST * FRAMES_PER_PHONE * max(counts)
    allowed = (lengths >= low) & (lengths <= high)
    if not allowed.any():
        allowed[np.abs(lengths - FRAMES_PER_PHONE * max(counts)).argmin()] = True
    return allowed


class Detection(NamedTuple):
    """A keyword was heard: from when to when, with what score, and when that was known."""

    keyword: str
    start_s: float
    end_s: float
    score: float
    told_s: float


class Events:
    """Scores to detections: above a keyword's threshold, and not again for a while.

    A detection is told with the block that it is in, as its best span; for `refractory_s` after
    its end the keyword is not detected again.

    Args:
        names: of K keywords.
        thresholds: [K]; a score at or above is a detection.
        frame_s: seconds of a frame.
        refractory_s: seconds.
    """

    def __init__(
        self,
        names: Sequence[str],
        thresholds: Sequence[float],
        *,
        frame_s: float = 0.01,
        refractory_s: float = REFRACTORY_S,
    ):
        self.names, self.thresholds = tuple(names), np.asarray(thresholds, np.float64)
        self.frame_s, self.refractory_s = frame_s, refractory_s
        self._deaf_until_s = np.full(len(self.names), -np.inf)

    def detect(self, scores: Scores, told_s: float) -> Iterator[Detection]:
        """The detections of a block, by their ends.

        Args:
            scores: of the block.
            told_s: seconds of the stream that were heard for it.
        """
        found = []
        for number in np.flatnonzero((scores.scores >= self.thresholds).any(axis=0)):
            ends_s = scores.ends * self.frame_s
            value = np.where(ends_s > self._deaf_until_s[number], scores.scores[:, number], -np.inf)
            best = int(value.argmax())
            if value[best] >= self.thresholds[number]:
                self._deaf_until_s[number] = ends_s[best] + self.refractory_s
                start_s = float(scores.starts[best, number] * self.frame_s)
                end_s, score = float(ends_s[best]), float(value[best])
                found.append(Detection(self.names[number], start_s, end_s, score, told_s))
        yield from sorted(found, key=lambda detection: detection.end_s)
