"""Blocks of running speech, with several of the segments that are spoken in each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.cutting import Cutter
from adml.data.sampling import KeywordTable
from adml.data.segments import SegmentTable
from adml.data.store import PcmStore


class Block(NamedTuple):
    """One waveform and S segments in it.

    `waveform` float32 [T]; `keywords` int64 [S], numbers of keywords; `starts` and `frames`
    int64 [S], where in the waveform's frames they are spoken.
    """

    waveform: np.ndarray
    keywords: np.ndarray
    starts: np.ndarray
    frames: np.ndarray


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
    ):
        self.segments, self.store, self.cutter = segments, store, cutter
        self.probability, self.seconds, self.spans = probability, seconds, spans
        self.jitter_s = jitter_ms / 1000.0
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
            return Block(alone, self._keyword[[row]], np.zeros(1, int), np.array([frames]))
        first_s, samples = self._read(rng, code, start_s, end_s)
        last_s = first_s + len(samples) / SAMPLE_RATE_HZ
        rows = np.array([row, *self._others(rng, row, first_s, last_s)])
        starts, frames = self._places(rng, rows, first_s, len(samples))
        disturbed = self.cutter.disturber.disturb(rng, samples)
        return Block(disturbed, self._keyword[rows], starts, frames)

    def _read(self, rng, code: int, start_s: float, end_s: float) -> tuple[float, np.ndarray]:
        """When the block begins in its recording, and its samples."""
        recording_s = int(self.store.lengths[code]) / SAMPLE_RATE_HZ
        seconds = max(self.seconds, end_s - start_s)
        first_s = start_s - float(rng.uniform(0, seconds - (end_s - start_s)))
        first_s = max(0.0, min(first_s, recording_s - seconds))
        first = round(first_s * SAMPLE_RATE_HZ)
        last = first + round(seconds * SAMPLE_RATE_HZ)
        samples = self.store.read_samples(code, first, last)
        short = self.cutter.window - len(samples)
        return first / SAMPLE_RATE_HZ, np.pad(samples, (0, short)) if short > 0 else samples

    def _others(self, rng, row: int, first_s: float, last_s: float) -> np.ndarray:
        """Other segments that lie wholly in the block, at most `spans` - 1."""
        utterance, table = self.segments.utterance[row], self.segments
        low, high = np.searchsorted(self._utterances, [utterance, utterance + 1])
        rows = self._rows[low:high]
        inside = (table.start_s[rows] >= first_s) & (table.end_s[rows] <= last_s) & (rows != row)
        return rng.permutation(rows[inside])[: self.spans - 1]

    def _places(self, rng, rows, first_s: float, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """First frame and number of frames of segments, their edges moved."""
        table, total = self.segments, self._count(samples)
        moved = rng.uniform(-self.jitter_s, self.jitter_s, (2, len(rows)))
        edges = np.stack([table.start_s[rows], table.end_s[rows]]) - first_s + moved
        start, end = np.rint(edges * SAMPLE_RATE_HZ).astype(np.int64)
        starts = np.clip(np.rint(start / self.cutter.shift).astype(np.int64), 0, total - 1)
        frames = 1 + np.maximum(0, end - start - self.cutter.window) // self.cutter.shift
        return starts, np.minimum(frames, total - starts)

    def _count(self, samples: int) -> int:
        return 1 + max(0, samples - self.cutter.window) // self.cutter.shift
