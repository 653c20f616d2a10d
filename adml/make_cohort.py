"""The cohort of a model: heard, and fitted with words that are said elsewhere and that are not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.sets import open_recordings, read_clips, read_words
from adml.data.words import WordTable
from adml.errors import DataError, TextError, UsageError
from adml.experiment import default_cache
from adml.spotting.advice import distance_to_others
from adml.spotting.calibration import Background
from adml.spotting.cohort import COHORT, Cohort, hear_cohort
from adml.spotting.cohort_file import MOST_MINUTES
from adml.spotting.enrolment import enrol
from adml.spotting.forecast import (
    FORECAST_PER_HOUR,
    Forecast,
    count_words,
    describe,
    fit_forecast,
)
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.spotter import KeywordSpotter, find_export
from adml.text.dictionary import load_dictionary

logger = logging.getLogger(__name__)

FEWEST_PHONES = 4
"""Of the words that the cohort is fitted with, chosen."""

FEWEST_UTTERANCES = 5
"""Of a word whose misses the forecast is fitted to, chosen."""

PIECE_S = 5.0


def make_cohort(
    model: Path, voices: Path, background: Path, *, words: int = 200, minutes: float = 3.0,
    seed: int = 0, cache: Path | None = None,
) -> tuple[Path, Cohort]:  # fmt: skip
    """Make the cohort of an export and write it into its folder.

    Args:
        model: run folder or export folder.
        voices: a set of speech, of which `minutes` are heard in pieces of `PIECE_S`.
        background: a set of other, aligned speech, in which false alarms and misses are counted.
        words: how many, drawn from the dictionary, that are not said there, and at most as many
            that are, `FEWEST_UTTERANCES` times or more.
        minutes: of speech in the cohort.
        seed: of the draws.
        cache: folder for decoded speech.

    Returns:
        The path of the file, and the cohort as it is read from there.

    Raises:
        UsageError: there is no export, or so many minutes are no cohort.
        DataError: a set is missing, or there is too little of something.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise UsageError(
            f"The cohort has a wrong length. Expected: above 0 to {MOST_MINUTES} minutes. "
            f"Received: {minutes:g}."
        )
    spotter, rng = KeywordSpotter.load(model), np.random.default_rng(seed)
    decoded = (cache or default_cache()) / "pcm"
    cohort = hear_cohort(spotter, _pieces(voices, minutes, rng, decoded))
    spoken, table = read_clips(background), read_words(background)
    said = {word for text in spoken.word for word in text.split()}
    unsaid = _draw_words(spotter, sorted(set(load_dictionary().words) - said), words, rng)
    texts, counts = np.unique(table.word, return_counts=True)
    often = _draw_words(spotter, texts[counts >= FEWEST_UTTERANCES].tolist(), words, rng)
    keywords = KeywordFile(spotter.model, (*unsaid, *often))
    store = open_recordings(list(spoken.path), decoded)
    logger.info("%d and %d words, %.2f h", len(unsaid), len(often), store.seconds / 3600)
    streams = _streams(store, table, {keyword.name for keyword in often})
    counted, found = count_words(spotter, keywords, streams)
    levels = cohort.levels(keywords, spotter.hearing().places.lengths)
    cohort = cohort.fitted(levels, counted)
    forecast = _forecast(spotter, cohort, keywords, counted, found)
    path = find_export(model) / COHORT
    replace(cohort, forecast=forecast).write(path)
    return path, Cohort.read(path)


def _streams(store, table: WordTable, names: set[str]) -> Iterator[tuple[np.ndarray, dict]]:
    """Each recording with the times of the words that are looked for."""
    places: dict[str, dict[str, list]] = {}
    for path, word, start_s, end_s in zip(
        table.path, table.word, table.start_s, table.end_s, strict=True
    ):
        if word in names:
            places.setdefault(path, {}).setdefault(word, []).append((start_s, end_s))
    for path in tqdm(store.paths, "background", unit="file", disable=None):
        yield store.read(path), places.get(path, {})


def _forecast(
    spotter: KeywordSpotter, cohort: Cohort, keywords: KeywordFile, counted: Background, found
) -> Forecast:
    """A forecast of misses, from the words that are said."""
    said = [place for place, scores in enumerate(found) if len(scores) >= FEWEST_UTTERANCES]
    by_cohort = [cohort.thresholds(spotter, keywords, rate) for rate in FORECAST_PER_HOUR]
    by_count = [counted.thresholds(rate) for rate in FORECAST_PER_HOUR]
    described, thresholds = [], []
    for place in said:
        name, spoken = keywords.keywords[place].name, keywords.keywords[place].pronunciations[0]
        distance = distance_to_others(spoken)
        described.append([describe(len(spoken), distance, at[name][0]) for at in by_cohort])
        thresholds.append([at[name][0] for at in by_count])
    return fit_forecast(np.array(described), np.array(thresholds), [found[at] for at in said])


def _pieces(voices: Path, minutes: float, rng: np.random.Generator, cache: Path):
    """Stretches of different recordings, each of its voice's turn, until there are enough."""
    table = read_clips(voices)
    store, wanted = open_recordings(list(table.path), cache), round(60 * minutes / PIECE_S)
    long = [path for path in rng.permutation(store.paths) if _seconds(store, path) >= PIECE_S]
    if len(long) < wanted:
        raise DataError(
            f"There is too little speech for a cohort in {voices}. Expected: {wanted} recordings "
            f"of {PIECE_S:g} s. Received: {len(long)}. Take fewer minutes, or another set."
        )
    speakers = dict(zip(table.path, table.speaker, strict=True))
    turns, order = {}, []
    for path in long:
        turns[speakers[path]] = turns.get(speakers[path], 0) + 1
        order.append((turns[speakers[path]], len(order), path))
    for _, _, path in sorted(order)[:wanted]:
        start_s = float(rng.uniform(0, _seconds(store, path) - PIECE_S))
        yield store.read(path, start_s, start_s + PIECE_S)


def _seconds(store, path: str) -> float:
    return float(store.lengths[store.code(path)]) / SAMPLE_RATE_HZ


def _draw_words(
    spotter: KeywordSpotter, words: list[str], count: int, rng: np.random.Generator
) -> list[Keyword]:
    """At most so many of the words, of those that can be enrolled."""
    found = []
    for place in rng.permutation(len(words)):
        if len(found) == count:
            break
        try:
            found.append(enrol(spotter, words[place], fewest_phones=FEWEST_PHONES))
        except TextError:
            continue
    return found
