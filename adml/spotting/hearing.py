"""Running audio as embeddings of all its spans: blocks at fixed places, whatever the chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from adml.errors import UsageError


@dataclass(frozen=True)
class Places:
    """Where blocks and spans lie, in frames; chosen for frames of 10 ms.

    Every `hop` frames the encoder hears the last `block` frames as a whole. Of each block the
    spans are told that end on a multiple of `step` and not in its last `ahead` frames, which are
    there so that the end of a word is heard with what follows it.
    """

    hop: int = 70
    block: int = 225
    ahead: int = 20
    step: int = 10
    lengths: tuple[int, ...] = (26, 34, 44, 57, 74, 96, 125)

    def __post_init__(self):
        needed = self.hop + self.ahead + self.step + max(self.lengths)
        if self.block < needed:
            raise UsageError(
                "A block is too short for the longest span that may end in it. Expected: at least "
                f"{needed} frames. Received: {self.block}."
            )


class Heard(NamedTuple):
    """What a block tells: spans that no block told before, and the phones of new frames.

    `starts`, `ends` int [S], in frames since the stream began, the end not within; `embeddings`
    float32 [S, D] of unit length; `phones` float32 [n, V + 1], log-probabilities of the frames from
    `first_frame` on, or None; `samples` of the stream that had to be heard for it.
    """

    starts: np.ndarray
    ends: np.ndarray
    embeddings: np.ndarray
    first_frame: int
    phones: np.ndarray | None
    samples: int


class Hearing:
    """Hears a stream in chunks of any size; what it tells does not depend on the chunks.

    Features are computed once, of fixed stretches of samples, and every block is encoded alone, so
    the same operations see the same numbers for every way to cut a stream, bit by bit.

    Args:
        log_mel: callable (waveform float32 [1, T]) -> [1, F, M], a frame of its own samples alone.
        listen: callable (log_mel [1, block, M], lengths [1], recordings [S], starts [S],
            frames [S]) -> (embeddings [S, D], phones [1, block, V + 1] or None).
        window, shift: samples of an analysis window, and between the starts of two.
        places: where blocks and spans lie.
    """

    def __init__(
        self,
        log_mel: Callable,
        listen: Callable,
        *,
        window: int,
        shift: int,
        places: Places | None = None,
    ):
        self.places, self.window, self.shift = places or Places(), window, shift
        self._log_mel, self._listen = log_mel, listen
        self._samples = np.zeros(0, np.float32)
        self._features: np.ndarray | None = None
        self._frames = self._told = 0

    def push(self, samples: np.ndarray) -> Iterator[Heard]:
        """Hear more of the stream.

        Args:
            samples: float32 [T].
        """
        self._samples = np.concatenate([self._samples, samples])
        hop = self.places.hop
        needed = (hop - 1) * self.shift + self.window
        while len(self._samples) >= needed:
            self._take(self._samples[:needed])
            self._samples = self._samples[hop * self.shift :]
            yield self._tell(self._frames - self.places.ahead)

    def close(self) -> Iterator[Heard]:
        """Hear that the stream has ended: its last frames are told without what would follow."""
        rest = len(self._samples)
        if self._frames == 0 and rest == 0:
            return
        if self._frames == 0 and rest < self.window:
            self._samples = np.pad(self._samples, (0, self.window - rest))
        if len(self._samples) >= self.window:
            self._take(self._samples)
        self._samples = self._samples[:0]
        yield self._tell(self._frames)

    def _take(self, samples: np.ndarray) -> None:
        """Append the frames of a stretch of samples; a block's worth is kept."""
        new = np.asarray(self._log_mel(samples[np.newaxis]))[0]
        kept = new if self._features is None else np.concatenate([self._features, new])
        self._features, self._frames = kept[-self.places.block :], self._frames + len(new)

    def _tell(self, until: int) -> Heard:
        """Encode the last block; tell the spans that end after `_told` and not after `until`."""
        count, block = len(self._features), self.places.block
        first = self._frames - count
        padded = np.zeros((1, block, self._features.shape[1]), np.float32)
        padded[0, :count] = self._features
        starts, ends = self._spans(first, until)
        asked = (starts - first, ends - starts)
        if not len(starts):  # the frames are still to be heard
            asked = (np.zeros(1, np.int32), np.ones(1, np.int32))
        recordings = np.zeros(len(asked[0]), np.int32)
        lengths = np.array([count], np.int32)
        embeddings, phones = self._listen(padded, lengths, recordings, *asked)
        embeddings = np.asarray(embeddings)[: len(starts)]
        begin = max(self._told, first)
        if phones is not None:
            phones = np.asarray(phones)[0, begin - first : max(until, begin) - first]
        self._told = max(until, self._told)
        samples = (self._frames - 1) * self.shift + self.window
        return Heard(starts, ends, embeddings, begin, phones, samples)

    def _spans(self, first: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends int32 [S] of the new spans that lie within the block."""
        step, lengths = self.places.step, np.array(self.places.lengths, np.int32)
        last_end = until // step * step
        ends = np.arange((self._told // step + 1) * step, last_end + 1, step, dtype=np.int32)
        starts = ends[:, np.newaxis] - lengths
        inside = starts >= first
        return starts[inside], np.broadcast_to(ends[:, np.newaxis], starts.shape)[inside]
