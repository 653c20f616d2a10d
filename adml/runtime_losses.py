"""How well typed words find real speech, and what is lost by another runtime."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.sets import open_recordings, read_clips, read_words
from adml.data.shards.form import WORDS, is_sharded
from adml.data.store import PcmStore
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


@dataclass(frozen=True)
class Figures:
    """How well typed words are found, percent, and how far scores move from the SavedModel's.

    `average_precision` and `equal_error_rate` of cosines of every clip with every word of the set;
    `running_average_precision` of the best score of every word in every recording, heard whole as
    a detector hears it; mean and largest of these scores' differences from the SavedModel's.
    """

    average_precision: float
    equal_error_rate: float
    running_average_precision: float
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
            best.append(told.max(axis=0, initial=LOWEST_SCORE))
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
        moves = np.abs(scores - self.scores)
        return Figures(
            100 * average_precision(labels, cosines),
            100 * equal_error_rate(labels, cosines),
            100 * average_precision(self.said.ravel(), scores.ravel()),
            float(moves.mean()),
            float(moves.max()),
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
    known = dict(_pronounced(spotter, sorted(set(table.word.tolist()))))
    table = table.subset(np.isin(table.word, list(known)))
    if len(known) < 2:
        raise DataError(
            f"{folder} has too few words to tell apart. Expected: at least two, of "
            f"{_SHORTEST_S:g} s or more. Received: {len(known)}. Give another set by --clips."
        )
    order = np.random.default_rng(1).permutation(len(table))
    table = table.subset(order)
    store = open_recordings(sorted(set(table.path.tolist())), cache / "pcm")
    table = table.subset([path in store for path in table.path])
    times = zip(table.path, table.start_s, table.end_s, strict=True)
    clips = [store.read(str(path), start, end) for path, start, end in times]
    recordings = _enough(store, table.path.tolist())
    said = [np.isin(list(known), whole.word[whole.path == path]) for path in recordings]
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
    """The first recordings, by their paths, until there is `RUNNING_S` of them."""
    read, samples = {}, 0
    for path in dict.fromkeys(paths):
        read[path] = store.read(path)
        samples += len(read[path])
        if samples >= RUNNING_S * SAMPLE_RATE_HZ:
            break
    return read
