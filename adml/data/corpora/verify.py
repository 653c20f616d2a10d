"""Whether a set in the project's form is what its lists say: every recording decoded."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from adml.audio.decoding import SAMPLE_RATE_HZ, decode
from adml.data.corpora.plain import word_of
from adml.data.corpora.sound import reason_of
from adml.data.corpora.tables import Line, RowIndex, TextTable
from adml.data.rows import END_TOLERANCE_S, path_fault, time_fault
from adml.errors import AudioError, UsageError

BAD = "bad.tsv"
_HEADER = "where\tpath\treason\tdetail\n"
_AHEAD = 32


@dataclass(frozen=True)
class Fault:
    """A row that is not true: list and line, path, reason, and the row."""

    where: str
    path: str
    reason: str
    detail: str = ""


@dataclass
class Verified:
    """What was found: numbers of recordings and words, hours, and faults by reason."""

    recordings: int = 0
    words: int = 0
    hours: float = 0.0
    bad: Counter = field(default_factory=Counter)
    bad_file: Path | None = None


def verify(
    folder: Path,
    bad_file: Path | None = None,
    workers: int | None = None,
    *,
    check: Callable[[Path, Verified, int], Iterator[Fault]] | None = None,
) -> Verified:
    """Decode and measure every recording of manifest.tsv and check the times of words.tsv.

    A recording must be whole, finite and not silent (unless its text is empty), as long as the
    list says within 50 ms, and hold its words.

    Args:
        folder: of the lists.
        bad_file: list of what is bad, written only where something is; FOLDER/bad.tsv where None.
        workers: recordings decoded at a time; all cores where None.
        check: of a set in another form; it counts what it finds.

    Returns:
        Counts; `bad` is empty where all is well.

    Raises:
        DataError: manifest.tsv is missing or has no usable header.
        UsageError: the list of what is bad cannot be written, or another file is at its place.
    """
    found = Verified()
    bad_file = bad_file or folder / BAD
    _check_place(bad_file)
    with contextlib.ExitStack() as stack:
        written = None
        for fault in (check or _check)(folder, found, workers or os.cpu_count() or 1):
            if written is None:
                written = stack.enter_context(_begin(bad_file, fault))
            found.bad[fault.reason] += 1
            written.write("\t".join((fault.where, fault.path, fault.reason, fault.detail)) + "\n")
    if found.bad:
        found.bad_file = bad_file
    else:
        with contextlib.suppress(OSError):
            bad_file.unlink()
    return found


def _begin(bad_file: Path, first: Fault) -> TextIO:
    try:
        written = bad_file.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(
            f"{bad_file} cannot be written: {error.strerror}. Expected: a place for the list of "
            f"what is bad, of which the first is {first.path} ({first.reason}). Say --bad FILE."
        ) from error
    written.write(_HEADER)
    return written


def _check_place(bad_file: Path) -> None:
    """Refuse to write over, or remove, what is no list of an earlier call."""
    if not bad_file.is_file():
        return
    with bad_file.open("rb") as file:
        if file.read(len(_HEADER)) not in (b"", _HEADER.encode()):
            raise UsageError(
                f"{bad_file} is there and is no list of what is bad. Expected: a new file, or one "
                "that an earlier call wrote. Choose another name."
            )


def _check(folder: Path, found: Verified, workers: int) -> Iterator[Fault]:
    manifest = TextTable(folder / "manifest.tsv").require("path", "text", "speaker")
    words = None
    if (folder / "words.tsv").is_file():
        table = TextTable(folder / "words.tsv").require("path", "word", "speaker", "start", "end")
        words = RowIndex(table, lambda values: values["path"])
    seen: set[str] = set()
    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        for line in tqdm(manifest, "verifying", unit="recording", disable=None):
            path = line.values.get("path", "")
            fault = line.fault or path_fault(path, folder, {})
            if path in seen:
                fault = "recording is there twice"
            if fault:
                yield _fault("manifest.tsv", line, fault)
                continue
            seen.add(path)
            waiting.append((line, pool.submit(_decoded_seconds, folder / path, line.values)))
            if len(waiting) > _AHEAD * workers:
                yield from _recording(*waiting.popleft(), words, found)
        while waiting:
            yield from _recording(*waiting.popleft(), words, found)
    for line in words.odd if words else ():
        yield _fault("words.tsv", line, line.fault)
    for path in words or ():
        if path not in seen:
            for row in words.rows(path):
                yield _fault("words.tsv", row, "recording is not in manifest.tsv")


def _decoded_seconds(path: Path, row: dict[str, str]) -> float | str:
    """Length in seconds of the decoded audio, or what is wrong with it."""
    try:
        return len(decode(path, allow_silence=not row["text"].strip())) / SAMPLE_RATE_HZ
    except AudioError as error:
        return reason_of(error, path)


def _recording(line: Line, future, words: RowIndex | None, found: Verified) -> Iterator[Fault]:
    """The faults of a recording and of its words."""
    seconds = future.result()
    if isinstance(seconds, str):
        yield _fault("manifest.tsv", line, seconds)
        return
    found.recordings += 1
    found.hours += seconds / 3600
    reason = length_fault(line.values, seconds)
    if reason:
        yield _fault("manifest.tsv", line, reason, f"{seconds:.3f} s decoded")
    for row in words.rows(line.values["path"]) if words else ():
        reason = word_fault(row.values, line.values["speaker"], seconds)
        if reason:
            yield _fault("words.tsv", row, reason)
        else:
            found.words += 1


def word_fault(row: dict[str, str], speaker: str, seconds: float) -> str | None:
    """Why a row of words.tsv contradicts its recording's speaker and length, or None."""
    reason = time_fault(row["start"], row["end"], seconds)[0]
    if not reason and not row["word"].strip():
        return "no word"
    return reason or word_of(row, speaker).fault or None


def length_fault(row: dict[str, str], seconds: float) -> str | None:
    """Why a row of a manifest contradicts its audio of so many seconds, or None."""
    if "duration" in row:
        reason, _, told_s = time_fault("0", row["duration"], math.inf)
        if reason or abs(told_s - seconds) > END_TOLERANCE_S:
            return "duration is not that of the audio"
    if "speech_start" in row and "speech_end" in row:
        reason = time_fault(row["speech_start"], row["speech_end"], seconds)[0]
        return f"speech: {reason}" if reason else None
    return None


def _fault(name: str, line: Line, reason: str, detail: str = "") -> Fault:
    told = " ".join([detail, *(value for key, value in line.values.items() if key != "path")])
    return Fault(f"{name}:{line.number}", line.values.get("path", ""), reason, told.strip()[:300])
