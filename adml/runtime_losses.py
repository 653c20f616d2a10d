"""How well typed words find real speech, and what is lost by another runtime."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.sets import open_recordings, read_clips, read_words
from adml.data.shards.form import WORDS, is_sharded
from adml.data.store import PcmStore
from adml.data.words import WordTable
from adml.errors import DataError, TextError
from adml.metrics.verification import average_precision, equal_error_rate
from adml.spotting.detecting import stream_scores
from adml.spotting.keyword_file import Keyword
from adml.spotting.scoring import LOWEST_SCORE, Scorer
from adml.spotting.spotter import KeywordSpotter

logger = logging.getLogger(__name__)

CLIPS = 400
RUNNING_S = 300.0
"""Seconds of whole recordings in which words are looked for as a detector does, chosen."""

_SHORTEST_S = 0.3
_SLACK_S = 0.5
"""By so much a word may end behind what is heard of a recording: lists are not exact."""


@dataclass(frozen=True)
class Figures:
    """How well typed words are found, percent, and how far scores move from the SavedModel's.

    `average_precision` and `equal_error_rate` of cosines of every clip with every word of the set;
    `running_average_precision` of the best score of every word in every recording, heard whole as
    a detector hears it, None where all or none of them are said; mean and largest of these scores'
    differences from the SavedModel's, of words for which a recording is long enough.
    """

    average_precision: float
    equal_error_rate: float
    running_average_precision: float | None
    score_move_mean: float
    score_move_largest: float


@dataclass(frozen=True)
class Spoken:
    """Clips with a word each, recordings in which words are said, and all words as keywords.

    `clips` float32 [T] each, `words` [n] theirs; `recordings` float32 [T] each, `said` bool [R, W]
    which of the W `keywords` are said in each of R.
    """

    spotter: KeywordSpotter
    clips: list[np.ndarray]
    words: np.ndarray
    recordings: list[np.ndarray]
    said: np.ndarray
    keywords: tuple[Keyword, ...]

    @cached_property
    def scores(self) -> np.ndarray:
        """The best score of every keyword in every recording by the SavedModel, [R, W]."""
        best = []
        for samples in self.recordings:
            hearing = self.spotter.hearing()
            scorer = Scorer(self.keywords, hearing.places.lengths)
            told = stream_scores(hearing, scorer, samples).scores
            none = np.full((1, len(self.keywords)), LOWEST_SCORE, np.float32)
            best.append((told if len(told) else none).max(axis=0))
        return np.stack(best)

    def embed(self, count: int) -> np.ndarray:
        """Embeddings of the last clips by the SavedModel, [count, D]."""
        rate_hz = self.spotter.sample_rate_hz
        return np.stack([self.spotter.embed_audio(clip, rate_hz) for clip in self.clips[-count:]])

    def figures(self, embedded: np.ndarray, scores: np.ndarray) -> Figures:
        """What a runtime finds.

        Args:
            embedded: its embeddings of the last clips, [n, D].
            scores: its best scores of the keywords in the recordings, [R, W].
        """
        texts = np.array([keyword.name for keyword in self.keywords])
        vectors = np.concatenate([keyword.vectors for keyword in self.keywords])
        labels = (self.words[-len(embedded) :, np.newaxis] == texts).ravel()
        cosines = (embedded @ vectors.T).ravel()
        scored = np.maximum(scores, self.scores) > LOWEST_SCORE
        moves = np.abs(scores - self.scores)[scored]
        both = 0 < np.count_nonzero(self.said) < self.said.size
        return Figures(
            100 * average_precision(labels, cosines),
            100 * equal_error_rate(labels, cosines),
            100 * average_precision(self.said.ravel(), scores.ravel()) if both else None,
            float(moves.mean()) if moves.size else 0.0,
            float(moves.max(initial=0.0)),
        )


def read_spoken(folder: Path, spotter: KeywordSpotter, cache: Path) -> Spoken:
    """Draw clips of a set with words that can be pronounced, and recordings with such words.

    Args:
        folder: a set of aligned speech, of which words are cut, or of clips.
        spotter: the model.
        cache: folder for decoded speech.

    Raises:
        DataError: the set cannot be read, or has too few words.
    """
    aligned = is_sharded(folder) or (folder / WORDS).is_file()
    whole = read_words(folder) if aligned else read_clips(folder)
    table = whole.subset((whole.end_s - whole.start_s >= _SHORTEST_S) & (whole.word != ""))
    table = table.subset(np.sort(np.random.default_rng(0).permutation(len(table))[:CLIPS]))
    store = open_recordings(sorted(set(table.path.tolist())), cache / "pcm")
    table = table.subset([path in store for path in table.path])
    known = dict(_pronounced(spotter, sorted(set(table.word.tolist()))))
    table = table.subset(np.isin(table.word, list(known)))
    table = table.subset(np.random.default_rng(1).permutation(len(table)))
    times = zip(table.path, table.start_s, table.end_s, strict=True)
    clips = [store.read(str(path), start, end) for path, start, end in times]
    heard = [len(clip) >= _SHORTEST_S * SAMPLE_RATE_HZ for clip in clips]
    table, clips = table.subset(heard), list(compress(clips, heard))
    if (different := len(set(table.word.tolist()))) < 2:
        raise DataError(
            f"{folder} has too few words to tell apart. Expected: at least two, of "
            f"{_SHORTEST_S:g} s or more. Received: {different}. Give another set by --clips."
        )
    recordings = _enough(store, table.path[::-1].tolist())
    said = [np.isin(list(known), _said(whole, path, len(samples) / SAMPLE_RATE_HZ))
            for path, samples in recordings.items()]  # fmt: skip
    return Spoken(
        spotter, clips, table.word, list(recordings.values()), np.stack(said), tuple(known.values())
    )


def _pronounced(spotter: KeywordSpotter, words: list[str]) -> Iterator[tuple[str, Keyword]]:
    refused = []
    for word in words:
        try:
            vector = spotter.embed_text(word)[np.newaxis]
        except TextError as error:
            refused.append(str(error))
            continue
        yield word, Keyword(word, vector, (tuple(spotter.pronounce(word)),))
    if refused:
        logger.warning("%d words left out. First: %s", len(refused), refused[0])


def _enough(store: PcmStore, paths: list[str]) -> dict[str, np.ndarray]:
    """`RUNNING_S` of recordings by their paths, in this order; the last one is cut."""
    read: dict[str, np.ndarray] = {}
    left_s = RUNNING_S
    for path in dict.fromkeys(paths):
        read[path] = store.read(path, 0.0, left_s)
        left_s -= len(read[path]) / SAMPLE_RATE_HZ
        if left_s < _SHORTEST_S:
            break
    return read


def _said(table: WordTable, path: str, end_s: float) -> list[str]:
    """The texts, and all words of them, that are said in a recording before some time."""
    texts = table.word[(table.path == path) & (table.end_s <= end_s + _SLACK_S)].tolist()
    return [*texts, *(word for text in texts for word in text.split())]
