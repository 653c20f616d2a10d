"""Trial lists: which clip is scored against which text, as one self-describing, hashed file."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adml.errors import DataError, UsageError

_MAGIC = "# adml-trials 1"
_CLIP_COLUMNS = ("path", "start_s", "end_s", "text", "group")
_TRIAL_COLUMNS = ("clip", "text", "label")


class Clip(NamedTuple):
    """A stretch of a recording and what is said in it.

    `path` as `read_clip` of an evaluation understands it (relative to the speech folder, so that
    the list's hash is the same on every machine); `start_s`, `end_s` seconds, an `end_s` of
    infinity means to the end of the file; `text` what is said; `group` the unit that a bootstrap
    draws: the text, or the speaker.
    """

    path: str
    start_s: float
    end_s: float
    text: str
    group: str


@dataclass(frozen=True, eq=False)
class TrialList:
    """Trials as pairs of a clip and a text; the texts' pronunciations are left to the evaluation.

    Args:
        name: of the list.
        protocol: how it was made: "wsj", "phrases-easy", "phrases-hard", "classification", ...
        clips: the recordings.
        texts: the keywords, each once.
        pair_clip: int32 [N], index into `clips`.
        pair_text: int32 [N], index into `texts`.
        pair_label: int8 [N], 1 where the clip says the text, else 0.
        settings: what the builder was given, fit for JSON; part of the file and of its hash.

    Raises:
        DataError: columns differ in length, or an index, a label, a time or a name is wrong.
    """

    name: str
    protocol: str
    clips: tuple[Clip, ...]
    texts: tuple[str, ...]
    pair_clip: np.ndarray
    pair_text: np.ndarray
    pair_label: np.ndarray
    settings: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("clip", np.int32), ("text", np.int32), ("label", np.int8)):
            column = np.asarray(getattr(self, f"pair_{name}"), kind).reshape(-1)
            object.__setattr__(self, f"pair_{name}", column)
        object.__setattr__(self, "clips", tuple(Clip(*clip) for clip in self.clips))
        object.__setattr__(self, "texts", tuple(self.texts))
        problem = _problem(self)
        if problem:
            raise DataError(f"The trial list {self.name!r} is not consistent: {problem}.")

    @property
    def num_trials(self) -> int:
        """Number of (clip, text) pairs."""
        return len(self.pair_label)

    @property
    def num_positives(self) -> int:
        """Number of pairs whose clip says the text."""
        return int(np.count_nonzero(self.pair_label))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file that `write` makes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def verify(self, expected: str) -> None:
        """Raise DataError where this is not the list with the sha256 `expected`."""
        if self.sha256 != expected.strip().lower():
            raise DataError(
                f"The trial list {self.name!r} is not the expected one; figures on it cannot be "
                f"compared. Expected: sha256 {expected}. Received: {self.sha256}."
            )

    def to_bytes(self) -> bytes:
        """The file's bytes: two header lines, then the clips, the texts and the trials."""
        header = {
            "name": self.name, "protocol": self.protocol, "clips": len(self.clips),
            "texts": len(self.texts), "trials": self.num_trials, "settings": self.settings,
        }  # fmt: skip
        described = json.dumps(header, sort_keys=True, ensure_ascii=False, allow_nan=False)
        lines = [_MAGIC, f"# {described}", "\t".join(_CLIP_COLUMNS)]
        lines += [f"{clip.path}\t{clip.start_s!r}\t{clip.end_s!r}\t{clip.text}\t{clip.group}"
                  for clip in self.clips]  # fmt: skip
        lines += ["text", *self.texts, "\t".join(_TRIAL_COLUMNS)]
        columns = (self.pair_clip.tolist(), self.pair_text.tolist(), self.pair_label.tolist())
        lines += [f"{clip}\t{text}\t{label}" for clip, text, label in zip(*columns, strict=True)]
        return ("\n".join(lines) + "\n").encode("utf-8")

    def write(self, path: str | Path) -> Path:
        """Write the list as one tab-separated file, whole or not at all; the same list gives the
        same bytes.

        Raises:
            UsageError: the file cannot be written.
        """
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(self.to_bytes())
            os.replace(part, path)
        except OSError as error:
            raise UsageError(
                f"Cannot write the trial list {path}: {error.strerror}. Choose another place."
            ) from None
        return path

    @classmethod
    def read(cls, path: str | Path, *, expected_sha256: str | None = None) -> TrialList:
        """Read a list that `write` made.

        Args:
            path: the file.
            expected_sha256: the list must have this hash.

        Raises:
            DataError: the file is missing, damaged (names the line), or not the expected one.
        """
        path = Path(path)
        try:
            lines = path.read_bytes().decode("utf-8").split("\n")
        except OSError as error:
            raise DataError(f"Cannot read the trial list {path}: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise DataError(f"The trial list {path} is not text. Expected: UTF-8.") from None
        trials = _Reader(path, lines).trial_list()
        if expected_sha256 is not None:
            trials.verify(expected_sha256)
        return trials


def _problem(trials: TrialList) -> str | None:
    """What is wrong with a list, or None."""
    lengths = {len(trials.pair_clip), len(trials.pair_text), len(trials.pair_label)}
    if len(lengths) > 1:
        return f"its columns have different lengths, {sorted(lengths)}"
    for name, column, limit in (
        ("clip", trials.pair_clip, len(trials.clips)),
        ("text", trials.pair_text, len(trials.texts)),
        ("label", trials.pair_label, 2),
    ):
        wrong = np.flatnonzero((column < 0) | (column >= limit))
        if len(wrong):
            return (
                f"trial {wrong[0]} has the {name} {column[wrong[0]]}. Expected: 0 to {limit - 1}"
            )
    if len(set(trials.texts)) != len(trials.texts):
        return "a text stands in it twice"
    for clip in trials.clips:
        if not (math.isfinite(clip.start_s) and 0 <= clip.start_s < clip.end_s):
            return f"{clip.path} is cut from {clip.start_s} s to {clip.end_s} s"
    words = {*trials.texts, *(clip[index] for clip in trials.clips for index in (0, 3, 4))}
    broken = sorted(word for word in words if any(mark in word for mark in "\t\n\r"))
    return f"a tab or line break stands in {broken[0]!r}" if broken else None


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are no JSON, and a list that holds them could not be written again."""
    raise ValueError(name)


class _Reader:
    """The lines of one trial file, read in order, with the line number for errors."""

    def __init__(self, path: Path, lines: Sequence[str]):
        self._path = path
        self._lines = lines
        self._at = 0

    def trial_list(self) -> TrialList:
        if self._next("the first line") != _MAGIC:
            self._fail(f"Expected: {_MAGIC!r}")
        try:
            header = json.loads(
                self._next("the header").removeprefix("# "), parse_constant=_refuse_constant
            )
            name, protocol, settings = header["name"], header["protocol"], header["settings"]
            counts = [int(header[key]) for key in ("clips", "texts", "trials")]
            known = isinstance(name, str) and isinstance(protocol, str)
        except (ValueError, KeyError, TypeError, RecursionError):
            known = False
        if not known:
            self._fail("Expected: a comment with name, protocol, settings, clips, texts and trials")
        self._columns(_CLIP_COLUMNS)
        clips = [self._clip() for _ in range(counts[0])]
        self._columns(("text",))
        texts = [self._next("a text") for _ in range(counts[1])]
        self._columns(_TRIAL_COLUMNS)
        pairs = self._pairs(counts[2])
        if self._lines[self._at :] != [""]:
            self._next("the end")
            self._fail(f"Expected: the end of the file after {counts[2]} trials")
        return TrialList(name, protocol, tuple(clips), tuple(texts), *pairs.T, settings)

    def _next(self, what: str) -> str:
        if self._at >= len(self._lines) - 1:
            raise DataError(
                f"The trial list {self._path} ends after line {self._at}. Expected: {what}. "
                "The file is cut short; make or copy it again."
            )
        self._at += 1
        return self._lines[self._at - 1]

    def _columns(self, names: Sequence[str]) -> None:
        if self._next(f"the columns {', '.join(names)}") != "\t".join(names):
            self._fail(f"Expected: the columns {', '.join(names)}")

    def _clip(self) -> Clip:
        fields = self._next("a clip").split("\t")
        try:
            path, start_s, end_s, text, group = fields
            return Clip(path, float(start_s), float(end_s), text, group)
        except ValueError:
            self._fail("Expected: path, start, end, text and group of a clip")

    def _pairs(self, count: int) -> np.ndarray:
        rows = self._lines[self._at : min(self._at + count, len(self._lines) - 1)]
        values = "\t".join(rows).split("\t") if rows else []
        try:
            pairs = np.array(values, np.int64).reshape(-1, 3)
        except (ValueError, OverflowError):
            pairs = None
        if pairs is None or len(pairs) != len(rows):
            for row in rows:
                self._next("a trial")
                if len(row.split("\t")) != 3 or not row.replace("\t", "").isdecimal():
                    self._fail("Expected: clip, text and label, three numbers")
        self._at += len(rows)
        if len(rows) < count:
            self._next(f"{count} trials")
        return pairs

    def _fail(self, expected: str) -> None:
        received = self._lines[self._at - 1][:200]
        raise DataError(
            f"The trial list {self._path} is damaged at line {self._at}. {expected}. "
            f"Received: {received!r}. Make or copy it again."
        )
