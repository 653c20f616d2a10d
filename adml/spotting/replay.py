"""Streams as blocks that any runtime may hear, and the scores that follow from what it told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import Keyword
from adml.spotting.scoring import LOWEST_SCORE, Scorer
from adml.spotting.spotter import KeywordSpotter


class Asked(NamedTuple):
    """Frames float32 [F, M] of a block, not normalised, and int32 [E], where spans in them end."""

    log_mel: np.ndarray
    ends: np.ndarray


class _Block(NamedTuple):
    """What is told of a block but for what the model says, the ends of its spans in frames of it,
    and in how many calls they are asked."""

    heard: Heard
    first: int
    ends: np.ndarray
    calls: int


class Replay:
    """Asks what `Hearing` asks of the model, at once, and makes the same of the answers.

    Args:
        spotter: tells features and where blocks and spans lie; its encoder is not asked.
        streams: float32 [T] each, at its rate.
        ends: E of a call; those of a block may take several, the last one filled by repetition.

    Attributes:
        asked: list of `Asked`, block after block, stream after stream.
    """

    def __init__(self, spotter: KeywordSpotter, streams: Iterable[np.ndarray], *, ends: int):
        self.asked: list[Asked] = []
        self.lengths = np.array(spotter.hearing().places.lengths)
        self._streams = [list(self._blocks(spotter, samples, ends)) for samples in streams]

    def _blocks(self, spotter: KeywordSpotter, samples: np.ndarray, ends: int) -> Iterator[_Block]:
        block: list[np.ndarray] = []

        def note(log_mel, lengths, recordings, starts, frames):
            block[:] = log_mel[0, : lengths[0]], np.unique(starts + frames).astype(np.int32)
            return np.zeros((len(recordings), 1)), np.zeros((1, log_mel.shape[1], 1))

        hearing = spotter.hearing(note)
        for part in (hearing.push(samples), hearing.close()):
            for heard in part:
                log_mel, asked = block
                calls = np.resize(asked, (-(-len(asked) // ends), ends))
                self.asked += [Asked(log_mel, call) for call in calls]
                frames = (heard.samples - hearing.window) // hearing.shift + 1
                yield _Block(heard, frames - len(log_mel), asked, len(calls))

    def scores(
        self, keywords: Sequence[Keyword], answers: Iterable[Mapping[str, np.ndarray]]
    ) -> np.ndarray:
        """The best score of each keyword in each stream.

        Args:
            keywords: K of them.
            answers: to each of `asked`, embedding [E, N, D] of the spans of all lengths that end
                there, and phones [1, F, V + 1] where the model tells them.

        Returns:
            float32 [R, K], `LOWEST_SCORE` where a stream is too short for it.
        """
        answers, best = iter(answers), []
        for blocks in self._streams:
            scorer = Scorer(keywords, self.lengths)
            told = [np.full((1, len(keywords)), LOWEST_SCORE, np.float32)]
            for block in blocks:
                given = [next(answers) for _ in range(block.calls)]
                told.append(scorer.score(self._heard(block, given)).scores)
            best.append(np.concatenate(told).max(axis=0))
        return np.stack(best) if best else np.zeros((0, len(keywords)), np.float32)

    def _heard(self, block: _Block, answers: Sequence[Mapping[str, np.ndarray]]) -> Heard:
        heard = block.heard
        spans = np.concatenate([np.asarray(answer["embedding"]) for answer in answers])
        end = np.searchsorted(block.ends, heard.ends - block.first)
        length = np.searchsorted(self.lengths, heard.ends - heard.starts)
        phones = None
        if "phones" in answers[0]:
            frames = np.arange(len(heard.phones)) + heard.first_frame - block.first
            phones = np.asarray(answers[0]["phones"])[0, frames]
        return heard._replace(embeddings=spans[end, length], phones=phones)
