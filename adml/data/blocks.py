"""Blocks of running speech, with several of the segments that are spoken in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.cutting import Cutter
from adml.data.sampling import KeywordTable
from adml.data.segments import SegmentTable
from adml.data.store import PcmStore

_DISTRACTOR_S = 0.25, 1.25
_LIKE = 0.5
"""A stretch that shares so much of its and a segment's time may be taken for it, chosen."""


_PLACES = "recordings", "starts", "frames"


class Block(NamedTuple):
    """One waveform, S segments and N distractors in it.

    `waveform` float32 [T]; `keywords` int64 [S], numbers of keywords; `starts` and `frames`
    int64 [S], where in the waveform's frames they are spoken; `distractors` int64 [N, 2], first
    frame and frames of stretches that hold no segment as a whole and nothing else.
    """

    waveform: np.ndarray
    keywords: np.ndarray
    starts: np.ndarray
    frames: np.ndarray
    distractors: np.ndarray


class BlockDraw:
    """Draws what stands around a segment, and other segments from there. Not in the paper.

    An encoder that is to find keywords in running speech hears them amid other words, and must
    tell them from all that overlaps with them.

    Args:
        segments, store, keywords: as of the batches.
        cutter: how a segment alone is cut, how all is disturbed, and how frames lie.
        probability: of a block; otherwise the waveform is the segment alone, as the cutter cuts.
        seconds: length of a block, where the recording is as long.
        spans: most segments of a block.
        jitter_ms: largest move of the edges of a segment in a block, either way.
        distractors: most stretches of a block that fit none of its segments.
    """

    def __init__(
        self,
        segments: SegmentTable,
        store: PcmStore,
        keywords: KeywordTable,
        cutter: Cutter,
        *,
        probability: float,
        seconds: float,
        spans: int,
        jitter_ms: float,
        distractors: int = 0,
    ):
        self.segments, self.store, self.cutter = segments, store, cutter
        self.probability, self.seconds, self.spans = probability, seconds, spans
        self.jitter_s, self.distractors = jitter_ms / 1000.0, distractors
        self._keyword = np.full(len(segments), -1, np.int64)
        self._keyword[keywords.segments] = np.repeat(np.arange(len(keywords)), keywords.counts)
        rows = np.sort(keywords.segments)
        self._rows = rows[np.argsort(segments.utterance[rows], kind="stable")]
        self._utterances = segments.utterance[self._rows]

    def draw(self, rng: np.random.Generator, row: int, code: int, limit_s: float) -> Block:
        """Draw the block of a segment; it is the first of those told.

        Args:
            rng: the only source of chance.
            row: of the segment, one that has a keyword.
            code: of its recording in the store.
            limit_s: longest waveform of a segment alone, in seconds.
        """
        table = self.segments
        start_s, end_s = float(table.start_s[row]), float(table.end_s[row])
        if rng.random() >= self.probability:
            alone = self.cutter.waveform(rng, self.store, code, start_s, end_s, limit_s)
            frames = self._count(len(alone))
            where = np.zeros(1, int), np.array([frames]), np.zeros((0, 2), int)
            return Block(alone, self._keyword[[row]], *where)
        speed = self.cutter.disturber.draw_speed(rng)
        first_s, samples = self._read(rng, code, start_s, end_s, speed)
        within = self._within(row, first_s, first_s + len(samples) / SAMPLE_RATE_HZ)
        others = rng.permutation(within[within != row])[: self.spans - 1]
        rows = np.array([row, *others])
        length = round(len(samples) / speed)
        starts, frames = self._places(rng, self._edges(rows, first_s, speed), length)
        disturbed = self.cutter.disturber.disturb_at_speed(rng, samples, speed)
        distractors = np.zeros((0, 2), int)
        if self.distractors:
            known = self._edges(within, first_s, speed)
            distractors = self._distract(rng, known, self._count(length))
        return Block(disturbed, self._keyword[rows], starts, frames, distractors)

    @property
    def shapes(self) -> dict[str, tuple]:
        """Kind and shape of what `places` tells, by name."""
        kinds = ("span", "distractor") if self.distractors else ("span",)
        names = [f"{kind}_{name}" for kind in kinds for name in _PLACES]
        return dict.fromkeys(names, ("int32", (None,)))

    def places(self, blocks: Sequence[Block]) -> dict[str, np.ndarray]:
        """Where the segments, and the distractors, of the blocks of a batch lie, in their order."""
        found = [np.stack([block.starts, block.frames], axis=1) for block in blocks]
        columns = _columns(found)
        if self.distractors:
            columns += _columns([block.distractors for block in blocks])
        return dict(zip(self.shapes, columns, strict=True))

    def _read(self, rng, code, start_s, end_s, speed) -> tuple[float, np.ndarray]:
        """When the block begins in its recording, and its samples before the speed is changed."""
        recording_s = int(self.store.lengths[code]) / SAMPLE_RATE_HZ
        seconds = max(self.seconds * speed, end_s - start_s)
        first_s = start_s - float(rng.uniform(0, seconds - (end_s - start_s)))
        first_s = max(0.0, min(first_s, recording_s - seconds))
        first = round(first_s * SAMPLE_RATE_HZ)
        last = first + round(seconds * SAMPLE_RATE_HZ)
        samples = self.store.read_samples(code, first, last)
        short = self.cutter.window - len(samples)
        return first / SAMPLE_RATE_HZ, np.pad(samples, (0, short)) if short > 0 else samples

    def _within(self, row: int, first_s: float, last_s: float) -> np.ndarray:
        """The segments of the recording that lie wholly in the block."""
        utterance, table = self.segments.utterance[row], self.segments
        low, high = np.searchsorted(self._utterances, [utterance, utterance + 1])
        rows = self._rows[low:high]
        return rows[(table.start_s[rows] >= first_s) & (table.end_s[rows] <= last_s)]

    def _distract(self, rng, known_s: np.ndarray, total: int) -> np.ndarray:
        """Stretches that are unlike all segments [2, n] of a block, as far as draws find them."""
        low, high = np.log(_DISTRACTOR_S)
        drawn = 4 * self.distractors
        seconds = np.exp(rng.uniform(low, high, drawn))
        frames = np.minimum(self._count(seconds * SAMPLE_RATE_HZ), total).astype(np.int64)
        starts = np.floor(rng.random(drawn) * (total - frames + 1)).astype(np.int64)
        start_s = starts[:, np.newaxis] * self.cutter.shift / SAMPLE_RATE_HZ
        end_s = start_s + frames[:, np.newaxis] * self.cutter.shift / SAMPLE_RATE_HZ
        shared = np.minimum(end_s, known_s[1]) - np.maximum(start_s, known_s[0])
        joined = np.maximum(end_s, known_s[1]) - np.minimum(start_s, known_s[0])
        unlike = (shared < _LIKE * joined).all(axis=1)
        return np.stack([starts, frames], axis=1)[unlike][: self.distractors]

    def _edges(self, rows: np.ndarray, first_s: float, speed: float) -> np.ndarray:
        """Where segments begin and end in a block, in seconds, float [2, n]."""
        table = self.segments
        return (np.stack([table.start_s[rows], table.end_s[rows]]) - first_s) / speed

    def _places(self, rng, edges_s: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """First frame and number of frames of segments, their edges moved."""
        moved = rng.uniform(-self.jitter_s, self.jitter_s, edges_s.shape)
        total = self._count(samples)
        start, end = np.rint((edges_s + moved) * SAMPLE_RATE_HZ).astype(np.int64)
        starts = np.clip(np.rint(start / self.cutter.shift).astype(np.int64), 0, total - 1)
        frames = 1 + np.maximum(0, end - start - self.cutter.window) // self.cutter.shift
        return starts, np.minimum(frames, total - starts)

    def _count(self, samples):
        return 1 + np.maximum(0, samples - self.cutter.window) // self.cutter.shift


def _columns(places: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Number of the block, first frame and frames, int32 each, of what lies in blocks [n, 2]."""
    recordings = np.repeat(np.arange(len(places)), [len(block) for block in places])
    columns = recordings, *np.concatenate(places).T
    return [column.astype(np.int32) for column in columns]
