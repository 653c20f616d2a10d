"""The project's own form: manifest.tsv and words.tsv, checked against the audio and copied."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.recording import WORD, Corpus, Item, Recording, Rejected, Word
from adml.data.corpora.tables import Line, RowIndex, TextTable

_LIST = "manifest.tsv"
_WORDS = "words.tsv"


def read_plain(source: Path, split: str) -> Iterator[Item]:
    """Recordings in the order of the manifest, each with its words.

    Args:
        source: folder of the lists.
        split: "all".

    Raises:
        DataError: manifest.tsv is not there, or a header lacks a column.
    """
    manifest = TextTable(source / _LIST).require("path", "text", "speaker")
    words = None
    if (source / _WORDS).is_file():
        table = TextTable(source / _WORDS).require("path", "word", "speaker", "start", "end")
        words = RowIndex(table, lambda values: values["path"])
    seen = set()
    for line in manifest:
        path = line.values.get("path", "")
        if line.fault or not path:
            yield Rejected(f"{_LIST}:{line.number}", line.fault or "no path")
            continue
        rows = sorted(words.rows(path), key=_place) if words and path not in seen else []
        seen.add(path)
        yield from _recording(source, line, rows)
    for line in words.odd if words else ():
        yield Rejected(f"{_WORDS}:{line.number}", line.fault, what=WORD)
    for path in words or ():
        if path not in seen:
            yield Rejected(path, "recording is not in manifest.tsv", what=WORD)


def _recording(source: Path, line: Line, rows: list[Line]) -> Iterator[Item]:
    values = line.values
    span = (values.get("speech_start"), values.get("speech_end"))
    yield Recording(
        source / values["path"],
        values["path"].removeprefix("audio/"),
        values["text"],
        values["speaker"],
        words=tuple(word_of(row.values, values["speaker"]) for row in rows),
        span=span if None not in span else None,
        duration=values.get("duration"),
    )


def _place(row: Line) -> tuple[int, float]:
    """Place of a row's word: as told, else by time, those without a time last."""
    index = word_of(row.values, "").index
    try:
        start_s = float(row.values["start"])
    except ValueError:
        start_s = math.inf
    return index, math.inf if math.isnan(start_s) else start_s


def word_of(row: dict[str, str], speaker: str) -> Word:
    """The word of a row of words.tsv, with a fault where it is not of the recording's speaker."""
    fault = "" if row["speaker"] == speaker else "speaker is not that of manifest.tsv"
    try:
        index = int(row.get("index", "-1"))
    except ValueError:
        index, fault = -1, "index is not a number"
    return Word(row["word"], row["start"], row["end"], index, row.get("confidence", "nan"), fault)


def told_columns(source: Path) -> frozenset[str]:
    """Which further columns the lists have."""
    told: set[str] = set()
    for name in (_LIST, _WORDS):
        if (source / name).is_file():
            told |= set(TextTable(source / name).columns)
    return frozenset(told & {"speech_start", "speech_end", "confidence"})


PLAIN = Corpus(
    name="plain",
    description="a set in this project's form, checked and copied",
    licence="that of the set",
    layout="manifest.tsv (path, text, speaker, and duration or speech_start and speech_end) and, "
    "where word times are known, words.tsv (path, word, speaker, start, end, index)",
    read=read_plain,
    needs_text=False,
    extra_columns=told_columns,
)
