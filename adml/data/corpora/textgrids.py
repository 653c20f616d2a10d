"""Word times in the TextGrids that the Montreal Forced Aligner writes."""

from __future__ import annotations

from pathlib import Path

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from adml.data.corpora.recording import Word
from adml.errors import DataError

SILENCES = frozenset(("", "sil", "sp", "<eps>", "<sil>", "<silence>"))
"""Labels of intervals in which nothing is said; "silence" is a word that is."""

UNKNOWN = frozenset(("<unk>", "spn", "[bracketed]", "[unk]"))
"""Labels of what is said and was not known to the aligner."""

_GAP_S = 0.01
"""A tier of intervals is without gaps up to its end, but for rounding."""


def spoken_words(intervals: list[tuple[str, str, str]]) -> tuple[Word, ...]:
    """Words among intervals (label, start, end), counted; a word not known is kept as a fault."""
    spoken = [item for item in intervals if item[0].strip().lower() not in SILENCES]
    return tuple(
        Word(
            label, start, end, place,
            fault="word was not known to the aligner" if label.strip().lower() in UNKNOWN else "",
        )
        for place, (label, start, end) in enumerate(spoken)
    )  # fmt: skip


def read_textgrid(path: Path) -> tuple[Word, ...]:
    """The words of the tier `words`, or of the one whose name ends in it.

    Raises:
        DataError: no TextGrid that can be read, one that is cut short, or none with one tier of
            words.
    """
    try:
        grid = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=True, reportingMode="silence"
        )
        names = [name for name in grid.tierNames if _is_words(name)]
        if len(names) != 1:
            raise DataError(
                f"{path} has {len(names)} tiers of words. Expected: one, called words. Received: "
                f"{', '.join(grid.tierNames)[:200]}."
            )
        tier = grid.getTier(names[0])
        told = [(e.label, repr(float(e.start)), repr(float(e.end))) for e in tier.entries]
    except (
        PraatioException, ValueError, LookupError, AttributeError, TypeError, RecursionError,
        OSError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path} cannot be read. Expected: a TextGrid. Received: "
            f"{type(error).__name__}: {str(error)[:200]}."
        ) from error
    end = told[-1][2] if told else "0"
    if float(end) < tier.maxTimestamp - _GAP_S:
        raise DataError(
            f"{path} is cut short. Expected: intervals up to its end at {tier.maxTimestamp} s. "
            f"Received: the last ends at {end} s. Copy it again, or align anew."
        )
    return spoken_words(told)


def _is_words(name: str) -> bool:
    return name.lower().split("-")[-1].strip() in ("word", "words")
