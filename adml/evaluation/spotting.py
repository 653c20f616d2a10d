"""Keyword spotting in running audio: misses against false alarms per hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from tqdm import tqdm

from adml.audio.augmentation import SILENT_POWER, add_noise
from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.errors import DataError
from adml.metrics.detection import (
    REFRACTORY_S,
    OperatingPoint,
    merge_events,
    misses_at_false_alarms,
)

LEAD_S = 3.0
"""Seconds of other speech before each clip: alone, it would tell how an engine starts up."""

LIMITS_PER_HOUR = (0.5, 1.0, 2.0, 5.0, 10.0)

Engine = Callable[[np.ndarray], Mapping[str, tuple[np.ndarray, np.ndarray]]]
"""float32 [T] at 16 kHz -> by keyword: times in seconds [n] and scores [n], before any threshold.
A stream stands alone: an engine forgets the one before it."""

Read = Callable[[str], np.ndarray]
"""Path of a recording -> float32 [T] at 16 kHz."""


class Spoken(NamedTuple):
    """A clip in which a keyword is said once: its path and the keyword."""

    path: str
    keyword: str


class Point(NamedTuple):
    """`OperatingPoint` at a limit, with the exact binomial interval of its misses."""

    limit_per_hour: float
    at: OperatingPoint
    misses: int
    clips: int
    miss_interval: tuple[float, float]


@dataclass(frozen=True)
class Spotted:
    """What an engine did: all scores, from which every operating point follows.

    Args:
        clip_scores: by keyword, the best score within each of its clips, [n].
        alarm_scores: by keyword, the scores of the events in the background, [m].
        hours: of background.
        cpu_seconds_per_hour: processor time an hour of audio, lead and clips included.
    """

    clip_scores: dict[str, np.ndarray]
    alarm_scores: dict[str, np.ndarray]
    hours: float
    cpu_seconds_per_hour: float

    def points(self, limits: Sequence[float] = LIMITS_PER_HOUR) -> dict[str, list[Point]]:
        """Misses at each limit of false alarms per hour, by keyword."""
        return {name: [self._point(name, limit) for limit in limits] for name in self.clip_scores}

    def _point(self, name: str, limit: float) -> Point:
        scores = self.clip_scores[name]
        found = misses_at_false_alarms(
            scores, self.alarm_scores[name], hours=self.hours, false_alarms_per_hour=limit
        )
        misses = int(np.count_nonzero(scores < found.threshold))
        interval = stats.binomtest(misses, len(scores)).proportion_ci(method="exact")
        return Point(limit, found, misses, len(scores), (interval.low, interval.high))


class Noise:
    """Adds noise at one ratio to whole streams, drawn for each stream by its number.

    Args:
        recordings: float32 [T] each, of noise.
        snr_db: power of the stream over that of the noise.
        seed: of the draws.
    """

    def __init__(self, recordings: Sequence[np.ndarray], snr_db: float, seed: int = 0):
        self.recordings = [r for r in recordings if np.mean(np.square(r)) >= SILENT_POWER]
        if not self.recordings:
            raise DataError("There is no noise. Expected: a recording that is not silent.")
        self.snr_db, self.seed = snr_db, seed

    def __call__(self, samples: np.ndarray, stream: int) -> np.ndarray:
        """The samples with noise; recordings follow each other until there is enough."""
        rng = np.random.default_rng([self.seed, stream])
        pieces, length = [], 0
        while length < len(samples):
            pieces.append(self.recordings[int(rng.integers(len(self.recordings)))])
            length += len(pieces[-1])
        return add_noise(samples, np.concatenate(pieces)[: len(samples)], self.snr_db)


def spot(
    engine: Engine,
    clips: Sequence[Spoken],
    background: Sequence[str],
    read: Read,
    *,
    noise: Callable[[np.ndarray, int], np.ndarray] | None = None,
    seed: int = 0,
) -> Spotted:
    """Let an engine hear clips of keywords and hours in which none is said.

    Each clip is heard after `LEAD_S` seconds of a background recording at the clip's level, and
    counts as found by the best score after that.

    Args:
        engine: what is tested; it knows the keywords.
        clips: where keywords are said.
        background: paths of recordings in which none is said.
        read: reads a recording.
        noise: (samples, number of the stream) -> samples; None: clean.
        seed: of the leads.

    Raises:
        DataError: there are no clips or no background, or the engine tells nothing of a keyword.
    """
    if not clips or not background:
        raise DataError(
            "There is nothing to spot. Expected: clips of keywords and recordings without them. "
            f"Received: {len(clips)} clips, {len(background)} recordings."
        )
    heard = _Heard(engine, sorted({clip.keyword for clip in clips}))
    noise = noise or (lambda samples, _: samples)
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in heard.keywords}
    for number, clip in enumerate(tqdm(clips, "clips", unit="clip", disable=None)):
        lead = _lead(read(background[int(rng.integers(len(background)))]), rng)
        stream = _after(lead, read(clip.path))
        times, scores = heard(noise(stream, number))[clip.keyword]
        found[clip.keyword].append(float(scores[times > LEAD_S].max(initial=-np.inf)))
    alarms: dict[str, list[np.ndarray]] = {name: [] for name in heard.keywords}
    samples = 0
    for number, path in enumerate(tqdm(background, "background", unit="file", disable=None)):
        stream = read(path)
        samples += len(stream)
        for name, (times, scores) in heard(noise(stream, len(clips) + number)).items():
            alarms[name].append(merge_events(times, scores, refractory_s=REFRACTORY_S)[1])
    return Spotted(
        {name: np.array(scores) for name, scores in found.items()},
        {name: np.concatenate(scores) for name, scores in alarms.items()},
        samples / SAMPLE_RATE_HZ / 3600,
        heard.cpu_seconds / (heard.samples / SAMPLE_RATE_HZ / 3600),
    )


class _Heard:
    """The engine, with what it took."""

    def __init__(self, engine: Engine, keywords: Iterable[str]):
        self.engine, self.keywords = engine, tuple(keywords)
        self.cpu_seconds, self.samples = 0.0, 0

    def __call__(self, samples: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        before = time.process_time()
        told = self.engine(samples)
        self.cpu_seconds += time.process_time() - before
        self.samples += len(samples)
        if missing := [name for name in self.keywords if name not in told]:
            raise DataError(
                f"The engine tells nothing of {missing[0]!r}. Expected: scores of every keyword "
                f"that is spoken. Received: {', '.join(sorted(told)) or 'none'}. Enrol it."
            )
        return {name: tuple(map(np.asarray, told[name])) for name in self.keywords}


def _lead(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`LEAD_S` seconds of a recording, which is repeated where it is shorter."""
    length = round(LEAD_S * SAMPLE_RATE_HZ)
    speech = np.resize(speech, max(length, len(speech)))
    first = int(rng.integers(len(speech) - length + 1))
    return speech[first : first + length]


def _after(lead: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """The clip after the lead, which is brought to the clip's level."""
    power, wanted = float(np.mean(np.square(lead))), float(np.mean(np.square(clip)))
    if power >= SILENT_POWER:
        lead = lead * np.float32(np.sqrt(wanted / power))
    return np.concatenate([lead, clip])
