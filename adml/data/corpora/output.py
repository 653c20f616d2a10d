"""The plain form of a corpus as it is written: lists with their hashes, in a folder that is whole
or not there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from adml.data.corpora.recording import Recording, Rejected
from adml.errors import UsageError

FORM = 1
"""Version of the form, in prepared.json."""

DESCRIPTION = "prepared.json"
_SPACES = str.maketrans("\t\n\r", "   ")
MANIFEST, WORDS, SET_ASIDE = "manifest.tsv", "words.tsv", "set_aside.tsv"
UNFINISHED = ".unfinished"
"""In a folder in the making, so that what it holds is known to be nobody's."""


@contextlib.contextmanager
def folder_in_the_making(out: Path) -> Iterator[Path]:
    """A new folder `OUT.part` that becomes OUT at the end, or vanishes on an error.

    What a killed process left of it is removed; that of a running one, and a folder that was not
    begun here, is not.

    Args:
        out: must not be there.

    Raises:
        UsageError: OUT is there, cannot be made, or is being made by another process; or OUT.part
            is somebody's.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is there already. Expected: a new folder. Choose another name.")
    with held_part(out) as part:
        try:
            _empty(part)
            yield part
            finish(part, out)
        except BaseException:
            with contextlib.suppress(OSError):
                _empty(part)
            shutil.rmtree(part, ignore_errors=True)
            raise


@contextlib.contextmanager
def held_part(out: Path) -> Iterator[Path]:
    """The folder `OUT.part`, made where needed, kept, and held by one process at a time.

    It holds the file `UNFINISHED`, by which a later call knows that it is nobody's.

    Raises:
        UsageError: it cannot be made, another process holds it, or it is somebody's.
    """
    part = out.with_name(out.name + ".part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        lock = os.open(part, os.O_RDONLY)
    except OSError as error:
        raise UsageError(
            f"{part} cannot be made: {error.strerror}. Expected: a folder that can be written. "
            "Choose another place."
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{out} is being made by another process. Wait for it, or choose another name."
            ) from error
        _claim(part)
        yield part
    finally:
        os.close(lock)


def finish(part: Path, out: Path) -> None:
    """Give a folder in the making its name."""
    os.rename(part, out)
    (out / UNFINISHED).unlink()


def _claim(folder: Path) -> None:
    """Mark a folder as in the making.

    Raises:
        UsageError: it holds what no killed process left.
    """
    if folder.is_symlink() or (any(folder.iterdir()) and not (folder / UNFINISHED).is_file()):
        raise UsageError(
            f"{folder} is there already, and was not left by a call that was stopped. Expected: "
            "nothing at this place, where the new folder is made. Move it, or choose another name."
        )
    (folder / UNFINISHED).touch()


def _empty(folder: Path) -> None:
    """Remove everything but the mark, which says that all else may be removed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != UNFINISHED:
            path.unlink()


class _List:
    """A tab-separated file that is hashed as it is written."""

    def __init__(self, path: Path, columns: Collection[str]):
        self.rows = -1
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.add(*columns)

    def add(self, *fields: str) -> None:
        one_line = (field.translate(_SPACES) for field in fields)
        raw = ("\t".join(one_line) + "\n").encode("utf-8", "backslashreplace")
        self._file.write(raw)
        self._digest.update(raw)
        self.rows += 1

    def close(self) -> dict:
        self._file.close()
        return {"rows": self.rows, "sha256": self._digest.hexdigest()}


class Lists:
    """The three lists of a prepared corpus, written row by row."""

    def __init__(self, folder: Path, extra_columns: frozenset[str]):
        """Begin the lists.

        Args:
            folder: that they are written to.
            extra_columns: of speech_start, speech_end and confidence those that are told.
        """
        self._folder = folder
        self._spans = "speech_end" in extra_columns
        self._confidence = "confidence" in extra_columns
        spans = ("speech_start", "speech_end") if self._spans else ()
        confidence = ("confidence",) if self._confidence else ()
        self._manifest = _List(folder / MANIFEST, ("path", "text", "speaker", "duration", *spans))
        self._words = _List(
            folder / WORDS, ("path", "word", "speaker", "start", "end", *confidence, "index")
        )
        self._set_aside = _List(folder / SET_ASIDE, ("path", "what", "reason", "detail"))
        self.reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._speakers: set[str] = set()
        self._seconds = 0.0

    def __enter__(self) -> Lists:
        return self

    def __exit__(self, *error: object) -> None:
        for written in (self._manifest, self._words, self._set_aside):
            written.close()

    @property
    def recordings(self) -> int:
        """Number of recordings so far."""
        return self._manifest.rows

    @property
    def example(self) -> str:
        """The first that was set aside for the most frequent reason; empty where none was."""
        return next((self._first[reason] for reason, _ in self.reasons.most_common(1)), "")

    def add(
        self,
        recording: Recording,
        path: str,
        text: str,
        duration: str,
        words: list[tuple[str, str, str, int, str]],
    ) -> None:
        """Write a recording: its path in the folder, clean text, seconds and word rows."""
        span = (recording.span or ("0", duration)) if self._spans else ()
        speaker = " ".join(recording.speaker.split())
        self._manifest.add(path, text, speaker, duration, *span)
        for word, start, end, index, confidence in words:
            sure = (confidence,) if self._confidence else ()
            self._words.add(path, word, speaker, start, end, *sure, str(index))
        self._speakers.add(speaker)
        self._seconds += float(duration)

    def reject(self, rejected: Rejected) -> None:
        """Write and count what is set aside."""
        self.reasons[rejected.reason] += 1
        self._first.setdefault(rejected.reason, f"{rejected.path}: {rejected.detail}")
        self._set_aside.add(rejected.path, rejected.what, rejected.reason, rejected.detail[:300])

    def finish(self, told: dict) -> dict:
        """Close and describe the lists; word times that are not known leave no list.

        Args:
            told: how they were made.

        Returns:
            What prepared.json holds.
        """
        files = {
            MANIFEST: self._manifest.close(),
            WORDS: self._words.close(),
            SET_ASIDE: self._set_aside.close(),
        }
        if not files[WORDS]["rows"]:
            (self._folder / WORDS).unlink()
            del files[WORDS]
        description = {
            "form": FORM,
            **told,
            "recordings": files[MANIFEST]["rows"],
            "words": files.get(WORDS, {}).get("rows", 0),
            "speakers": len(self._speakers - {""}),
            "hours": round(self._seconds / 3600, 3),
            "set_aside": dict(sorted(self.reasons.items())),
            "files": files,
        }
        text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
        (self._folder / DESCRIPTION).write_text(text, encoding="utf-8")
        return description
