"""What a recording is heard as: scores, detections at any threshold, the phones of a keyword."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adml.audio.decoding import decode
from adml.audio.faults import audio_error
from adml.errors import TextError, UsageError
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import Keyword
from adml.spotting.phones import allow_voiced
from adml.spotting.scoring import LOWEST_SCORE, Detection, Events, Scorer, Scores
from adml.spotting.spotter import KeywordSpotter
from adml.text.phonemes import PHONES, to_classes

LONGEST_S = 600
"""A page is for looking at; longer recordings are for `adml detect`."""

MOST_KEYWORDS = 12

_MARGIN_FRAMES = 15
_NEVER = -1e9


class Spelling(NamedTuple):
    """A keyword's phones against the frames around the place where it scores best.

    `symbols` its L phonemes; `log_probabilities` float32 [L + 1, F], the last row of no phone;
    `way` (frame, phoneme) of the best way through them, voiced stops for those without voice
    included, frames counted in the excerpt; `start_s`,
    `frame_s` where the excerpt begins and how long a frame is; `score` there.
    """

    symbols: tuple[str, ...]
    log_probabilities: np.ndarray
    way: tuple[tuple[int, int], ...]
    start_s: float
    frame_s: float
    score: float


@dataclass(frozen=True)
class Listened:
    """A recording that was heard.

    Args:
        samples: float32 [T].
        sample_rate_hz: their rate.
        frame_s: seconds of a frame.
        keywords: K of them.
        blocks: scores of each block, and the seconds that were heard for it.
        phones: float32 [F, V + 1], log-probabilities; None where the model tells none.
    """

    samples: np.ndarray
    sample_rate_hz: int
    frame_s: float
    keywords: tuple[Keyword, ...]
    blocks: tuple[tuple[Scores, float], ...]
    phones: np.ndarray | None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the keywords."""
        return tuple(keyword.name for keyword in self.keywords)

    def curves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times [E] in seconds, scores [E, K], and starts [E, K] of the best spans that end there.

        A score is NaN where no span has a length that the keyword may have.
        """
        told = [scores for scores, _ in self.blocks if len(scores.ends)]
        if not told:
            nothing = np.zeros((0, len(self.keywords)))
            return np.zeros(0), nothing, nothing
        ends, scores, starts = (np.concatenate(parts) for parts in zip(*told, strict=True))
        scores = np.where(scores > LOWEST_SCORE, scores, np.nan)
        return ends * self.frame_s, scores, starts * self.frame_s

    def detections(self, threshold: float) -> list[Detection]:
        """What is detected with one threshold for all keywords, as `adml detect` tells it."""
        events = Events(self.names, [threshold] * len(self.names), frame_s=self.frame_s)
        return [found for scores, told_s in self.blocks for found in events.detect(scores, told_s)]

    def spelling(self, name: str) -> Spelling | None:
        """The phones of a keyword where it scores best; None where there are none to show."""
        times_s, scores, starts_s = self.curves()
        if self.phones is None or name not in self.names:
            return None
        number = self.names.index(name)
        if np.isnan(scores[:, number]).all():
            return None
        best = int(np.nanargmax(scores[:, number]))
        first = round(starts_s[best, number] / self.frame_s) - _MARGIN_FRAMES
        last = round(times_s[best] / self.frame_s) + _MARGIN_FRAMES
        first, last = max(0, first), min(len(self.phones), last)
        excerpt = self.phones[first:last]
        symbols = self.keywords[number].pronunciations[0]
        classes = to_classes(symbols)
        return Spelling(
            symbols,
            excerpt[:, [*classes, -1]].T,
            best_way(allow_voiced(excerpt, PHONES), classes),
            first * self.frame_s,
            self.frame_s,
            float(scores[best, number]),
        )


def enrol_lines(spotter: KeywordSpotter, lines: str) -> tuple[list[Keyword], list[str]]:
    """Make keywords of lines of text.

    Args:
        spotter: the model.
        lines: a keyword a line; empty ones and repetitions do not count.

    Returns:
        The keywords, and why others were refused.

    Raises:
        UsageError: there is none, or too many.
    """
    texts = list(dict.fromkeys(" ".join(line.split()) for line in lines.splitlines()))
    texts = [text for text in texts if text]
    if not 1 <= len(texts) <= MOST_KEYWORDS:
        raise UsageError(
            f"Type keywords, one a line. Expected: 1 to {MOST_KEYWORDS}. Received: {len(texts)}."
        )
    made, refused = [], []
    for text in texts:
        try:
            made.append(enrol(spotter, text))
        except TextError as error:
            refused.append(str(error))
    return made, refused


def read(path: str | Path, sample_rate_hz: int) -> np.ndarray:
    """Decode a recording.

    Raises:
        AudioError: it cannot be used, or is too long; the message names it.
    """
    samples = decode(path, sample_rate_hz=sample_rate_hz, allow_silence=True)
    seconds = len(samples) / sample_rate_hz
    if seconds > LONGEST_S:
        expected, received = f"at most {LONGEST_S} s", f"{seconds:.0f} s"
        advice = "Cut it, or hear it by `adml detect`."
        raise audio_error(str(path), "is too long for this page", expected, received, advice)
    return samples


def listen(spotter: KeywordSpotter, keywords: Sequence[Keyword], samples: np.ndarray) -> Listened:
    """Hear a recording from its beginning to its end.

    Args:
        spotter: the model.
        keywords: enrolled with it.
        samples: float32 [T] at its rate.

    Raises:
        UsageError: the model cannot hear running audio.
    """
    hearing = spotter.hearing()
    scorer, blocks, phones = Scorer(keywords, hearing.places.lengths), [], []
    for part in (hearing.push(samples), hearing.close()):
        for heard in part:
            blocks.append((scorer.score(heard), heard.samples / spotter.sample_rate_hz))
            phones.append(heard.phones)
    known = phones and all(part is not None for part in phones)
    return Listened(
        samples,
        spotter.sample_rate_hz,
        hearing.shift / spotter.sample_rate_hz,
        tuple(keywords),
        tuple(blocks),
        np.concatenate(phones) if known else None,
    )


def best_way(phones: np.ndarray, classes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The way through phones in their order that costs least, wherever it begins and ends.

    The costs are those of `adml.spotting.phones.PhonePaths`; here the way itself is kept.

    Args:
        phones: float32 [F, V + 1], log-probabilities, the blank last.
        classes: [L] of the phones.

    Returns:
        (frame, place of the phone) of each frame that is no blank.
    """
    states = [-1] * (2 * len(classes) - 1)
    states[::2] = classes
    costs = (phones - phones.max(axis=1, keepdims=True))[:, states].astype(np.float64)
    best, steps = np.full(len(states), _NEVER), np.zeros(costs.shape, np.int64)
    ends = np.full(len(costs), _NEVER)
    skips = [s > 1 and s % 2 == 0 and states[s] != states[s - 2] for s in range(len(states))]
    for frame, cost in enumerate(costs):
        before = np.concatenate([[0.0], best[:-1]])
        skipped = np.where(skips, np.concatenate([[_NEVER] * 2, best])[: len(best)], _NEVER)
        ways = np.stack([best, before, skipped])
        steps[frame] = ways.argmax(axis=0)
        best = np.maximum(ways.max(axis=0) + cost, _NEVER)
        ends[frame] = best[-1]
    if ends.max() <= _NEVER / 2:
        return ()
    way, state = [], len(states) - 1
    for frame in range(int(ends.argmax()), -1, -1):
        if state % 2 == 0:
            way.append((frame, state // 2))
        state -= int(steps[frame, state])
        if state < 0:
            break
    return tuple(reversed(way))


def rows(found: Iterable[Detection]) -> list[list]:
    """Detections as a table: keyword, from, to, score."""
    return [
        [one.keyword, round(one.start_s, 2), round(one.end_s, 2), round(one.score, 3)]
        for one in found
    ]
