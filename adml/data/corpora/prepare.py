"""A corpus in its published layout to the project's plain form, in one pass and bounded memory."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from adml.data.corpora.alignments import Alignments
from adml.data.corpora.checks import (
    ANOTHER_TEXT,
    checked_words,
    clean_text,
    is_of_another_text,
    place_fault,
    text_fault,
)
from adml.data.corpora.output import DESCRIPTION, Lists, folder_in_the_making
from adml.data.corpora.recording import ALL, WORDS, Corpus, Item, Recording, Rejected, Word
from adml.data.corpora.sound import measure, reason_of, write_flac
from adml.data.corpora.sphere import is_sphere
from adml.data.rows import END_TOLERANCE_S, time_fault
from adml.errors import AudioError, DataError, UsageError

logger = logging.getLogger(__name__)

LINK, FLAC = "link", "flac"
_AHEAD = 32
"""Recordings that are in the making for each worker."""


@dataclass(frozen=True)
class Settings:
    """How a corpus is prepared.

    Args:
        audio: "link" to the source's files, or "flac": decoded to 16 kHz, one channel.
        alignments: folder or table of word times; None for those that the corpus tells.
        split: one of the corpus' own, or "all".
        workers: recordings read at a time; all cores where None. The lists do not depend on it.
    """

    audio: str = LINK
    alignments: Path | None = None
    split: str = ALL
    workers: int | None = None


def prepare(corpus: Corpus, source: Path, out: Path, settings: Settings) -> dict:
    """Write a corpus as OUT/manifest.tsv, words.tsv, set_aside.tsv, prepared.json and audio/.

    What cannot be used is set aside, counted by reason, and listed.

    Args:
        corpus: with its reader.
        source: folder that it lies in.
        out: new folder; it appears when it is whole.
        settings: how.

    Returns:
        What prepared.json holds.

    Raises:
        UsageError: a folder or setting does not fit.
        DataError: no recording of the layout is there, or none can be used.
    """
    _check(corpus, source, out, settings)
    aligned = Alignments(settings.alignments) if settings.alignments else None
    columns = corpus.extra_columns(source)
    with folder_in_the_making(out) as part, Lists(part, columns) as lists:
        for rejected in aligned.odd if aligned else ():
            lists.reject(rejected)
        maker = _Maker(corpus, source.resolve(), part, settings, aligned)
        for made in maker.run():
            if isinstance(made, Rejected):
                lists.reject(made)
                continue
            for rejected in made.rejected:
                lists.reject(rejected)
            lists.add(made.recording, made.path, made.text, made.duration, made.words)
        reasons = ", ".join(f"{count} {why}" for why, count in lists.reasons.most_common(5))
        if not lists.recordings:
            raise DataError(
                f"No recording of {corpus.name} is left in {source}. Expected: {corpus.layout}. "
                f"Received: {reasons or 'no file of this layout'}. Check --source. "
                f"{lists.example[:500]}".rstrip()
            )
        described = lists.finish(
            {"corpus": corpus.name, "split": settings.split, "audio": settings.audio}
        )
    if reasons:
        logger.warning("%s: set aside, and listed in set_aside.tsv: %s", out, reasons)
    return described


def _check(corpus: Corpus, source: Path, out: Path, settings: Settings) -> None:
    if not source.is_dir():
        raise UsageError(f"The source {source} is not there. Expected: a folder: {corpus.layout}.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{out} lies in the source {source}. Expected: a folder of its own.")
    if settings.audio not in (LINK, FLAC):
        raise UsageError(f"--audio must be {LINK} or {FLAC}. Received: {settings.audio!r}.")
    if settings.split not in (ALL, *corpus.splits):
        raise UsageError(
            f"{corpus.name} has no split {settings.split!r}. Expected one of: "
            f"{', '.join((ALL, *corpus.splits))}."
        )
    if settings.alignments and not corpus.alignable:
        raise UsageError(f"{corpus.name} takes no --alignments. Leave them out.")


@dataclass(frozen=True)
class _Made:
    """A recording that can be used, its rows, and what of it is set aside."""

    recording: Recording
    path: str
    text: str
    duration: str
    words: list[tuple[str, str, str, int, str]]
    rejected: list[Rejected]


class _Maker:
    """Takes recordings in their order, reads several at a time, and gives them in that order."""

    def __init__(
        self,
        corpus: Corpus,
        source: Path,
        part: Path,
        settings: Settings,
        alignments: Alignments | None,
    ):
        self._corpus, self._source, self._part = corpus, source, part
        self._settings, self._alignments = settings, alignments
        self._trust_links = (source / DESCRIPTION).is_file()
        self._folders: set[Path] = set()

    def run(self) -> Iterator[_Made | Rejected]:
        """All items of the corpus, made or rejected."""
        workers = self._settings.workers or os.cpu_count() or 1
        waiting: deque[Rejected | tuple[Recording, Path, Future]] = deque()
        items = tqdm(
            self._corpus.read(self._source, self._settings.split),
            f"preparing {self._corpus.name}",
            unit="recording",
            disable=None,
        )
        with ThreadPoolExecutor(workers) as pool, items:
            try:
                for item in items:
                    waiting.append(self._begin(item, pool))
                    while len(waiting) > _AHEAD * workers:
                        yield self._end(waiting.popleft())
                while waiting:
                    yield self._end(waiting.popleft())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _begin(
        self, item: Item, pool: ThreadPoolExecutor
    ) -> Rejected | tuple[Recording, Path, Future]:
        """Claim a place for a recording and have its audio read."""
        if isinstance(item, Rejected):
            return item
        fault = place_fault(item, self._source, self._trust_links) or text_fault(
            item, self._corpus.needs_text
        )
        if fault:
            return Rejected(item.key, fault, item.text)
        flac = self._settings.audio == FLAC
        if not flac and is_sphere(item.path):
            raise UsageError(
                f"{item.path} is NIST SPHERE, which only preparing reads. Give --audio flac."
            )
        key = PurePosixPath(item.key)
        target = self._part / "audio" / (key.with_suffix(".flac") if flac else key)
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        try:
            if flac:
                target.open("xb").close()
            else:
                target.symlink_to(item.path.resolve())
        except FileExistsError:
            return Rejected(item.key, "two recordings of one name")
        arguments = (item.path, target) if flac else (item.path,)
        read = write_flac if flac else measure
        return item, target, pool.submit(read, *arguments, first_channel=item.first_channel)

    def _end(self, begun: Rejected | tuple[Recording, Path, Future]) -> _Made | Rejected:
        """The rows of a recording whose audio has been read."""
        if isinstance(begun, Rejected):
            return begun
        recording, target, future = begun
        try:
            duration = f"{future.result():.3f}"
            fault, detail = _time_fault(recording, float(duration)), duration
        except AudioError as error:
            fault, detail = reason_of(error, recording.path), str(error)
        if fault:
            target.unlink()
            return Rejected(recording.key, fault, detail)
        words, rejected = self._words(recording)
        rows, odd = checked_words(recording, words, float(duration))
        path = target.relative_to(self._part).as_posix()
        text = clean_text(recording.text)
        return _Made(recording, path, text, duration, rows, [*rejected, *odd])

    def _words(self, recording: Recording) -> tuple[tuple[Word, ...], list[Rejected]]:
        """The word times of a recording, or why there are none."""
        if self._alignments is None:
            return recording.words, []
        try:
            found = self._alignments.find(recording.key)
        except DataError as error:
            return (), [Rejected(recording.key, "alignment cannot be read", str(error), WORDS)]
        if found is None:
            return (), [Rejected(recording.key, "no alignment", "", WORDS)]
        if not any(not word.fault for word in found):
            return (), [Rejected(recording.key, "alignment holds no word", "", WORDS)]
        if is_of_another_text(recording.text, found):
            told = " ".join(word.text for word in found)
            return (), [Rejected(recording.key, ANOTHER_TEXT, told, WORDS)]
        return found, []


def _time_fault(recording: Recording, duration_s: float) -> str | None:
    """Why the times of a recording contradict its audio, or None."""
    if duration_s <= 0:
        return "is shorter than a millisecond"
    if recording.span:
        reason = time_fault(*recording.span, duration_s)[0]
        if reason:
            return f"speech: {reason}"
    if recording.duration is not None:
        reason, _, told_s = time_fault("0", recording.duration, float("inf"))
        if reason or abs(told_s - duration_s) > END_TOLERANCE_S:
            return "duration is not that of the audio"
    return None
