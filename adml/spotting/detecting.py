"""Detects enrolled keywords in a stream, chunk by chunk; the chunks make no difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from adml.audio.containers import RATES_HZ
from adml.audio.samples import check_samples
from adml.errors import UsageError
from adml.metrics.detection import REFRACTORY_S
from adml.spotting.hearing import Heard, Hearing
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.scoring import Detection, Events, Scorer, Scores
from adml.spotting.spotter import KeywordSpotter

HIGHEST_SCORE = 1.0
_PIECES_PER_SECOND = 10


class Detector:
    """Hears one stream and tells the keywords in it.

    Args:
        spotter: the model.
        keywords: enrolled with that model.
        sample_rate_hz: of the stream. It is never guessed.
        threshold: for keywords that were not calibrated; None: there must be none.
        refractory_s: seconds after a detection in which its keyword is not detected again.

    Raises:
        UsageError: the keywords are of another model, one has no threshold or one that no score
            reaches, or the rate is wrong.
    """

    def __init__(
        self,
        spotter: KeywordSpotter,
        keywords: KeywordFile,
        *,
        sample_rate_hz: int,
        threshold: float | None = None,
        refractory_s: float = REFRACTORY_S,
    ):
        keywords.require_model(spotter.model)
        bare = [keyword.name for keyword in keywords.keywords if keyword.threshold is None]
        if bare and threshold is None:
            raise UsageError(
                f"The keyword {bare[0]!r} has no threshold. Expected: a score from which on it is "
                "detected. Find one by `adml calibrate`, or give one by --threshold."
            )
        thresholds = [threshold if k.threshold is None else k.threshold for k in keywords.keywords]
        for keyword, limit in zip(keywords.keywords, thresholds, strict=True):
            if not limit <= HIGHEST_SCORE:
                raise UsageError(
                    f"The keyword {keyword.name!r} would never be detected. Expected: a threshold "
                    f"of at most {HIGHEST_SCORE:g}, as scores are. Received: {limit:g}. Find one "
                    "by `adml calibrate`."
                )
        self._hearing = spotter.hearing()
        self._resampler = Resampler(sample_rate_hz, spotter.sample_rate_hz)
        self._scorer = Scorer(keywords.keywords, self._hearing.places.lengths)
        self._rate_hz = spotter.sample_rate_hz
        self._events = Events(
            [keyword.name for keyword in keywords.keywords],
            thresholds,
            frame_s=self._hearing.shift / spotter.sample_rate_hz,
            refractory_s=refractory_s,
        )

    def push(self, samples: np.ndarray) -> list[Detection]:
        """Hear more of the stream.

        Args:
            samples: float [T] in -1..1, one channel; none is allowed.

        Returns:
            What is detected in blocks that are now whole.

        Raises:
            AudioError: the samples are not finite floats of one channel.
        """
        if np.size(samples) == 0:
            return []
        samples = self._resampler.push(check_samples(samples))
        return self._detect(self._hearing.push(samples))

    def close(self) -> list[Detection]:
        """Hear that the stream has ended; what is detected in its last second."""
        last = self._detect(self._hearing.push(self._resampler.close()))
        return last + self._detect(self._hearing.close())

    def _detect(self, blocks: Iterable[Heard]) -> list[Detection]:
        found = []
        for heard in blocks:
            told_s = heard.samples / self._rate_hz
            found += self._events.detect(self._scorer.score(heard), told_s)
        return found


def stream_scores(hearing: Hearing, scorer: Scorer, samples: np.ndarray) -> Scores:
    """All scores of a whole stream at the rate of the model.

    Args:
        hearing: a new one.
        scorer: of the keywords.
        samples: float32 [T].
    """
    blocks = [*hearing.push(samples), *hearing.close()]
    scores = [scorer.score(heard) for heard in blocks]
    if not scores:
        return Scores(np.zeros(0, int), np.zeros((0, 0), np.float32), np.zeros((0, 0), int))
    return Scores(*(np.concatenate(parts) for parts in zip(*scores, strict=True)))


def detect_stream(detector: Detector, chunks: Iterable[np.ndarray]) -> Iterator[Detection]:
    """Detections as the chunks of a stream come in, and those of its end."""
    for chunk in chunks:
        yield from detector.push(chunk)
    yield from detector.close()


class Resampler:
    """Changes the rate of a stream; what comes out does not depend on the chunks.

    soxr is fed pieces of one tenth of a second, however the chunks are cut.

    Args:
        from_hz, to_hz: rates.

    Raises:
        UsageError: the rate is no whole number, or none that audio has.
    """

    def __init__(self, from_hz: int, to_hz: int):
        low, high = RATES_HZ
        if not (isinstance(from_hz, (int, np.integer)) and low <= from_hz <= high):
            raise UsageError(
                f"The sample rate is wrong. Expected: a whole number of Hz, {low} to {high}. "
                f"Received: {from_hz!r}. State the rate of the stream."
            )
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        self._piece = max(1, from_hz // _PIECES_PER_SECOND)
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The samples that can be told so far, float32."""
        if self._stream is None:
            return samples
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) // self._piece * self._piece
        self._rest = waiting[whole:]
        pieces = waiting[:whole].reshape(-1, self._piece)
        made = [self._stream.resample_chunk(piece) for piece in pieces]
        return np.concatenate(made) if made else np.zeros(0, np.float32)

    def close(self) -> np.ndarray:
        """The last samples."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        return self._stream.resample_chunk(self._rest, last=True)
