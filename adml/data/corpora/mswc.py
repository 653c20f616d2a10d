"""The English part of the Multilingual Spoken Words Corpus (Mazumder et al., NeurIPS 2021)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adml.data.corpora.recording import ALL, Corpus, Item, Recording, Rejected
from adml.data.corpora.speech_commands import TEST, TRAIN, VALIDATION
from adml.data.corpora.tables import Line, TextTable
from adml.errors import DataError

_SETS = {TRAIN: "TRAIN", VALIDATION: "DEV", TEST: "TEST"}
_AUDIO = (".opus", ".wav", ".flac")


def read_mswc(source: Path, split: str) -> Iterator[Item]:
    """Clips in the order of the lists.

    Args:
        source: the folder of `clips/` and the lists, or one that holds it or them: the two archives
            may lie beside each other.
        split: "train", "validation" (their DEV), "test" or "all".

    Raises:
        DataError: no clips or no list are there, or a list lacks a column.
    """
    clips, seen = _find(source, "clips"), 0
    for table, told in _tables(source, split):
        for line in table:
            if line.fault:
                yield Rejected(f"{table.path.name}:{line.number}", line.fault)
            elif not told and line.values["SET"].upper() not in _SETS.values():
                yield Rejected(line.values["LINK"], "set is not known", line.values["SET"])
            elif split == ALL or (told or line.values["SET"].upper()) == _SETS[split]:
                yield _clip(clips, line)
            seen += 1
    if not seen:
        raise DataError(f"The lists in {source} are empty. Expected: one row a clip.")


def _find(source: Path, name: str) -> Path:
    """The first of a name in a folder, its folder `en`, or one folder deeper."""
    found = (sorted(source.glob(place + name)) for place in ("", "en/", "*/", "*/en/"))
    for path in filter(None, found):
        return path[0]
    raise DataError(f"{source} holds no {name}. Expected: {MSWC.layout}.")


def _tables(source: Path, split: str) -> Iterator[tuple[TextTable, str]]:
    """The lists that hold a split, each with the set that all of it is in, empty where it tells."""
    columns = ("LINK", "WORD", "VALID", "SPEAKER")
    try:
        whole = _find(source, "en_splits.csv")
    except DataError:
        for name, told in _SETS.items():
            if split in (ALL, name):
                path = _find(source, f"en_{told.lower()}.csv")
                yield TextTable(path).require(*columns), told
    else:
        yield TextTable(whole).require("SET", *columns), ""


def _clip(clips: Path, line: Line) -> Item:
    values = line.values
    link = values["LINK"]
    if values["VALID"].lower() != "true":
        return Rejected(link, "not valid in the list", values["VALID"])
    if PurePosixPath(link).name in ("", ".."):
        return Rejected(link, "path leaves the folder", f"line {line.number}")
    path = clips / link
    if not os.path.isfile(path):
        others = (path.with_suffix(suffix) for suffix in _AUDIO)
        path = next(filter(os.path.isfile, others), path)
    key = PurePosixPath(link).with_suffix(path.suffix)
    return Recording(path, key.as_posix(), values["WORD"], values["SPEAKER"])


MSWC = Corpus(
    name="mswc",
    description="Multilingual Spoken Words Corpus, English: single words cut from Common Voice",
    licence="CC BY 4.0",
    layout="clips/WORD/*.opus and en_splits.csv, or en_train.csv, en_dev.csv and en_test.csv",
    read=read_mswc,
    splits=(TRAIN, VALIDATION, TEST),
)
