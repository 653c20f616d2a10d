"""What a set in the project's form holds: words, speakers, hours, lengths, frequencies."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adml.data.corpora.tables import TextTable
from adml.data.rows import time_fault
from adml.errors import DataError

LENGTHS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
FREQUENCIES = (1, 2, 5, 10, 20, 50, 100, 1000)


@dataclass(frozen=True)
class Statistics:
    """Numbers of a set.

    `hours` are of speech where only its start and end are known. `lengths` holds the number of
    recordings up to each of `LENGTHS_S` seconds, those above last; `frequencies` the number of
    words said up to each of `FREQUENCIES` times, those above last. `timed` tells whether words are
    counted in words.tsv or, without it, in the texts.
    """

    recordings: int
    hours: float
    speakers: int
    tokens: int
    words: int
    timed: bool
    odd_rows: int
    lengths: tuple[int, ...]
    frequencies: tuple[int, ...]
    most_frequent: tuple[tuple[str, int], ...]


def statistics(folder: Path) -> Statistics:
    """Count a set without reading its audio.

    Args:
        folder: of manifest.tsv and, where there is one, words.tsv.

    Raises:
        DataError: manifest.tsv is missing, lacks columns, or holds no recording.
    """
    manifest = TextTable(folder / "manifest.tsv").require("path", "text", "speaker")
    timed = (folder / "words.tsv").is_file()
    seconds, speakers, counts = 0.0, set(), Counter()
    lengths, recordings, odd = [0] * (len(LENGTHS_S) + 1), 0, 0
    for line in manifest:
        length_s = math.nan if line.fault else _length(line.values)
        if math.isnan(length_s):
            odd += 1
            continue
        recordings += 1
        seconds += length_s
        lengths[bisect.bisect_left(LENGTHS_S, length_s)] += 1
        speakers.add(line.values["speaker"])
        if not timed:
            counts.update(line.values["text"].lower().split())
    if not recordings:
        raise DataError(f"{manifest.path} holds no recording with a length. Expected: one a row.")
    for line in TextTable(folder / "words.tsv").require("path", "word") if timed else ():
        odd += bool(line.fault)
        counts.update(line.values.get("word", "").lower().split())
    frequencies = [0] * (len(FREQUENCIES) + 1)
    for count in counts.values():
        frequencies[bisect.bisect_left(FREQUENCIES, count)] += 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Statistics(
        recordings, seconds / 3600, len(speakers - {""}), counts.total(), len(counts), timed, odd,
        tuple(lengths), tuple(frequencies), tuple(ranked[:10]),
    )  # fmt: skip


def _length(row: dict[str, str]) -> float:
    """Seconds of a recording, or NaN where its row tells none."""
    start, end = "0", row.get("duration", "")
    if "duration" not in row:
        start, end = row.get("speech_start", ""), row.get("speech_end", "")
    reason, start_s, end_s = time_fault(start, end, math.inf)
    return math.nan if reason else end_s - start_s


def length_names() -> list[str]:
    """Names of the ranges of `lengths`: "to 0.5 s", "0.5 to 1 s", ..., "above 30 s"."""
    pairs = zip(LENGTHS_S, LENGTHS_S[1:], strict=False)
    inner = [f"{low:g} to {high:g} s" for low, high in pairs]
    return [f"to {LENGTHS_S[0]:g} s", *inner, f"above {LENGTHS_S[-1]:g} s"]


def frequency_names() -> list[str]:
    """Names of the ranges of `frequencies`: "once", "2 times", "3 to 5 times", ..."""
    inner = [
        f"{high} times" if high == low + 1 else f"{low + 1} to {high:,} times"
        for low, high in zip(FREQUENCIES, FREQUENCIES[1:], strict=False)
    ]
    return ["once", *inner, f"above {FREQUENCIES[-1]:,} times"]


def format_statistics(counted: Statistics) -> str:
    """The numbers as text, with a bar for each range."""
    rows = [
        ("recordings", f"{counted.recordings:,}"),
        ("hours", f"{counted.hours:.2f}"),
        ("speakers", f"{counted.speakers:,}"),
        ("words with times" if counted.timed else "words of the texts", f"{counted.tokens:,}"),
        ("different words", f"{counted.words:,}"),
    ]
    if counted.odd_rows:
        rows.append(("rows that tell nothing", f"{counted.odd_rows:,}"))
    lines = [f"{name:<24}{value:>12}" for name, value in rows]
    lines += ["", "recordings by length", *_bars(length_names(), counted.lengths)]
    lines += ["", "words by how often they are said"]
    lines += _bars(frequency_names(), counted.frequencies)
    frequent = ", ".join(f"{word} ({count:,})" for word, count in counted.most_frequent)
    return "\n".join([*lines, "", f"most frequent: {frequent}"])


def _bars(names: list[str], counts: tuple[int, ...]) -> list[str]:
    most = max(1, *counts)
    return [
        f"{name:<24}{count:>12,}  {'#' * math.ceil(40 * count / most)}".rstrip()
        for name, count in zip(names, counts, strict=True)
    ]
