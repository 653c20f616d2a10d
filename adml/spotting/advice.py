"""Is a keyword any good? Told before anybody speaks it, from its phones and from other words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from adml.errors import TextError, UsageError
from adml.spotting.cohort import Cohort
from adml.spotting.enrolment import enrol
from adml.spotting.forecast import FORECAST_PER_HOUR, describe
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.phones import FRAMES_PER_PHONE
from adml.spotting.spotter import KeywordSpotter
from adml.text.dictionary import load_dictionary
from adml.text.neighbours import neighbour_blocks
from adml.text.phonemes import to_classes

NEIGHBOURS = 8
PREFIXES = ("hey", "okay", "hello")
NEAR = 0.34
"""Distance below which a word may be taken for another, in edits per phone, chosen."""

VERDICTS = ((0.1, "good"), (0.25, "fair"), (1.01, "poor"))
"""Up to so many misses at one false alarm an hour, chosen."""


@dataclass(frozen=True)
class Advice:
    """What is to be expected of a keyword.

    Args:
        text: the keyword.
        pronunciation: phonemes.
        seconds: that it takes to say, about.
        neighbours: nearest words of the dictionary, and their distance in edits per phone.
        misses: share of utterances that are missed, by false alarms an hour.
        miss_error: how far such a forecast was off, on average, for other words.
        false_alarms: by rate asked for, between which rates nine words of ten come to lie where
            the threshold is set without background.
        verdict: good, fair or poor.
        reasons: in words.
        alternatives: other phrases and their misses at the first rate, the best first.
    """

    text: str
    pronunciation: tuple[str, ...]
    seconds: float
    neighbours: tuple[tuple[str, float], ...]
    misses: dict[str, float]
    miss_error: dict[str, float]
    false_alarms: dict[str, tuple[float, float]]
    verdict: str
    reasons: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict:
        """Plain values."""
        return asdict(self)


def advise(
    spotter: KeywordSpotter,
    cohort: Cohort,
    text: str,
    *,
    pronunciation: Sequence[str] | None = None,
) -> Advice:
    """Tell what is to be expected of a keyword.

    Args:
        spotter: the model.
        cohort: of the model, with a forecast.
        text: a word or phrase.
        pronunciation: phoneme symbols in the place of those that the text would get.

    Raises:
        TextError: it cannot be pronounced, or is too short or too long to be found.
        UsageError: the cohort foretells nothing.
    """
    if cohort.forecast is None:
        raise UsageError(
            "The cohort of this model foretells no misses. Expected: one made with speech in which "
            "words are said several times. Make it again by `adml cohort`."
        )
    asked = enrol(spotter, text, pronunciations=[] if pronunciation is None else [pronunciation])
    others = _alternatives(spotter, asked, told=pronunciation is not None)
    keywords = KeywordFile(spotter.model, (asked, *others))
    misses = forecast_misses(spotter, cohort, keywords)
    near = nearest_words(asked.pronunciations[0])
    alike = words_said_alike(asked.pronunciations[0], asked.name)
    rates = [f"{rate:g}" for rate in FORECAST_PER_HOUR]
    expected = {
        rate: next(iter(cohort.thresholds(spotter, keywords, float(rate)).values()))[1]
        for rate in rates
    }
    share = float(misses[0, 0])
    better = sorted(
        ((other.name, float(row[0])) for other, row in zip(others, misses[1:], strict=True)),
        key=lambda pair: pair[1],
    )
    phones = len(asked.pronunciations[0])
    guessed = spotter.guessed(text) if pronunciation is None else ()
    return Advice(
        text=asked.name,
        pronunciation=asked.pronunciations[0],
        seconds=round(phones * FRAMES_PER_PHONE / 100, 2),
        neighbours=near,
        misses=dict(zip(rates, map(float, misses[0]), strict=True)),
        miss_error=dict(zip(rates, map(float, cohort.forecast.error), strict=True)),
        false_alarms={rate: tuple(told["expected_per_hour"]) for rate, told in expected.items()},
        verdict=next(word for limit, word in VERDICTS if share < limit),
        reasons=tuple(_reasons(phones, near, alike, guessed)),
        alternatives=tuple(pair for pair in better if pair[1] < share),
    )


def forecast_misses(
    spotter: KeywordSpotter, cohort: Cohort, keywords: KeywordFile
) -> np.ndarray:
    """Share of utterances that keywords will miss, float64 [K, R].

    Args:
        spotter: the model.
        cohort: of the model, with a forecast.
        keywords: with a pronunciation each.
    """
    thresholds = [cohort.thresholds(spotter, keywords, rate) for rate in FORECAST_PER_HOUR]
    rows = []
    for keyword in keywords.keywords:
        spoken = keyword.pronunciations[0]
        distance = distance_to_others(spoken)
        told = [describe(len(spoken), distance, at[keyword.name][0]) for at in thresholds]
        rows.append(cohort.forecast.misses(np.array(told)))
    return np.stack(rows)


def nearest_words(symbols: Sequence[str], count: int = NEIGHBOURS) -> tuple[tuple[str, float], ...]:
    """The nearest words of the dictionary that are said otherwise, nearest first.

    Args:
        symbols: a pronunciation.
        count: how many.
    """
    words, pool = _dictionary()
    more = count + 16  # those that are said alike do not count
    (places, distances), *_ = neighbour_blocks([symbols], pool, more)
    pairs = zip(places[0].tolist(), distances[0].tolist(), strict=True)
    return tuple((words[place], round(d, 3)) for place, d in pairs if place >= 0 and d > 0)[:count]


def words_said_alike(symbols: Sequence[str], text: str) -> tuple[str, ...]:
    """The words of the dictionary that nobody can hear apart from a keyword.

    Args:
        symbols: its pronunciation.
        text: how it is written, which is left out.
    """
    words, pool = _dictionary()
    asked = to_classes(symbols)
    return tuple(word for word, said in zip(words, pool, strict=True)
                 if len(said) == len(asked) and to_classes(said) == asked
                 and word != text.lower())  # fmt: skip


def distance_to_others(symbols: Sequence[str]) -> float:
    """Distance to the nearest word that is said otherwise, in edits per phone."""
    return nearest_words(symbols, 1)[0][1]


@lru_cache(maxsize=1)
def _dictionary() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    dictionary = load_dictionary()
    return dictionary.words, [dictionary.look_up(word) for word in dictionary.words]


def _alternatives(spotter: KeywordSpotter, asked: Keyword, *, told: bool) -> list[Keyword]:
    """The keyword after a word of address, or another one, where that is not too long.

    Where it was told how the keyword is said, an address within it cannot be taken out.
    """
    first, _, rest = asked.name.partition(" ")
    addressed = rest and first.lower() in PREFIXES
    if told and addressed:
        return []
    called = rest if addressed else asked.name
    found = []
    for prefix in PREFIXES:
        if prefix != first.lower():
            said = [[*spotter.pronounce(prefix), *asked.pronunciations[0]]] if told else []
            try:
                found.append(enrol(spotter, f"{prefix} {called}", pronunciations=said))
            except TextError:
                continue
    return found


def _reasons(
    phones: int, near: Sequence[tuple[str, float]], alike: Sequence[str], guessed: Sequence[str]
) -> list[str]:
    found = []
    if guessed:
        found.append(f"How {', '.join(guessed)} is said was guessed by its spelling.")
    if alike:
        found.append(f"It sounds just as {', '.join(alike[:4])}, which will be detected too.")
    if phones < 5:
        found.append(f"It has {phones} phonemes; six or more are found better.")
    if taken := [word for word, distance in near if distance < NEAR]:
        found.append(f"It may be taken for {', '.join(taken[:4])}.")
    elif not alike:
        found.append("No word of the dictionary sounds much like it.")
    return found
