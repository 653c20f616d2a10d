"""Thresholds without background of one's own: from speech as the model heard it before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adml.errors import DataError, UsageError
from adml.spotting.calibration import Background
from adml.spotting.cohort_file import (
    DAMAGED,
    forecast_of,
    read_arrays,
    streams_of,
    table_of,
    write_arrays,
)
from adml.spotting.forecast import Forecast
from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.scoring import LOWEST_SCORE, Scorer
from adml.spotting.spotter import KeywordSpotter, find_export

COHORT = "cohort.npz"
"""Name of the file in an export folder."""

RATES_PER_HOUR = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_BIN_FRAMES = 100
_LOWEST_PHONE = -20.0
_FEWEST_WORDS = 20


@dataclass(frozen=True)
class Table:
    """How far above a keyword's level in the cohort its thresholds lie, found with other words.

    Args:
        rates: [R] false alarms an hour, rising.
        heights: [R], in spreads above the mean, the median over words.
        low, high: [R], within which factors of the rate that was asked for nine words of ten came
            to lie, words that the heights were not taken from.
        words: how many.
        hours: of the background they were found in.
    """

    rates: np.ndarray
    heights: np.ndarray
    low: np.ndarray
    high: np.ndarray
    words: int
    hours: float


@dataclass(frozen=True)
class Cohort:
    """Some minutes of speech as a model hears it, small enough to go with it.

    A keyword's best score in each second of it has a mean and a spread. A threshold is so many
    spreads above the mean: a normalised score. How many, for a rate of false alarms, other words
    have told (`Table`).

    Args:
        heard: each stream as a whole.
        table: None where it was not fitted yet.
        forecast: of misses; None where there is none.
        model: hash of the model that heard it; empty where it is not known.
    """

    heard: tuple[Heard, ...]
    table: Table | None = None
    forecast: Forecast | None = None
    model: str = ""

    def levels(self, keywords: KeywordFile, lengths: Sequence[int]) -> np.ndarray:
        """Mean and spread of the best score in a second, float64 [K, 2].

        Args:
            keywords: of the cohort's model.
            lengths: of the spans, in frames.
        """
        best = []
        for heard in self.heard:
            told = Scorer(keywords.keywords, lengths).score(heard)
            edges = np.searchsorted(told.ends, np.arange(0, told.ends[-1] + 1, _BIN_FRAMES))
            best.append(np.maximum.reduceat(told.scores, np.unique(edges), axis=0))
        values = np.concatenate(best).astype(np.float64)
        values = np.where(values > LOWEST_SCORE, values, np.nan)
        return np.stack([np.nanmean(values, axis=0), np.nanstd(values, axis=0)], axis=1)

    def thresholds(
        self, spotter: KeywordSpotter, keywords: KeywordFile, false_alarms_per_hour: float
    ) -> dict[str, tuple[float, dict]]:
        """Thresholds for a rate of false alarms, and what is to be expected of them.

        Args:
            spotter: the model of the cohort and the keywords.
            keywords: enrolled with it.
            false_alarms_per_hour: within the rates of the table.

        Returns:
            By name: the threshold, and where it comes from: the rate, and the rates between which
            nine words of ten came to lie.

        Raises:
            UsageError: the keywords or the cohort are of another model, or the rate is not in the
                table.
        """
        keywords.require_model(spotter.model)
        if self.model not in ("", spotter.model):
            raise UsageError(
                f"The cohort is of another model. Expected: {spotter.model[:12]}. Received: "
                f"{self.model[:12]}. Make one for this model by `adml cohort`."
            )
        table = self._require_table()
        if not table.rates[0] <= false_alarms_per_hour <= table.rates[-1]:
            raise UsageError(
                "The cohort does not tell this rate of false alarms. Expected: "
                f"{table.rates[0]:g} to {table.rates[-1]:g} an hour. Received: "
                f"{false_alarms_per_hour:g}. Give background of your own by --background."
            )
        place = np.log(false_alarms_per_hour), np.log(table.rates)
        height, low, high = (
            float(np.interp(*place, column)) for column in (table.heights, table.low, table.high)
        )
        levels = self.levels(keywords, spotter.hearing().places.lengths)
        told = {
            "false_alarms_per_hour": false_alarms_per_hour,
            "expected_per_hour": [
                round(false_alarms_per_hour * low, 4), round(false_alarms_per_hour * high, 4)
            ],
            "cohort": self.content,
            "words": table.words,
            "hours": round(table.hours, 4),
        }  # fmt: skip
        return {
            keyword.name: (float(mean + height * spread), dict(told))
            for keyword, (mean, spread) in zip(keywords.keywords, levels, strict=True)
        }

    @property
    def content(self) -> str:
        """sha256 over what was heard."""
        digest = hashlib.sha256()
        for heard in self.heard:
            digest.update(np.ascontiguousarray(heard.embeddings).tobytes())
        return digest.hexdigest()

    def fitted(self, levels: np.ndarray, background: Background) -> Cohort:
        """The cohort with a table, from words whose alarms in other speech were counted.

        Args:
            levels: [W, 2] of the words in the cohort.
            background: what was heard of these words elsewhere, in their order.

        Raises:
            DataError: there are too few words, or too little background for the lowest rate.
        """
        hours, events = background.seconds / 3600, background.events
        if len(events) < _FEWEST_WORDS or hours * RATES_PER_HOUR[0] < 1:
            raise DataError(
                f"A cohort needs more to be fitted to. Expected: at least {_FEWEST_WORDS} words "
                f"and {1 / RATES_PER_HOUR[0]:g} hours of background. Received: {len(events)} "
                f"words, {hours:.2f} hours."
            )
        rows = [_fit(rate, hours, levels, events) for rate in RATES_PER_HOUR]
        columns = np.array(rows).T
        table = Table(np.array(RATES_PER_HOUR), *columns, len(events), hours)
        return replace(self, table=table)

    def write(self, path: str | Path) -> None:
        """Write a file, whole or not at all; embeddings are rounded to 8 bits, phones to 16.

        Raises:
            UsageError: it was not fitted, or cannot be written.
        """
        table = self._require_table()
        arrays = {"model": np.frombuffer(bytes.fromhex(self.model), np.uint8)}
        if self.forecast:
            foretold = [self.forecast.weights, self.forecast.error[:, np.newaxis]]
            arrays["forecast"] = np.concatenate(foretold, axis=1)
            arrays["forecast_words"] = np.array(self.forecast.words)
        for number, heard in enumerate(self.heard):
            scale = np.abs(heard.embeddings).max(axis=1, keepdims=True) / 127
            arrays |= {
                f"places_{number}": np.stack([heard.starts, heard.ends]).astype(np.int32),
                f"embeddings_{number}": np.rint(heard.embeddings / scale).astype(np.int8),
            }
            if heard.phones is not None:
                arrays[f"phones_{number}"] = heard.phones.clip(_LOWEST_PHONE).astype(np.float16)
        columns = np.stack([table.rates, table.heights, table.low, table.high])
        size = np.array([table.words, table.hours])
        write_arrays(path, {"table": columns, "size": size} | arrays)

    @classmethod
    def read(cls, path: str | Path) -> Cohort:
        """Read a file; nothing in it is run.

        Raises:
            DataError: it is missing, damaged, or larger than a cohort.
        """
        try:
            arrays = read_arrays(Path(path))
            model = arrays.get("model", np.zeros(0, np.uint8)).astype(np.uint8).tobytes().hex()
            return cls(streams_of(arrays), Table(*table_of(arrays)), forecast_of(arrays), model)
        except DAMAGED as error:
            received = str(error)[:200] or type(error).__name__
            raise DataError(
                f"{path} is no cohort. Expected: a file of `adml cohort`. Received: {received}. "
                "Make it again, or give background of your own by --background."
            ) from None

    def _require_table(self) -> Table:
        if self.table is None:
            raise UsageError("The cohort was not fitted. Expected: `fitted` before it is used.")
        return self.table


def read_cohort(model: str | Path | None = None) -> Cohort:
    """The cohort of a run folder or export folder, or of the weights in the package.

    Raises:
        UsageError: there is no export, or it has no cohort.
        DataError: it is damaged.
    """
    path = find_export(model) / COHORT
    if not path.is_file():
        raise UsageError(
            f"The export in {path.parent} has no cohort. Expected: {COHORT}. Give background of "
            "your own by --background, or make a cohort by `adml cohort`."
        )
    return Cohort.read(path)


def hear_cohort(spotter: KeywordSpotter, streams: Iterable[np.ndarray]) -> Cohort:
    """Hear the streams of a cohort.

    Args:
        spotter: the model.
        streams: float32 [T] each, at the model's rate, a few seconds of many voices.

    Raises:
        DataError: there is none in which there is anything to compare.
    """
    heard = []
    for samples in streams:
        hearing = spotter.hearing()
        blocks = [*hearing.push(samples), *hearing.close()]
        joined = Heard(
            *(np.concatenate([getattr(block, name) for block in blocks])
              for name in ("starts", "ends", "embeddings")),
            0,
            np.concatenate([block.phones for block in blocks])
            if blocks[0].phones is not None else None,
            len(samples),
        )  # fmt: skip
        if len(joined.ends):
            heard.append(joined)
    if not heard:
        raise DataError("There is no cohort. Expected: streams of a second or more. Received: none")
    return Cohort(tuple(heard), model=spotter.model)


def _fit(rate: float, hours: float, levels: np.ndarray, events) -> tuple[float, float, float]:
    """Height for a rate, and between which factors of it the words of the other half came."""
    allowed = int(np.floor(rate * hours + 5e-7))
    lowest = np.float32(LOWEST_SCORE)
    edge = np.array([of[allowed] if allowed < len(of) else lowest for of in events])
    heights = (edge - levels[:, 0]) / levels[:, 1]
    factors = []
    for half in (0, 1):
        height = np.median(heights[half::2])
        for place in range(1 - half, len(events), 2):
            threshold = levels[place, 0] + height * levels[place, 1]
            factors.append(np.count_nonzero(events[place] > threshold) / hours / rate)
    low, high = np.quantile(factors, [0.05, 0.95])
    return float(np.median(heights)), float(low), float(high)
