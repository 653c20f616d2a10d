"""The words and clips of a sharded folder, as `read_words` and `read_clips` read those of a set."""

from __future__ import annotations

import math
from pathlib import Path

from adml.data.rows import read_rows, time_fault
from adml.data.shards.form import MANIFEST, WORDS, read_description, read_file
from adml.data.words import WordTable, word_table
from adml.errors import DataError


def read_shard_words(
    folder: str | Path, *, path_prefix: str = "", min_confidence: float | None = None
) -> WordTable:
    """The words of a sharded folder. Their rows were checked as the shards were made.

    Args:
        folder: of `adml data shard`.
        path_prefix: keep paths below this folder or beginning with it.
        min_confidence: leave out words of lower alignment confidence; needs that column.

    Returns:
        The words, sorted by path and start.

    Raises:
        DataError: the folder is damaged, has no words, or none is left.
    """
    columns = _columns(Path(folder), WORDS, ("word", "start", "end"), ("index", "confidence"))
    if min_confidence is not None and "confidence" not in columns:
        raise DataError(
            f"{Path(folder) / WORDS} has no column confidence, which min_confidence asks for."
        )
    return _table(Path(folder), columns, columns["word"], path_prefix, min_confidence)


def read_shard_clips(folder: str | Path, *, path_prefix: str = "") -> WordTable:
    """The recordings of a sharded folder, with their texts and the part that holds speech.

    Args:
        folder: of `adml data shard`.
        path_prefix: keep paths below this folder or beginning with it.

    Returns:
        A table whose `word` is the whole text and whose `index` is -1, sorted by path.

    Raises:
        DataError: the folder is damaged, tells no times, or no recording is left.
    """
    times = ("speech_start", "speech_end", "duration")
    columns = _columns(Path(folder), MANIFEST, ("text",), times)
    if "speech_start" in columns and "speech_end" in columns:
        columns["start"], columns["end"] = columns["speech_start"], columns["speech_end"]
    elif "duration" in columns:
        columns["start"], columns["end"] = ["0"] * len(columns["path"]), columns["duration"]
    else:
        raise DataError(
            f"{Path(folder) / MANIFEST} tells no times. Expected: columns speech_start and "
            "speech_end, or duration."
        )
    return _table(Path(folder), columns, columns["text"], path_prefix)


def _columns(folder: Path, name: str, required: tuple, optional: tuple) -> dict[str, list[str]]:
    described = read_description(folder)
    if name not in described["files"]:
        raise DataError(f"{folder} holds no word times. Expected: shards of a set with {WORDS}.")
    read_file(folder, described, name)
    return read_rows(folder / name, ("path", "speaker", *required), optional).columns


def _table(
    folder: Path,
    columns: dict[str, list[str]],
    texts: list[str],
    path_prefix: str,
    min_confidence: float | None = None,
) -> WordTable:
    count = len(texts)
    rows = zip(
        columns["path"],
        columns["start"],
        columns["end"],
        map(int, columns.get("index", ["-1"] * count)),
        (" ".join(text.lower().split()) for text in texts),
        columns["speaker"],
        columns.get("confidence", ["nan"] * count),
        strict=True,
    )
    found = set()
    for path, start, end, index, word, speaker, confidence in rows:
        sure = math.nan if confidence == "nan" else float(confidence)
        enough = min_confidence is None or sure >= min_confidence
        if path.startswith(path_prefix) and enough:
            _, start_s, end_s = time_fault(start, end, math.inf)
            found.add((path, start_s, index, end_s, word, speaker, sure))
    kept = sorted(found)
    if not kept:
        raise DataError(
            f"No rows are left of {folder}. Expected: at least one. Received: {count}, none with "
            f"the path prefix {path_prefix!r} and the confidence {min_confidence}."
        )
    return word_table(folder, kept)
