"""Read a tab-separated list strictly: header, no quoting, every odd row set aside and told."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from adml.errors import DataError

logger = logging.getLogger(__name__)

_SHOWN = 5
"""Rows set aside that are shown in full; the others are only counted."""

END_TOLERANCE_S = 0.05
"""An end this far behind the audio's own is rounding, and is cut to the audio."""


@dataclass
class SetAside:
    """Rows of one file that cannot be used: counted by reason, the first few kept in full."""

    source: str
    reasons: Counter = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def add(self, line_number: int, reason: str, detail: str) -> None:
        """Count one row under `reason` and keep it if it is among the first."""
        self.reasons[reason] += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(f"line {line_number}: {reason}: {detail}")

    @property
    def count(self) -> int:
        """Number of rows set aside."""
        return sum(self.reasons.values())

    def summary(self) -> str:
        """Reasons with their counts, the most frequent first."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())

    def log(self) -> None:
        """Say once, as a warning, how many rows were set aside and show the first few."""
        if self.count:
            logger.warning(
                "%s: %d rows set aside (%s). First: %s",
                self.source,
                self.count,
                self.summary(),
                "; ".join(self.shown),
            )


@dataclass(frozen=True)
class Rows:
    """The well-formed rows of a file: `columns` by name, each as long as `line_numbers`."""

    columns: dict[str, list[str]]
    line_numbers: list[int]
    set_aside: SetAside

    def __len__(self) -> int:
        return len(self.line_numbers)


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Rows:
    """Read a tab-separated file with a header line and no quoting.

    Args:
        path: the file, UTF-8.
        required: column names that must be there, in any order.
        optional: column names that may be there; any further column is ignored and said.

    Returns:
        The rows that have as many fields as the header; the others are in `set_aside`.

    Raises:
        DataError: the file is missing, is not UTF-8 text, is empty or lacks a required column.
    """
    lines = _read_lines(path)
    header = lines[0].split("\t")
    missing = [name for name in required if name not in header]
    if missing or len(set(header)) != len(header):
        what = f"no column {', '.join(missing)}" if missing else "a column name twice"
        raise DataError(
            f"The header of {path} has {what}. Expected: tab-separated {', '.join(required)}. "
            f"Received: {lines[0][:200]!r}. Give the file a header line with these names."
        )
    unknown = [name for name in header if name not in required and name not in optional]
    if unknown:
        logger.warning("%s: columns %s are not known and are ignored", path, ", ".join(unknown))
    set_aside = SetAside(str(path))
    kept, numbers = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            set_aside.add(number, "wrong number of fields", f"{len(fields)} of {len(header)}")
            continue
        kept.append(fields)
        numbers.append(number)
    names = [name for name in (*required, *optional) if name in header]
    columns = {name: [row[header.index(name)] for row in kept] for name in names}
    return Rows(columns, numbers, set_aside)


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(
            f"The list {path} is not there. Expected: a tab-separated file with a header. "
            f"Received: {type(error).__name__}. Check the folder's name."
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"The list {path} cannot be read. Expected: UTF-8 text. Received: {error}."
        ) from error
    if not text.strip():
        raise DataError(f"The list {path} is empty. Expected: a header line and rows.")
    return [line.rstrip("\r") for line in text.split("\n")]


def time_fault(start: str, end: str, duration_s: float) -> tuple[str | None, float, float]:
    """Parse one row's times.

    Args:
        start, end: seconds as written; `-0.00` is zero.
        duration_s: length of the audio, infinity where it is not known.

    Returns:
        (reason or None, start in seconds, end in seconds), the end cut to the audio.
    """
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        return "time is not a number", 0.0, 0.0
    if not (math.isfinite(start_s) and math.isfinite(end_s)):
        return "time is not finite", 0.0, 0.0
    if start_s < 0:
        return "start is negative", 0.0, 0.0
    if end_s <= start_s:
        return "end is not after start", 0.0, 0.0
    if end_s > duration_s + END_TOLERANCE_S or start_s >= duration_s:
        return "beyond the end of the audio", 0.0, 0.0
    return None, abs(start_s), min(end_s, duration_s)


def path_fault(path: str, root: Path, known: dict[str, str | None]) -> str | None:
    """Reason why `path` is no audio file below `root`, or None; answers are kept in `known`."""
    if path not in known:
        pure = PurePosixPath(path)
        if not path or pure.is_absolute() or ".." in pure.parts:
            known[path] = "path leaves the folder"
        else:  # os.path, as pathlib raises where a name is too long or a link circular
            known[path] = None if os.path.isfile(root / path) else "audio file is missing"
    return known[path]
