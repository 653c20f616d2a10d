"""Thresholds from background: how often a keyword is heard where nobody says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adml.errors import DataError, UsageError
from adml.metrics.detection import REFRACTORY_S, merge_events, poisson_interval
from adml.spotting.engine import SpotterEngine
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.scoring import LOWEST_SCORE
from adml.spotting.spotter import KeywordSpotter


@dataclass(frozen=True)
class Background:
    """The events of each keyword in background, from which every threshold follows.

    Args:
        names: of K keywords.
        events: the score of each event, falling, for each keyword.
        seconds: of background.
        recordings: how many.
        content: sha256 over the samples.
    """

    names: tuple[str, ...]
    events: tuple[np.ndarray, ...]
    seconds: float
    recordings: int
    content: str

    def thresholds(self, false_alarms_per_hour: float) -> dict[str, tuple[float, dict]]:
        """The lowest threshold of each keyword that keeps its false alarms within a rate.

        Args:
            false_alarms_per_hour: as for `check_rate`.

        Returns:
            By name: the threshold, and where it comes from: hours, the events at or above it, the
            exact Poisson interval of their rate, and the content of the background.

        Raises:
            UsageError: the rate is wrong.
            DataError: the background is so short that nothing in it could be compared.
        """
        check_rate(false_alarms_per_hour)
        if not all(map(len, self.events)):
            raise DataError(
                "The background is too short to calibrate on. Expected: an hour or more. Received: "
                f"{self.seconds:.2f} s. Record more, or leave --background out."
            )
        hours = self.seconds / 3600
        allowed = int(np.floor(false_alarms_per_hour * hours + 5e-7))
        found = {}
        for name, events in zip(self.names, self.events, strict=True):
            # Scores are float32; a threshold is above an event only if it is in float32.
            over = events[allowed] if allowed < len(events) else np.float32(LOWEST_SCORE)
            threshold = float(np.nextafter(np.float32(over), np.float32(2.0)))
            count = int(np.count_nonzero(events >= threshold))
            low, high = poisson_interval(count)
            found[name] = threshold, {
                "false_alarms_per_hour": false_alarms_per_hour,
                "hours": round(hours, 4),
                "recordings": self.recordings,
                "events": count,
                "interval_per_hour": [round(low / hours, 4), round(high / hours, 4)],
                "content": self.content,
            }
        return found


def check_rate(false_alarms_per_hour: float) -> None:
    """Refuse a rate of false alarms that no threshold can have.

    Raises:
        UsageError: not above 0, or more than the detections that there may be in an hour.
    """
    most = 3600 / REFRACTORY_S
    if not 0 < false_alarms_per_hour <= most:
        raise UsageError(
            f"The rate of false alarms is wrong. Expected: above 0 an hour, at most {most:g}. "
            f"Received: {false_alarms_per_hour:g}."
        )


def listen_to_background(
    spotter: KeywordSpotter, keywords: KeywordFile, recordings: Iterable[np.ndarray]
) -> Background:
    """Hear recordings in which no keyword is said.

    Args:
        spotter: the model of the keywords.
        keywords: to be calibrated.
        recordings: float32 [T] each, at the model's rate; each is a stream of its own.

    Raises:
        UsageError: the keywords are of another model.
        DataError: there is no recording.
    """
    engine = SpotterEngine(spotter, keywords)
    found: dict[str, list[np.ndarray]] = {k.name: [] for k in keywords.keywords}
    digest, samples, count = hashlib.sha256(), 0, 0
    for recording in recordings:
        for name, (times_s, scores) in engine(recording).items():
            if len(times_s):
                found[name].append(merge_events(times_s, scores, refractory_s=REFRACTORY_S)[1])
        digest.update(np.ascontiguousarray(recording, np.float32).tobytes())
        samples, count = samples + len(recording), count + 1
    if not samples:
        raise DataError(
            "There is no background to calibrate on. Expected: recordings in which no keyword is "
            "said, an hour or more. Received: none."
        )
    events = tuple(np.sort(np.concatenate([*of, []]))[::-1] for of in found.values())
    events = tuple(scores.astype(np.float32) for scores in events)
    seconds = samples / spotter.sample_rate_hz
    return Background(tuple(found), events, seconds, count, digest.hexdigest())
