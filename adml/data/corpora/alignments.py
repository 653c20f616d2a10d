"""Word times from a forced aligner, found by the name of the recording."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path, PurePosixPath

from adml.data.corpora.recording import WORD, Rejected, Word
from adml.data.corpora.tables import RowIndex, TextTable
from adml.data.corpora.textgrids import read_textgrid, spoken_words
from adml.data.corpora.walk import AUDIO_SUFFIXES, walk_files
from adml.errors import DataError, UsageError

FORMS = (
    "TextGrids of the Montreal Forced Aligner (ID.TextGrid), LibriSpeech-Alignments "
    "(SPEAKER-CHAPTER.alignment.txt), or tables (.csv, .tsv) with path or id, word, start, end"
)
_CONDENSED = ".alignment.txt"
_ENDINGS = {*AUDIO_SUFFIXES, ".wv1", ".sph"}
_NAMES = {
    "id": ("id", "path", "file", "filename", "utterance", "utterance_id"),
    "word": ("word", "text", "label"),
    "start": ("start", "begin", "start_s"),
    "end": ("end", "end_s"),
}


class Alignments:
    """Word times below a folder, or in one file; each recording is read when asked for.

    `odd` holds the folders that are links and the lines of tables that are no rows.
    """

    def __init__(self, root: Path):
        """Look through the folder once.

        Args:
            root: a folder, or a table.

        Raises:
            UsageError: nothing there that tells word times.
            DataError: a table has no usable header.
        """
        if not root.exists():
            raise UsageError(f"The alignments {root} are not there. Expected: {FORMS}.")
        self._root = root if root.is_dir() else root.parent
        self._files: dict[str, list[str]] = {}
        self._condensed: dict[str, list[str]] = {}
        self._tables: list[RowIndex] = []
        self._names: list[dict[str, str]] = []
        self.odd: list[Rejected] = []
        found = walk_files(root, (".textgrid", ".txt", ".csv", ".tsv")) if root.is_dir() else [root]
        for path in found:
            if isinstance(path, Rejected):
                self.odd.append(path)
            else:
                self._add(path)
        if not (self._files or self._condensed or self._tables):
            raise UsageError(f"No word times are in {root}. Expected: {FORMS}.")

    def _add(self, path: Path) -> None:
        relative, suffix = path.relative_to(self._root).as_posix(), path.suffix.lower()
        if suffix == ".textgrid":
            self._files.setdefault(path.stem, []).append(relative)
        elif path.name.endswith(_CONDENSED):
            chapter = path.name.removesuffix(_CONDENSED)
            self._condensed.setdefault(chapter, []).append(relative)
        elif suffix != ".txt":
            table = TextTable(path)
            names = {
                role: next((name for name in known if name in table.columns), "")
                for role, known in _NAMES.items()
            }
            if missing := [role for role, name in names.items() if not name]:
                raise DataError(
                    f"{path} tells no {', '.join(missing)}. Expected: a header with path or id, "
                    f"word, start, end. Received: {', '.join(table.columns)[:200]}."
                )
            column = names["id"]
            self._tables.append(RowIndex(table, lambda values: _stem(values[column])))
            self._names.append(names)
            self.odd += [
                Rejected(f"{relative}:{line.number}", line.fault, what=WORD)
                for line in self._tables[-1].odd
            ]

    def find(self, key: str) -> tuple[Word, ...] | None:
        """The words of a recording, or None where no alignment has its name.

        Args:
            key: path of the recording; where several alignments bear its name, the one in the
                folders that it shares most of is taken.

        Raises:
            DataError: its alignment cannot be read, or there are two.
        """
        path = PurePosixPath(key)
        if path.stem in self._files:
            return read_textgrid(self._nearest(self._files[path.stem], path))
        chapter = path.stem.rpartition("-")[0]
        if chapter in self._condensed:
            file = self._nearest(self._condensed[chapter], path)
            return _read_condensed(file).get(path.stem)
        tables = [n for n, index in enumerate(self._tables) if path.stem in index]
        if len(tables) > 1:
            raise DataError(f"{len(tables)} tables tell the words of {path.stem}. Expected: one.")
        return self._from_table(tables[0], path.stem) if tables else None

    def _nearest(self, candidates: list[str], path: PurePosixPath) -> Path:
        shared = [_shared_folders(PurePosixPath(found), path) for found in candidates]
        if shared.count(max(shared)) > 1:
            raise DataError(
                f"{shared.count(max(shared))} alignments are called {path.stem} alike. Expected: "
                f"one. Received: {', '.join(candidates[:2])}. Give a narrower folder."
            )
        return self._root / candidates[shared.index(max(shared))]

    def _from_table(self, number: int, stem: str) -> tuple[Word, ...]:
        names = self._names[number]
        rows = [line.values for line in self._tables[number].rows(stem)]
        if len({row[names["id"]] for row in rows}) > 1:
            raise DataError(f"Two recordings of the table are called {stem}. Expected: one.")
        return spoken_words([(r[names["word"]], r[names["start"]], r[names["end"]]) for r in rows])


def _stem(told: str) -> str:
    """The name of a recording as a table tells it: with an ending of audio, or without one."""
    path = PurePosixPath(told)
    return path.stem if path.suffix.lower() in _ENDINGS else path.name


def _shared_folders(found: PurePosixPath, path: PurePosixPath) -> int:
    """How many folders right above two files are called the same."""
    shared = 0
    pairs = zip(reversed(found.parts[:-1]), reversed(path.parts[:-1]), strict=False)
    for ours, theirs in pairs:
        if ours != theirs:
            break
        shared += 1
    return shared


@lru_cache(maxsize=2)
def _read_condensed(path: Path) -> dict[str, tuple[Word, ...]]:
    """Words by recording: lines of `ID ",A,,B," "0.5,0.9,1.1,..."`, the numbers being ends."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read. Expected: UTF-8 text. Received: {error}."
        ) from None
    words = {}
    for line in lines:
        match = re.fullmatch(r'(\S+)\s+"([^"]*)"\s+"([^"]*)"\s*', line)
        labels, ends = (match[2].split(","), match[3].split(",")) if match else ([], [])
        if len(labels) != len(ends) or not match:
            raise DataError(
                f'{path} cannot be read. Expected: lines of ID "WORDS" "ENDS", as many of one as '
                f"of the other. Received: {line[:100]!r}."
            )
        words[match[1]] = spoken_words(list(zip(labels, ["0", *ends[:-1]], ends, strict=True)))
    return words
