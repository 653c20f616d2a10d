"""Scores of keywords where spans of a stream end, and the detections that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from adml.errors import DataError
from adml.metrics.detection import REFRACTORY_S
from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import Keyword
from adml.spotting.phones import (
    PHONE_WEIGHT,
    WORST_PHONES,
    PhoneEvidence,
    SpanEvidence,
    fitting_lengths,
)
from adml.text.phonemes import PHONES

LOWEST_SCORE = -1.0 + PHONE_WEIGHT * WORST_PHONES


class Scores(NamedTuple):
    """How alike keywords and what ends at some frames are.

    `ends` int [E], frames; `scores` float32 [E, K], of the spans that end there, `LOWEST_SCORE`
    where there is none; `starts` int [E, K], where the best of them begins.
    """

    ends: np.ndarray
    scores: np.ndarray
    starts: np.ndarray


class Scorer:
    """Compares one stream with keywords, block by block.

    The score of an end is what the spans of lengths that a keyword may have tell (`SpanEvidence`),
    and where the model tells phones and the keyword has a pronunciation, what these tell of it
    (`PhoneEvidence`).

    Args:
        keywords: K of them.
        lengths: of the spans that are told, in frames.
    """

    def __init__(self, keywords: Sequence[Keyword], lengths: Sequence[int]):
        self.vectors = np.concatenate([keyword.vectors for keyword in keywords]).astype(np.float32)
        self._firsts = np.cumsum([0] + [len(keyword.vectors) for keyword in keywords[:-1]])
        self._allowed = np.array(
            [fitting_lengths(keyword.pronunciations, lengths) for keyword in keywords]
        )
        self._lengths = np.asarray(lengths)
        self._keywords, self._phones = tuple(keywords), None
        self._spans = SpanEvidence()

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
        row = np.repeat(np.arange(len(ends)), np.diff([*first, len(heard.ends)]))
        place = np.searchsorted(self._lengths, heard.ends - heard.starts)
        spans = np.full((len(ends), len(self._lengths), best.shape[1]), -np.inf, np.float32)
        spans[row, place] = np.where(self._allowed[:, place].T, best, -np.inf)
        scores, longest = self._spans.push(spans)
        scores = np.where(np.isfinite(scores), scores + ways, np.float32(LOWEST_SCORE))
        starts = np.maximum(ends[:, np.newaxis] - self._lengths[longest], 0)
        return Scores(ends, scores, starts)

    def _follow(self, heard: Heard, ends: np.ndarray) -> np.ndarray:
        """What the phones before each end add to the scores, float32 [E, K] or 0."""
        if heard.phones is None:
            return np.float32(0.0)
        if self._phones is None:
            self._phones = PhoneEvidence([k.pronunciations for k in self._keywords], PHONES)
        return self._phones.push(heard.phones, ends - heard.first_frame)


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
        spoken = np.where(scores.scores > LOWEST_SCORE, scores.scores, -np.inf)
        for number in np.flatnonzero((spoken >= self.thresholds).any(axis=0)):
            ends_s = scores.ends * self.frame_s
            value = np.where(ends_s > self._deaf_until_s[number], spoken[:, number], -np.inf)
            best = int(value.argmax())
            if value[best] >= self.thresholds[number]:
                self._deaf_until_s[number] = ends_s[best] + self.refractory_s
                start_s = float(scores.starts[best, number] * self.frame_s)
                end_s, score = float(ends_s[best]), float(value[best])
                found.append(Detection(self.names[number], start_s, end_s, score, told_s))
        yield from sorted(found, key=lambda detection: detection.end_s)
