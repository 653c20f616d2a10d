"""Tables of text read line by line: what is odd is told, and a row can be read again later."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from adml.errors import DataError


@dataclass(frozen=True)
class Line:
    """A row: number of its line, its fields by column, or why it has none."""

    number: int
    values: dict[str, str]
    fault: str = ""


class TextTable:
    """A table with a header line, of which one row at a time is in memory.

    Tab-separated without quoting, or with commas and quotation marks where the header has no tab.
    """

    def __init__(self, path: Path):
        """Read the header.

        Args:
            path: UTF-8 text.

        Raises:
            DataError: the file is missing, empty or has no header that can be read.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                first = file.readline()
        except OSError as error:
            raise DataError(
                f"The list {path} is not there. Expected: a table with a header line. Received: "
                f"{type(error).__name__}. Check the folder's name."
            ) from error
        try:
            header = first.decode("utf-8-sig").rstrip("\r\n")
            self._start = len(first)
            self._commas = "\t" not in header
            self.columns = tuple(self._split(header))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"The list {path} cannot be read. Expected: UTF-8 text whose first line names its "
                f"columns. Received: {error}."
            ) from error
        if not header.strip() or len(set(self.columns)) < len(self.columns):
            raise DataError(
                f"{path} has no usable header. Expected: a line of different column names. "
                f"Received: {header[:200]!r}."
            )

    def require(self, *names: str) -> TextTable:
        """Returns the table itself; DataError where a column is not there."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise DataError(
                f"The header of {self.path} has no column {', '.join(missing)}. Expected: "
                f"{', '.join(names)}. Received: {', '.join(self.columns)[:200]}."
            )
        return self

    def __iter__(self) -> Iterator[Line]:
        return (line for _, line in self.placed())

    def placed(self) -> Iterator[tuple[tuple[int, int], Line]]:
        """Rows with their places: (byte offset, line number); empty lines are passed over."""
        with self.path.open("rb") as file:
            file.seek(self._start)
            offset = self._start
            for number, raw in enumerate(file, start=2):
                if raw.strip(b"\r\n"):
                    yield (offset, number), self._parse(raw, number)
                offset += len(raw)

    def read_at(self, offset: int, number: int, count: int) -> Iterator[Line]:
        """The `count` rows from a place on."""
        with self.path.open("rb") as file:
            file.seek(offset)
            while count:
                raw = file.readline()
                if raw.strip(b"\r\n"):
                    yield self._parse(raw, number)
                    count -= 1
                number += 1

    def _parse(self, raw: bytes, number: int) -> Line:
        try:
            fields = self._split(raw.decode("utf-8").rstrip("\r\n"))
        except (UnicodeDecodeError, csv.Error):
            return Line(number, {}, "line is not UTF-8 text or wrongly quoted")
        if len(fields) != len(self.columns):
            return Line(number, {}, "wrong number of fields")
        return Line(number, dict(zip(self.columns, fields, strict=True)))

    def _split(self, text: str) -> list[str]:
        if not self._commas:
            return text.split("\t")
        return next(csv.reader([text], strict=True), [""])


class RowIndex:
    """Where the rows of each key stand in a table, so that they can be read when asked for.

    It iterates over the keys, in the table's order.
    """

    def __init__(self, table: TextTable, key: Callable[[dict[str, str]], str]):
        """Read the table once; `odd` keeps its malformed lines.

        Args:
            table: of any length.
            key: of a row, from its fields.
        """
        self.table = table
        self.odd: list[Line] = []
        self._runs: dict[str, list[tuple[int, int, int]]] = {}
        last = None
        for (offset, number), line in table.placed():
            if line.fault:
                self.odd.append(line)
                last = None
                continue
            name = key(line.values)
            runs = self._runs.setdefault(name, [])
            if name == last:
                runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
            else:
                runs.append((offset, number, 1))
            last = name

    def __contains__(self, key: str) -> bool:
        return key in self._runs

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def rows(self, key: str) -> Iterator[Line]:
        """The rows of a key, in the table's order; none where it is not there."""
        for run in self._runs.get(key, ()):
            yield from self.table.read_at(*run)
