"""Which recordings of a set go to which shard: a function of its lists alone, kept on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.corpora.recording import WORD, Rejected
from adml.data.corpora.tables import Line, TextTable
from adml.data.rows import path_fault
from adml.data.shards.form import MANIFEST, WORDS
from adml.errors import DataError

_TABLES = """
create table recordings (
    number integer primary key, path text, file text unique, shard integer, offset integer,
    line integer, fault text);
create table words (path text, offset integer, line integer, count integer);
create table odd (line integer, fault text);
"""
_INDICES = """
create index by_shard on recordings (shard);
create index by_path on words (path);
create index by_recording on recordings (path);
"""


@dataclass(frozen=True)
class Planned:
    """A row of the manifest, why it cannot be used (or ""), and its rows of words.tsv."""

    line: Line
    fault: str
    words: tuple[Line, ...]


class Plan:
    """The recordings of a set in the order of its manifest, in shards of about equal size.

    What grows with the corpus lies in a temporary database, not in memory.
    """

    def __init__(self, source: Path, shard_bytes: int):
        """Read the lists once.

        Args:
            source: folder of manifest.tsv and, where word times are known, words.tsv.
            shard_bytes: samples of a shard by the lengths that the manifest tells; a longer
                recording has a shard of its own.

        Raises:
            DataError: the manifest is missing, lacks columns, or has no row.
        """
        self.source = source
        self._shard_bytes = shard_bytes
        self._manifest = TextTable(source / MANIFEST).require("path", "text", "speaker")
        self.columns = self._manifest.columns
        self._words: TextTable | None = None
        if (source / WORDS).is_file():
            needed = ("path", "word", "speaker", "start", "end")
            self._words = TextTable(source / WORDS).require(*needed)
        self.word_columns = self._words.columns if self._words else ()
        self._database = sqlite3.connect("")  # a file that vanishes with the connection
        self._database.executescript(_TABLES)
        self.shards, self.rows = self._read_manifest()
        if self._words is not None:
            self._read_words(self._words)
        self._database.executescript(_INDICES)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def _read_manifest(self) -> tuple[int, int]:
        """Returns the numbers of shards and of rows."""
        shard, filled, number = 0, 0, -1
        add = "insert or ignore into recordings values (?, ?, ?, ?, ?, ?, ?)"
        for number, ((offset, line_number), line) in enumerate(self._manifest.placed()):
            size = _expected_bytes(line.values)
            if filled and filled + size > self._shard_bytes:
                shard, filled = shard + 1, 0
            filled += size
            path = line.values.get("path") or None
            file = str(PurePosixPath(path)) if path else None
            fault = line.fault or path_fault(path or "", self.source, {}) or ""
            place = (shard, offset, line_number)
            if not self._database.execute(add, (number, path, file, *place, fault)).rowcount:
                twice = (number, None, None, *place, "recording is there twice")
                self._database.execute(add, twice)
        if number < 0:
            raise DataError(f"{self._manifest.path} holds no row. Expected: one a recording.")
        return shard + 1, number + 1

    def _read_words(self, table: TextTable) -> None:
        """Note the runs of rows that are of one recording."""
        add = "insert into words values (?, ?, ?, ?)"
        run: list = []
        for (offset, line_number), line in table.placed():
            if line.fault:
                self._database.execute("insert into odd values (?, ?)", (line_number, line.fault))
            if run and not line.fault and run[0] == line.values["path"]:
                run[3] += 1
                continue
            if run:
                self._database.execute(add, run)
            run = [] if line.fault else [line.values["path"], offset, line_number, 1]
        if run:
            self._database.execute(add, run)

    def recordings(self, shard: int) -> Iterator[Planned]:
        """The recordings of a shard, in the order of the manifest."""
        asked = "select path, offset, line, fault from recordings where shard = ? order by number"
        for path, offset, number, fault in self._database.execute(asked, (shard,)):
            (line,) = self._manifest.read_at(offset, number, 1)
            yield Planned(line, fault, () if fault else tuple(self._rows(path)))

    def _rows(self, path: str) -> Iterator[Line]:
        asked = "select offset, line, count from words where path = ? order by offset"
        for run in self._database.execute(asked, (path,)).fetchall() if self._words else ():
            yield from self._words.read_at(*run)

    def left_over(self) -> Iterator[Rejected]:
        """Rows of words.tsv that are no row, and recordings that the manifest lacks."""
        for number, fault in self._database.execute("select * from odd order by line"):
            yield Rejected(f"{WORDS}:{number}", fault, what=WORD)
        asked = (
            "select path, min(line) from words where path not in "
            "(select path from recordings where path is not null) group by path order by 2"
        )
        for path, _ in self._database.execute(asked):
            yield Rejected(path, "recording is not in manifest.tsv", what=WORD)


def _expected_bytes(row: dict[str, str]) -> int:
    """Size of a record by the length that the manifest tells, which may be wrong."""
    try:
        seconds = float(row.get("duration", row.get("speech_end", "0")))
        return 1024 + 2 * int(seconds * SAMPLE_RATE_HZ) if seconds > 0 else 1024
    except (ValueError, OverflowError):
        return 1024
