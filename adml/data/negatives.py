"""What trial lists are drawn from: texts by their sound, and random or similar-sounding others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from adml.data.trial_list import Clip
from adml.errors import DataError, TextError, UsageError
from adml.text.distance import nearest
from adml.text.g2p import G2P
from adml.text.phonemes import strip_stress

logger = logging.getLogger(__name__)

Pronounce = Callable[[str], Sequence[str]]
"""text -> phonemes, with or without " " between words."""

Sounds = Mapping[str, tuple[str, ...]]
"""Stress-stripped phones of each text that has a pronunciation."""


def pronunciations(
    texts: Iterable[str], g2p: Pronounce | None, name: str
) -> Sounds:
    """Stress-stripped phones by text; texts without a pronunciation are left out and counted."""
    g2p = g2p or G2P()
    found, problems = {}, []
    for text in sorted(set(texts)):
        try:
            phones = tuple(strip_stress(symbol) for symbol in g2p(text) if symbol != " ")
        except TextError as error:
            problems.append(str(error))
            continue
        if phones:
            found[text] = phones
    if problems:
        logger.warning("%s: %d texts set aside. First: %s", name, len(problems), problems[0])
    return found


def pronounceable(
    clips: Sequence[Clip], g2p: Pronounce | None, name: str, more_texts: Iterable[str] = ()
) -> tuple[list[Clip], list[str], np.ndarray]:
    """The clips that can be used, all texts in order, and a number for each text's sound."""
    pronounced = pronunciations([*(clip.text for clip in clips), *more_texts], g2p, name)
    clips = [clip for clip in clips if clip.text in pronounced]
    texts = sorted(pronounced)
    numbers = {sound: number for number, sound in enumerate(sorted(set(pronounced.values())))}
    require_pool(name, clips, numbers)
    return clips, texts, np.array([numbers[pronounced[text]] for text in texts])


def require_pool(name: str, clips: Sequence[Clip], sounds: Sequence) -> None:
    """Raise DataError unless there are clips and at least two different sounds."""
    if not clips:
        raise DataError(
            f"No words are left for the trial list {name!r}. Expected: at least one clip whose "
            "text has a pronunciation. Check the filters and the texts."
        )
    if len(sounds) < 2:
        raise DataError(
            f"The trial list {name!r} cannot have negatives: all its texts sound alike. Expected: "
            f"two texts or more. Received: {clips[0].text!r} only. Give more speech or texts."
        )


def require_choice(name: str, value: str, choices: tuple[str, str]) -> None:
    """Raise UsageError unless the value is one of the two."""
    if value not in choices:
        expected = " or ".join(map(repr, choices))
        raise UsageError(f"Unknown {name}. Expected: {expected}. Received: {value!r}.")


def require_counts(**counts: int) -> None:
    """Raise UsageError unless every count is 1 or more."""
    for key, count in counts.items():
        if count < 1:
            raise UsageError(f"{key} is too small. Expected: 1 or more. Received: {count}.")


def tell_shortage(name: str, asked: int, negatives: Iterable[Sequence]) -> None:
    """Warn, once for a list, where the pool holds fewer texts for a clip than were asked for."""
    counts = [len(row) for row in negatives]
    short = [count for count in counts if count < asked]
    if short:
        logger.warning(
            "%s: too few texts to draw from: %d of %d clips have fewer negatives than asked for. "
            "Expected: %d each. Received: %d to %d.",
            name, len(short), len(counts), asked, min(counts), max(counts),
        )  # fmt: skip


def draw(rng: np.random.Generator, among: np.ndarray, count: int) -> np.ndarray:
    """`count` of the given numbers without repetition, or all of them where there are fewer."""
    return rng.choice(among, min(count, len(among)), replace=False)


def equal_shares(rng: np.random.Generator, lengths: np.ndarray, count: int) -> np.ndarray:
    """Rows [<= count], as many of each length as possible, ordered by length."""
    rows = [rng.permutation(np.flatnonzero(lengths == length)) for length in np.unique(lengths)]
    taken, left = [], count
    for place, some in sorted(enumerate(rows), key=lambda item: len(item[1])):
        share = min(len(some), left // (len(rows) - len(taken)))
        taken.append((place, some[:share]))
        left -= share
    shares = [some for _, some in sorted(taken, key=lambda item: item[0])]
    return np.concatenate(shares) if shares else np.array([], np.int64)


def random_texts(
    rng: np.random.Generator,
    clips: Sequence[Clip],
    pool: Sequence[str],
    sounds: Sounds,
    count: int,
) -> list[list[str]]:
    """For each clip, `count` random pool texts with as many words and another sound."""
    by_length = {}
    for text in pool:
        by_length.setdefault(len(text.split()), []).append(text)
    chosen = []
    for clip in clips:
        # One more than asked for: at most one text of the pool sounds like the clip.
        same_length = by_length.get(len(clip.text.split()), [])
        picks = rng.choice(len(same_length), min(count + 1, len(same_length)), replace=False)
        texts = [same_length[pick] for pick in picks]
        chosen.append([text for text in texts if sounds[text] != sounds[clip.text]][:count])
    return chosen


def near_texts(
    clips: Sequence[Clip], pool: Sequence[str], sounds: Sounds, count: int, workers: int
) -> list[list[str]]:
    """For each clip, the `count` pool texts at the least phone distance above 0."""
    queries = sorted({sounds[clip.text] for clip in clips})
    rows, _ = nearest(queries, [sounds[text] for text in pool], count, workers=workers)
    near = {sound: [pool[place] for place in row if place >= 0]
            for sound, row in zip(queries, rows, strict=True)}  # fmt: skip
    return [near[sounds[clip.text]] for clip in clips]
