"""A set to shards: planned, written by several processes, and joined; taken up where it ended."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.corpora.output import UNFINISHED, finish, held_part
from adml.data.shards.form import (
    DESCRIPTION,
    FORM,
    INDEX,
    INDEX_ROW,
    MANIFEST,
    SET_ASIDE,
    SET_ASIDE_COLUMNS,
    WORDS,
    file_hash,
    is_sharded,
    shard_name,
)
from adml.data.shards.plan import Plan
from adml.data.shards.writing import Job, make_shard, notes_of, row
from adml.data.workers import begin_worker
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

SHARD_MB = 128
"""Chosen: samples of a shard in units of 10**6 bytes; over an hour of speech."""


def make_shards(
    source: Path,
    out: Path,
    *,
    shard_mb: int = SHARD_MB,
    jobs: int | None = None,
    beam: Sequence[str] | None = None,
) -> dict:
    """Write a set as shards, an index and lists. What cannot be used is set aside and listed.

    What is written depends on the set and on `shard_mb` alone. OUT appears when it is whole; until
    then OUT.part holds the shards that are, which a second call does not make again unless their
    rows or audio files have changed.

    Args:
        source: folder of manifest.tsv and, where word times are known, words.tsv.
        out: new folder.
        shard_mb: samples of a shard, in units of 10**6 bytes.
        jobs: processes; all cores where None.
        beam: options of an Apache Beam pipeline that makes the shards in their stead; its workers
            must see both folders.

    Returns:
        What shards.json holds.

    Raises:
        UsageError: a folder does not fit, or Apache Beam is not installed.
        DataError: the lists cannot be used, no recording can, or a process was killed.
    """
    _check(source, out)
    with Plan(source, shard_mb * 10**6) as plan, held_part(out) as part:
        shards = [part / shard_name(number, plan.shards) for number in range(plan.shards)]
        known = {path.name for shard in shards for path in (shard, notes_of(shard))} | {UNFINISHED}
        for path in part.iterdir():
            if path.name not in known:
                path.unlink()
        work = (
            Job(source, shard, plan.columns, plan.word_columns, tuple(plan.recordings(number)))
            for number, shard in enumerate(shards)
        )
        if beam is None:
            _make_all(work, shards, jobs or os.cpu_count() or 1, plan.rows)
        else:
            _in_pipeline(work, beam)
        described = _join(plan, shards, part)
        for shard in shards:
            notes_of(shard).unlink()
        finish(part, out)
    if described["set_aside"]:
        told = ", ".join(f"{count} {why}" for why, count in described["set_aside"].items())
        logger.warning("%s: set aside, and listed in %s: %s", out, SET_ASIDE, told)
    return described


def _check(source: Path, out: Path) -> None:
    if not source.is_dir():
        raise UsageError(
            f"The set {source} is not there. Expected: a folder with {MANIFEST}. Check the path."
        )
    if is_sharded(source):
        raise UsageError(f"{source} is sharded already. Expected: the set that it was made of.")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is there already. Expected: a new folder. Choose another name.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{out} lies in the set {source}. Expected: a folder of its own.")


def _in_pipeline(work: Iterator[Job], options: Sequence[str]) -> None:
    try:
        from adml.data.shards.pipeline import make_in_pipeline
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Apache Beam cannot be used: {error}. Expected: the extra beam. Type "
            "pip install -c constraints.txt -e '.[beam]', or leave out --beam."
        ) from error
    make_in_pipeline(work, options)


def _make_all(work: Iterator[Job], shards: list[Path], jobs: int, rows: int) -> None:
    """Make the shards in `jobs` processes, or in this one if that is all."""
    with tqdm(total=rows, desc="sharding", unit="recording", disable=None) as progress:
        if jobs == 1 or len(shards) == 1:
            for job in work:
                make_shard(job)
                progress.update(len(job.planned))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(shards)), context, begin_worker) as pool:
            try:
                _make_ahead(pool, work, 2 * jobs, progress.update)
            except BrokenProcessPool as error:
                raise DataError(
                    f"A process that makes shards was killed, perhaps for want of memory. "
                    f"Received: {error}. The shards that are whole are kept in "
                    f"{shards[0].parent}: type the command again, with fewer --jobs."
                ) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _make_ahead(
    pool: ProcessPoolExecutor, work: Iterator[Job], ahead: int, done: Callable[[int], object]
) -> None:
    """Have all shards made, with no more than `ahead` jobs in memory."""
    waiting: deque[tuple[int, Future]] = deque()
    for job in work:
        # a worker that is started here lets interrupts wait until it knows what to do with them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            waiting.append((len(job.planned), pool.submit(make_shard, job)))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if len(waiting) == ahead:
            count, future = waiting.popleft()
            future.result()
            done(count)
    for count, future in waiting:
        future.result()
        done(count)


def _join(plan: Plan, shards: list[Path], part: Path) -> dict:
    """Write the lists, the index and, last, shards.json, from the notes of the shards."""
    counted = _Counted()
    names = [MANIFEST, SET_ASIDE, *([WORDS] if plan.word_columns else [])]
    with contextlib.ExitStack() as stack:
        lists = {
            name: stack.enter_context((part / name).open("w", encoding="utf-8", newline="\n"))
            for name in names
        }
        lists[MANIFEST].write(row(*plan.columns))
        lists[SET_ASIDE].write(row(*SET_ASIDE_COLUMNS))
        if plan.word_columns:
            lists[WORDS].write(row(*plan.word_columns))
        for shard in shards:
            notes = json.loads(notes_of(shard).read_text(encoding="utf-8"))
            counted.add(notes, shard.name)
            lists[MANIFEST].writelines(notes["manifest"])
            if plan.word_columns:
                lists[WORDS].writelines(notes["words"])
            lists[SET_ASIDE].writelines(row(*told) for told in notes["set_aside"])
        for left in plan.left_over():
            lists[SET_ASIDE].write(row(left.path, left.what, left.reason, left.detail))
            counted.reasons[left.reason] += 1
    if not counted.recordings:
        reasons = ", ".join(f"{count} {why}" for why, count in counted.reasons.most_common(5))
        raise DataError(
            f"No recording of {plan.source} can be used. Expected: at least one. Received: "
            f"{reasons}. `adml data verify {plan.source}` lists them."
        )
    _write_index(shards, part / INDEX, counted.recordings)
    for name in (*names, INDEX):
        path = part / name
        counted.files[name] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}
    described = counted.description([shard.name for shard in shards])
    text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    (part / DESCRIPTION).write_text(text, encoding="utf-8")
    return described


def _write_index(shards: list[Path], path: Path, recordings: int) -> None:
    index = np.lib.format.open_memmap(path, "w+", INDEX_ROW, (recordings,))
    with path.open("r+b") as file:  # where there is no room this says so; a map would end in SIGBUS
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    at = 0
    for number, shard in enumerate(shards):
        for found in json.loads(notes_of(shard).read_text(encoding="utf-8"))["index"]:
            index[at] = (number, *found)
            at += 1
    index.flush()


class _Counted:
    """What the notes of all shards come to."""

    def __init__(self):
        self.recordings, self.words, self.samples = 0, 0, 0
        self.speakers: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.files: dict[str, dict] = {}
        self._content = hashlib.sha256()

    def add(self, notes: dict, name: str) -> None:
        self.recordings += len(notes["manifest"])
        self.words += len(notes["words"])
        self.samples += sum(samples for _, samples, _ in notes["index"])
        self.speakers |= set(notes["speakers"])
        self.reasons.update(reason for _, _, reason, _ in notes["set_aside"])
        self.files[name] = {"bytes": notes["bytes"], "sha256": notes["sha256"]}
        self._content.update("".join(notes["samples_sha256"]).encode())

    def description(self, shards: list[str]) -> dict:
        lists = [self.files[name]["sha256"] for name in (MANIFEST, WORDS) if name in self.files]
        self._content.update("".join(lists).encode())
        return {
            "form": FORM,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "recordings": self.recordings,
            "hours": round(self.samples / SAMPLE_RATE_HZ / 3600, 3),
            "speakers": len(self.speakers - {""}),
            "words": self.words,
            "set_aside": dict(sorted(self.reasons.items())),
            "content_hash": self._content.hexdigest(),
            "shards": shards,
            "files": self.files,
        }
