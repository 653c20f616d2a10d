"""Keywords (texts that sound alike are one) and the seeded draw of K keywords x M segments."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.rows import END_TOLERANCE_S
from adml.data.segments import SegmentTable
from adml.data.store import PcmStore
from adml.errors import DataError, TextError
from adml.text.distance import PhoneIndex
from adml.text.phonemes import to_classes, to_ids

if TYPE_CHECKING:
    from adml.text.g2p import G2P

logger = logging.getLogger(__name__)

NEAREST = 8
"""A near neighbour is drawn from this many nearest pronunciations."""

_CANDIDATES = 256
"""Pronunciations whose exact distance is looked at to find the nearest."""

_MOST_CONSIDERED = 64
"""Of a keyword with more segments, so many are drawn at random before speakers are told apart."""

_SLACK = 1.15
"""With a length window, segments may be so much longer than the seeds' mean lengths."""

# First number of a seed, so that draws of different kinds never share a stream.
_PERMUTATION, _NEIGHBOURS, _SEGMENTS = 101, 102, 103


@dataclass(frozen=True)
class KeywordTable:
    """Keywords by falling number of segments; a keyword's number is its place.

    `symbols`, `ids`, `classes`: the pronunciation of each keyword, of its most frequent text;
    `texts`: that text; the segments of keyword k are
    `segments[offsets[k]:offsets[k + 1]]`, row numbers of the segment table.
    """

    texts: tuple[str, ...]
    symbols: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[int, ...], ...]
    classes: tuple[bytes, ...]
    offsets: np.ndarray
    segments: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def counts(self) -> np.ndarray:
        """Number of segments of each keyword, int64 [keywords], falling."""
        return np.diff(self.offsets)


def build_keywords(
    segments: SegmentTable, store: PcmStore, g2p: G2P, *, min_utterances: int
) -> KeywordTable:
    """Group segments by pronunciation (stress and word boundaries ignored).

    Left out, with their numbers logged: segments whose recording is not in the store or ends
    before them, texts without a pronunciation, keywords with fewer than `min_utterances` segments.

    Raises:
        DataError: no keyword is left; says how many each filter removed.
    """
    removed: Counter = Counter()
    rows = np.flatnonzero(_within_audio(segments, store, removed))
    spoken = _pronounce(segments, rows, g2p, removed)
    rows = rows[np.isin(segments.text[rows], np.fromiter(spoken, np.int64, len(spoken)))]
    frequency = np.bincount(segments.text[rows], minlength=len(segments.texts))
    groups: dict[bytes, list[int]] = {}
    for text in sorted(spoken, key=lambda text: (-frequency[text], text)):
        groups.setdefault(bytes(to_classes(spoken[text])), []).append(text)
    count = {classes: int(frequency[texts].sum()) for classes, texts in groups.items()}
    kept = [classes for classes in groups if count[classes] >= min_utterances]
    removed[f"keywords with fewer than {min_utterances} segments"] = len(groups) - len(kept)
    told = ", ".join(f"{number} {reason}" for reason, number in removed.items() if number)
    if not kept:
        raise DataError(
            f"No keywords are left of {len(segments)} segments with {len(segments.texts)} texts: "
            f"{told}. Give more speech or ask for fewer utterances a keyword."
        )
    kept.sort(key=lambda classes: (-count[classes], classes))
    keyword_of_text = np.full(len(segments.texts), -1, np.int64)
    for keyword, classes in enumerate(kept):
        keyword_of_text[groups[classes]] = keyword
    keyword = keyword_of_text[segments.text[rows]]
    rows, keyword = rows[keyword >= 0], keyword[keyword >= 0]
    logger.info("%d keywords with %d segments; left out: %s", len(kept), len(rows), told or "none")
    first = [groups[classes][0] for classes in kept]
    return KeywordTable(
        texts=tuple(segments.texts[text] for text in first),
        symbols=tuple(spoken[text] for text in first),
        ids=tuple(tuple(to_ids(spoken[text])) for text in first),
        classes=tuple(kept),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(keyword, minlength=len(kept)))]),
        segments=rows[np.argsort(keyword, kind="stable")],
    )


def _within_audio(segments: SegmentTable, store: PcmStore, removed: Counter) -> np.ndarray:
    seconds = np.array(
        [
            store.lengths[store.code(path)] / SAMPLE_RATE_HZ if path in store else -1.0
            for path in segments.utterances
        ]
    )[segments.utterance]
    absent = seconds < 0
    beyond = ~absent & (segments.end_s > seconds + END_TOLERANCE_S)
    removed["segments without decoded audio"] = int(absent.sum())
    removed["segments beyond the end of their audio"] = int(beyond.sum())
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        logger.warning(
            "%d segments end behind their audio and are left out. First: %s, %.2f s of %.2f s",
            beyond.sum(),
            segments.utterances[segments.utterance[row]],
            segments.end_s[row],
            seconds[row],
        )
    return ~absent & ~beyond


def _pronounce(
    segments: SegmentTable, rows: np.ndarray, g2p: G2P, removed: Counter
) -> dict[int, tuple[str, ...]]:
    """Phonemes by text number, of the texts that can be pronounced."""
    spoken, first = {}, None
    for text in np.unique(segments.text[rows]).tolist():
        try:
            spoken[text] = tuple(g2p.phonemes(segments.texts[text]))
        except TextError as error:
            first = first or error
            removed["texts without a pronunciation"] += 1
    if first is not None:
        logger.warning(
            "%d texts have no pronunciation and are left out. First: %s",
            removed["texts without a pronunciation"],
            first,
        )
    return spoken


class KeywordDraw:
    """Which keywords and which of their segments make a batch: a pure function of its place.

    An epoch is one pass over all keywords in a seeded order, `seeds_per_batch` at a time (what does
    not fill a batch is left for another epoch). The other keywords of a batch are near neighbours
    of its seeds in turn, each drawn from the seed's `NEAREST` nearest pronunciations. With a
    `length_window` of n > 1, the keywords of n neighbouring batches are dealt to them by length,
    so that a batch holds less padding; the order of the batches stays random.
    """

    def __init__(
        self,
        keywords: KeywordTable,
        speaker: np.ndarray,
        *,
        keywords_per_batch: int,
        utterances_per_keyword: int,
        neighbour_fraction: float,
        seed: int,
        seconds: np.ndarray | None = None,
        length_window: int = 1,
    ):
        neighbours = round(neighbour_fraction * keywords_per_batch)
        self.keywords, self.speaker, self.seed = keywords, speaker, seed
        self.utterances_per_keyword = utterances_per_keyword
        self.seeds_per_batch = keywords_per_batch - neighbours
        self.neighbours_per_batch = neighbours
        self.batches_per_epoch = len(keywords) // self.seeds_per_batch
        self._index = PhoneIndex(keywords.symbols, candidates=_CANDIDATES) if neighbours else None
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))
        self.length_window = length_window
        if length_window > 1:
            self._seconds = np.asarray(seconds)
            ordered = self._seconds[keywords.segments]
            self._mean_seconds = np.add.reduceat(ordered, keywords.offsets[:-1]) / keywords.counts

    def draw_keywords(self, epoch: int, position: int) -> np.ndarray:
        """Keyword numbers int64 [K] of a batch, all different, the seeds first."""
        order_epoch, order = self._order
        if order_epoch != epoch:
            rng = np.random.default_rng([_PERMUTATION, self.seed, epoch])
            order = self._by_length(rng, rng.permutation(len(self.keywords)))
            self._order = (epoch, order)
        start = position * self.seeds_per_batch
        seeds = order[start : start + self.seeds_per_batch]
        if not self.neighbours_per_batch:
            return seeds.copy()
        rng = np.random.default_rng([_NEIGHBOURS, self.seed, epoch, position])
        return np.array(self._with_neighbours(rng, seeds.tolist()))

    def _by_length(self, rng: np.random.Generator, order: np.ndarray) -> np.ndarray:
        """Sort each window of batches by the keywords' mean length; shuffle its batches."""
        if self.length_window == 1:
            return order
        size = self.seeds_per_batch
        order = order[: self.batches_per_epoch * size]
        for start in range(0, len(order), size * self.length_window):
            window = order[start : start + size * self.length_window]
            by_length = window[np.argsort(self._mean_seconds[window], kind="stable")]
            batches = rng.permutation(by_length.reshape(-1, size))
            order[start : start + len(window)] = batches.reshape(-1)
        return order

    def _with_neighbours(self, rng: np.random.Generator, seeds: list[int]) -> list[int]:
        rounds = -(-self.neighbours_per_batch // len(seeds))
        near, _ = self._index.nearest(seeds[: self.neighbours_per_batch], max(NEAREST, 2 * rounds))
        candidates = [rng.permutation(row[row >= 0]).tolist() for row in near]
        longest = self._longest(np.array(seeds))
        if longest < np.inf:
            candidates = [
                sorted(row, key=lambda keyword: self._mean_seconds[keyword] > longest)
                for row in candidates
            ]
        chosen, taken = list(seeds), set(seeds)
        wanted = len(seeds) + self.neighbours_per_batch
        for _ in range(rounds):
            for row in candidates:
                found = next((keyword for keyword in row if keyword not in taken), None)
                if found is not None and len(chosen) < wanted:
                    chosen.append(found)
                    taken.add(found)
        while len(chosen) < wanted:  # seeds whose neighbours are all taken
            keyword = int(rng.integers(len(self.keywords)))
            if keyword not in taken:
                chosen.append(keyword)
                taken.add(keyword)
        return chosen

    def draw_segments(self, epoch: int, position: int, numbers: np.ndarray) -> np.ndarray:
        """Segment rows int64 [K * M] of the keywords `numbers` [K] of a batch, M for each.

        Different segments while there are, of different speakers while there are; then repeated.
        """
        rng = np.random.default_rng([_SEGMENTS, self.seed, epoch, position])
        longest = self._longest(numbers[: self.seeds_per_batch])
        return np.concatenate(
            [self._of_keyword(rng, keyword, longest) for keyword in numbers.tolist()]
        )

    def _longest(self, seeds: np.ndarray) -> float:
        """Seconds that a segment of a batch should not exceed, of the seeds' mean lengths."""
        if self.length_window == 1:
            return np.inf
        return _SLACK * float(self._mean_seconds[seeds].max())

    def _of_keyword(self, rng: np.random.Generator, keyword: int, longest: float) -> np.ndarray:
        start, end = self.keywords.offsets[keyword], self.keywords.offsets[keyword + 1]
        if end - start > _MOST_CONSIDERED:
            places = rng.choice(end - start, _MOST_CONSIDERED, replace=False)
        else:
            places = rng.permutation(end - start)
        rows = self.keywords.segments[start + places]
        if longest < np.inf:
            short = rows[self._seconds[rows] <= longest]
            if len(short) < self.utterances_per_keyword:  # then the shortest there are
                order = np.argsort(self._seconds[rows], kind="stable")
                short = rows[order[: self.utterances_per_keyword]]
            rows = short
        if len(rows) == 1:
            return np.repeat(rows, self.utterances_per_keyword)
        speakers = self.speaker[rows]
        first_of_speaker = np.sort(np.unique(speakers, return_index=True)[1])
        ordered = np.concatenate([rows[first_of_speaker], np.delete(rows, first_of_speaker)])
        return np.resize(ordered, self.utterances_per_keyword)
