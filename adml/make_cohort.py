"""The cohort of a model: heard, and fitted with words that nobody says."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.sets import open_recordings, read_clips
from adml.errors import DataError, TextError
from adml.experiment import default_cache
from adml.spotting.calibration import listen_to_background
from adml.spotting.cohort import COHORT, Cohort, hear_cohort
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.spotter import KeywordSpotter, find_export
from adml.text.dictionary import load_dictionary

logger = logging.getLogger(__name__)

FEWEST_PHONES = 4
"""Of the words that the cohort is fitted with, chosen."""

PIECE_S = 5.0


def make_cohort(
    model: Path, voices: Path, background: Path, *, words: int = 200, minutes: float = 3.0,
    seed: int = 0, cache: Path | None = None,
) -> tuple[Path, Cohort]:  # fmt: skip
    """Make the cohort of an export and write it into its folder.

    Args:
        model: run folder or export folder.
        voices: a set of speech, of which `minutes` are heard in pieces of `PIECE_S`.
        background: a set of other speech, for the false alarms of words that are not said in it.
        words: how many, drawn from the dictionary.
        minutes: of speech in the cohort.
        seed: of the draws.
        cache: folder for decoded speech.

    Returns:
        The path of the file, and the cohort as it is read from there.

    Raises:
        UsageError: there is no export.
        DataError: a set is missing, or there is too little of something.
    """
    spotter, rng = KeywordSpotter.load(model), np.random.default_rng(seed)
    decoded = (cache or default_cache()) / "pcm"
    cohort = hear_cohort(spotter, _pieces(voices, minutes, rng, decoded))
    spoken = read_clips(background)
    said = {word for text in spoken.word for word in text.split()}
    keywords = KeywordFile(spotter.model, tuple(_draw_words(spotter, said, words, rng)))
    store = open_recordings(list(spoken.path), decoded)
    logger.info("%d words, %.2f h of background", words, store.seconds / 3600)
    heard = listen_to_background(spotter, keywords, (store.read(path) for path in store.paths))
    levels = cohort.levels(keywords, spotter.hearing().places.lengths)
    path = find_export(model) / COHORT
    cohort.fitted(levels, heard).write(path)
    return path, Cohort.read(path)


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
    spotter: KeywordSpotter, said: set[str], count: int, rng: np.random.Generator
) -> list[Keyword]:
    """Words of the dictionary that are not said and can be enrolled."""
    words, found = load_dictionary().words, []
    for place in rng.permutation(len(words)):
        if len(found) == count:
            break
        if words[place] not in said:
            try:
                found.append(enrol(spotter, words[place], fewest_phones=FEWEST_PHONES))
            except TextError:
                continue
    return found
