"""Words in recordings (who, what, from when to when) and the 1 to N word segments made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from adml.data.rows import Rows, path_fault, read_rows, time_fault
from adml.data.segments import SegmentTable, build_segments
from adml.errors import DataError

__all__ = ["SegmentTable", "WordTable", "build_segments", "read_clips", "read_words"]


@dataclass(frozen=True)
class WordTable:
    """Spoken words or clips, one row each, sorted by recording and start.

    `path` [N] full path of the audio; `word` [N] lower-case text; `speaker` [N]; `start_s`, `end_s`
    [N] seconds; `index` [N] place of the word in its utterance, -1 where it is not known (then no
    phrase is made of it); `confidence` [N], NaN where it is not known; `set_aside` rows left out.
    """

    path: np.ndarray
    word: np.ndarray
    speaker: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    set_aside: int = 0

    def __len__(self) -> int:
        return len(self.path)

    def subset(self, mask: np.ndarray) -> WordTable:
        """The rows where `mask` [N] is true (or at the row numbers it holds)."""
        columns = [getattr(self, field.name) for field in fields(self)[:-1]]
        return WordTable(*(column[mask] for column in columns), self.set_aside)


def read_words(
    root: str | Path,
    *,
    words_file: str = "words.tsv",
    path_prefix: str = "",
    min_confidence: float | None = None,
) -> WordTable:
    """Read aligned words: path, word (or text), speaker, start, end [, confidence, index].

    Rows with odd times, times beyond the audio (`manifest.tsv`, where it is there, tells its
    length), no word, a missing file or a wrong number of fields are set aside and reported.

    Args:
        root: folder that holds the list; the list's paths are relative to it.
        words_file: name of the list within `root`.
        path_prefix: keep paths below this folder or beginning with it, such as "audio/train".
        min_confidence: leave out words of lower alignment confidence; needs that column.

    Returns:
        The words, sorted by path and start.

    Raises:
        DataError: folder or list missing, header wrong, or no word left; says what was left out.
    """
    root = _folder(root)
    source = root / words_file
    optional = ("word", "text", "confidence", "index")
    rows = read_rows(source, ("path", "speaker", "start", "end"), optional)
    name = "word" if "word" in rows.columns else "text"
    if name not in rows.columns:
        raise DataError(f"The header of {source} has neither a column word nor text.")
    if min_confidence is not None and "confidence" not in rows.columns:
        raise DataError(f"{source} has no column confidence, which min_confidence asks for.")
    durations = _durations(root)
    return _collect(
        root, rows, name, path_prefix, durations.get, min_confidence=min_confidence, need_text=True
    )


def read_clips(root: str | Path, *, path_prefix: str = "") -> WordTable:
    """Read `manifest.tsv`: one row a recording, with its text and the part that holds speech.

    With columns speech_start and speech_end these are the times; with a column duration the
    clip is the whole recording. An empty text (silence) or speaker is kept.

    Args:
        root: folder that holds manifest.tsv.
        path_prefix: keep paths below this folder or beginning with it.

    Returns:
        A table whose `word` is the whole text and whose `index` is -1.

    Raises:
        DataError: folder or manifest missing, header wrong, or no clip left.
    """
    root = _folder(root)
    source = root / "manifest.tsv"
    rows = read_rows(
        source, ("path", "text", "speaker"), ("speech_start", "speech_end", "duration")
    )
    columns = rows.columns
    if "speech_end" in columns and "speech_start" in columns:
        columns["start"], columns["end"] = columns["speech_start"], columns["speech_end"]
    elif "duration" in columns:
        columns["start"], columns["end"] = ["0"] * len(rows), columns["duration"]
    else:
        raise DataError(
            f"The header of {source} tells no times. Expected: speech_start and speech_end, or "
            f"duration. Received: {', '.join(columns)}."
        )
    return _collect(root, rows, "text", path_prefix, lambda path: None, need_text=False)


def _folder(root: str | Path) -> Path:
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"The speech folder {root} is not there. Expected: a folder with an audio list. "
            "Check the path."
        )
    return root


def _durations(root: Path) -> dict[str, float]:
    """Length in seconds by path, from manifest.tsv where it is there and tells them."""
    if not (root / "manifest.tsv").is_file():
        return {}
    others = ("text", "speaker", "duration", "speech_start", "speech_end")
    rows = read_rows(root / "manifest.tsv", ("path",), others)
    durations = {}
    for number, path, text in zip(
        rows.line_numbers, rows.columns["path"], rows.columns.get("duration", ()), strict=False
    ):
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if math.isfinite(seconds) and seconds > 0:
            durations[path] = seconds
        else:
            rows.set_aside.add(number, "duration is not a length", text)
    rows.set_aside.log()
    return durations


def _collect(
    root: Path,
    rows: Rows,
    text_column: str,
    path_prefix: str,
    duration_of: Callable[[str], float | None],
    *,
    min_confidence: float | None = None,
    need_text: bool,
) -> WordTable:
    """Check every row, drop the odd ones with a report, sort the rest into a table."""
    columns, set_aside, known = rows.columns, rows.set_aside, {}
    confidences = columns.get("confidence", ["nan"] * len(rows))
    indices = columns.get("index", ["-1"] * len(rows))
    kept, outside, unsure, total = [], 0, 0, len(rows) + set_aside.count
    for number, path, text, speaker, start, end, confidence, index in zip(
        rows.line_numbers,
        columns["path"],
        columns[text_column],
        columns["speaker"],
        columns["start"],
        columns["end"],
        confidences,
        indices,
        strict=True,
    ):
        if not path.startswith(path_prefix):
            outside += 1
            continue
        duration_s = duration_of(path)
        reason, start_s, end_s = time_fault(
            start, end, math.inf if duration_s is None else duration_s
        )
        reason = reason or path_fault(path, root, known)
        word = " ".join(text.lower().split())
        if need_text and not word:
            reason = reason or "no text"
        try:
            sure = math.nan if confidence == "nan" else float(confidence)
            row = (path, start_s, int(index), end_s, word, speaker, sure)
        except ValueError:
            reason = reason or "index or confidence is not a number"
        if reason:
            set_aside.add(number, reason, f"{path} {text!r} {start} {end}")
        elif min_confidence is not None and not row[-1] >= min_confidence:
            unsure += 1
        else:
            kept.append(row)
    set_aside.log()
    if not kept:
        raise DataError(
            f"No words are left of {set_aside.source}: of {total} rows, "
            f"{outside} are outside path_prefix {path_prefix!r}, {unsure} are below the confidence "
            f"{min_confidence}, {set_aside.count} were set aside ({set_aside.summary()})."
        )
    return word_table(root, sorted(set(kept)), set_aside.count)


def word_table(root: Path, kept: list[tuple], set_aside: int = 0) -> WordTable:
    """A table of rows (path below `root`, start_s, index, end_s, word, speaker, confidence)."""
    paths, starts, indices, ends, words, speakers, confidences = zip(*kept, strict=True)
    full = {path: str(root / path) for path in set(paths)}
    return WordTable(
        path=np.array([full[path] for path in paths]),
        word=np.array(words),
        speaker=np.array(speakers),
        start_s=np.array(starts, np.float64),
        end_s=np.array(ends, np.float64),
        index=np.array(indices, np.int32),
        confidence=np.array(confidences, np.float32),
        set_aside=set_aside,
    )
