"""LibriPhrase's official files of phrase pairs, read strictly.

The files `libriphrase_diffspk_all_{1..4}word.csv` hold a pair of recordings a row: an anchor, and a
comparison that says the same ("positive"), something else ("easyneg") or something that sounds
alike ("hardneg").

Source: Shin et al., Learning Audio-Text Agreement for Open-vocabulary Keyword Spotting, 2022.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from adml.data.rows import SetAside
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

COLUMNS = (
    "anchor", "anchor_spk", "anchor_text", "anchor_dur", "comparison", "comparison_spk",
    "comparison_text", "comparison_dur", "type", "target", "class",
)  # fmt: skip
POSITIVE = "diffspk_positive"
NEGATIVES = {"easy": "diffspk_easyneg", "hard": "diffspk_hardneg"}

_INDEX_COLUMNS = ("", "Unnamed: 0")


class Pair(NamedTuple):
    """A row: two recordings (paths as the file has them), what they say, and whether it is one."""

    anchor: str
    anchor_text: str
    comparison: str
    comparison_text: str
    type: str
    target: int


@dataclass(frozen=True)
class Pairs:
    """The usable rows of the files, in the files' order.

    Args:
        rows: the pairs.
        files: sha256 by name of the file.
        set_aside: number of rows that cannot be used.
    """

    rows: tuple[Pair, ...]
    files: Mapping[str, str]
    set_aside: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each type."""
        found = Counter(row.type for row in self.rows)
        return {kind: found[kind] for kind in (POSITIVE, *NEGATIVES.values())}


def read_pairs(paths: Sequence[str | Path], root: str | Path | None = None) -> Pairs:
    """Read LibriPhrase's CSV files; the order they are given in does not matter.

    Rows of an unknown type, with a target or texts that contradict the type, or of a recording
    that says something else in an earlier row are set aside and told.

    Args:
        paths: the files; columns in any order, an index column without a name is passed over.
        root: folder that the recordings' paths are relative to; given, recordings that are
            missing are set aside too.

    Raises:
        UsageError: no file, or one twice.
        DataError: a file is missing, is no CSV file, lacks a column, or no row is left.
    """
    files = sorted((Path(path) for path in paths), key=lambda path: (path.name, str(path)))
    contents = [_content(path) for path in files]
    names = [path.name for path in files]
    hashes = dict(zip(names, (hashlib.sha256(data).hexdigest() for data in contents), strict=True))
    if not files or len(set(hashes.values())) < len(files):
        raise UsageError(
            "Each file of LibriPhrase is to be given once. Expected: "
            "libriphrase_diffspk_all_1word.csv and those of 2, 3 and 4 words. Received: "
            f"{', '.join(map(str, files)) or 'none'}."
        )
    rows, said, checked, set_aside = [], {}, {}, 0
    for path, data in zip(files, contents, strict=True):
        aside = SetAside(str(path))
        for number, fields in _fields(path, data, aside):
            pair, reason = _pair(fields, said)
            reason = reason or _missing(pair, root, checked)
            if reason:
                aside.add(number, reason, " ".join(fields[name] for name in COLUMNS))
                continue
            said[pair.anchor], said[pair.comparison] = pair.anchor_text, pair.comparison_text
            rows.append(pair)
        aside.log()
        set_aside += aside.count
    if not rows:
        raise DataError(
            f"No rows are left of {', '.join(map(str, files))}: {set_aside} were set aside. "
            "Expected: LibriPhrase's official files."
        )
    return Pairs(tuple(rows), hashes, set_aside)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The file {path} cannot be read: {error.strerror}. Expected: one of LibriPhrase's "
            "files libriphrase_diffspk_all_1word.csv to 4word.csv. Check the path."
        ) from None


def _fields(path: Path, data: bytes, aside: SetAside) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of the last line and the fields by column, of each row of full length."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        _check_header(path, header)
        for fields in reader:
            if len(fields) == len(header):
                yield reader.line_num, dict(zip(header, fields, strict=True))
            elif fields:
                detail = f"{len(fields)} of {len(header)}"
                aside.add(reader.line_num, "wrong number of fields", detail)
    except UnicodeDecodeError:
        raise DataError(f"The file {path} is not text. Expected: CSV in UTF-8.") from None
    except csv.Error as error:
        raise DataError(
            f"The file {path} is damaged at line {reader.line_num}: {error}. Expected: CSV with "
            "commas. Copy it again."
        ) from None


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in header]
    if missing or len(set(header)) < len(header):
        what = f"no column {', '.join(missing)}" if missing else "a column name twice"
        raise DataError(
            f"The header of {path} (line 1) has {what}. Expected: {', '.join(COLUMNS)}. "
            f"Received: {', '.join(header)[:200]!r}. Give LibriPhrase's own files."
        )
    unknown = [name for name in header if name not in (*COLUMNS, *_INDEX_COLUMNS)]
    if unknown:
        logger.warning("%s: columns %s are not known and are ignored", path, ", ".join(unknown))


def _pair(fields: Mapping[str, str], said: Mapping[str, str]) -> tuple[Pair, str | None]:
    """A row's pair, and why it cannot be used."""
    texts = [" ".join(fields[name].lower().split()) for name in ("anchor_text", "comparison_text")]
    pair = Pair(fields["anchor"], texts[0], fields["comparison"], texts[1], fields["type"], 0)
    if pair.type not in (POSITIVE, *NEGATIVES.values()):
        return pair, "unknown type"
    if fields["target"] not in ("0", "1"):
        return pair, "target is not 0 or 1"
    pair = pair._replace(target=int(fields["target"]))
    if pair.target != (pair.type == POSITIVE):
        return pair, "target contradicts the type"
    if not all(texts):
        return pair, "no text"
    if (texts[0] == texts[1]) != (pair.type == POSITIVE):
        return pair, "texts contradict the type"
    for path, text in zip((pair.anchor, pair.comparison), texts, strict=True):
        pure = PurePosixPath(path)
        if not path or pure.is_absolute() or ".." in pure.parts or set("\t\r\n") & set(path):
            return pair, "path leaves the folder"
        if said.get(path, text) != text:
            return pair, "the recording says something else in an earlier row"
    return pair, None


def _missing(pair: Pair, root: str | Path | None, checked: dict[str, bool]) -> str | None:
    """Whether a recording of a pair is not there; answers are kept in `checked`."""
    for path in (pair.anchor, pair.comparison) if root is not None else ():
        if path not in checked:
            checked[path] = os.path.isfile(Path(root) / path)
        if not checked[path]:
            return "audio file is missing"
    return None
