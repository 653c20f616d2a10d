"""All recordings of a set, decoded once into one memory-mapped file that every worker shares."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.audio.decoding import SAMPLE_RATE_HZ, decode
from adml.errors import AudioError, DataError

logger = logging.getLogger(__name__)

_VERSION = 1
_SHARD_FILES = 64
_SAMPLES, _INDEX, _PARTIAL, _JOURNAL = "samples.int16", "index.json", "partial.int16", "journal"
QUIET_SAMPLES = 8000
"""Length of the quietest stretch looked up in every recording: half a second."""


class PcmStore:
    """Random access to decoded recordings: mono, 16 kHz, int16 on disk, float32 when read."""

    def __init__(self, folder: Path, index: dict):
        """Use `PcmStore.build` or `PcmStore.open`."""
        self.folder = folder
        self.paths: tuple[str, ...] = tuple(index["paths"])
        self.lengths = np.array(index["lengths"], np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.quiet_starts = np.array(index["quiet_starts"], np.int64)
        self.failed: dict[str, str] = dict(index["failed"])
        self.content_hash: str = index["content_hash"]
        self._code = {path: code for code, path in enumerate(self.paths)}
        size = (folder / _SAMPLES).stat().st_size
        if size != 2 * self.offsets[-1]:
            raise DataError(
                f"The decoded audio in {folder} is damaged. Expected: {2 * self.offsets[-1]} "
                f"bytes. Received: {size}. Remove the folder; it is made again."
            )
        # a plain view of the mapped file: slicing np.memmap itself is several times slower
        self._samples = np.asarray(np.memmap(folder / _SAMPLES, "<i2", mode="r"))

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, path: str) -> bool:
        return path in self._code

    @property
    def seconds(self) -> float:
        """Length of all recordings together."""
        return float(self.offsets[-1]) / SAMPLE_RATE_HZ

    def code(self, path: str) -> int:
        """Number of a recording, for `read_samples`; DataError where it is not in the store."""
        try:
            return self._code[path]
        except KeyError:
            reason = self.failed.get(path, "it was not among the recordings the store was made of")
            raise DataError(f"No decoded audio for {path}: {reason}.") from None

    def read(self, path: str, start_s: float = 0.0, end_s: float = np.inf) -> np.ndarray:
        """Samples of a recording between two times, cut to its bounds.

        Args:
            path: as it was given to `build`.
            start_s, end_s: seconds.

        Returns:
            float32 [T] in [-1, 1); empty where the span lies outside.

        Raises:
            DataError: the recording is not in the store.
        """
        code = self.code(path)
        length = int(self.lengths[code])
        start, end = (
            int(round(min(max(time_s, 0.0) * SAMPLE_RATE_HZ, length)))
            for time_s in (start_s, end_s)
        )
        return self.read_samples(code, start, end)

    def read_samples(self, code: int, start: int, end: int) -> np.ndarray:
        """Samples `start` to `end` of recording number `code`, cut to its bounds; float32 [T]."""
        length, offset = int(self.lengths[code]), int(self.offsets[code])
        start = min(max(start, 0), length)
        end = min(max(end, start), length)
        return self._samples[offset + start : offset + end] * np.float32(1.0 / 32768.0)

    def quiet(self, code: int) -> np.ndarray:
        """The quietest half second of a recording (all of it where it is shorter); float32 [T]."""
        start = int(self.quiet_starts[code])
        return self.read_samples(code, start, start + QUIET_SAMPLES)

    @classmethod
    def open(cls, folder: str | Path) -> PcmStore:
        """Open a finished store.

        Raises:
            DataError: there is none in `folder`, or it is damaged.
        """
        folder = Path(folder)
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            return cls(folder, index)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"No usable store of decoded audio in {folder}: {type(error).__name__}: {error}. "
                "Make it with PcmStore.build."
            ) from error

    @classmethod
    def build(
        cls, paths: Sequence[str], folder: str | Path, *, workers: int | None = None
    ) -> PcmStore:
        """Decode every recording once and open the result; a second call only opens it.

        The store lies in a folder below `folder` named after the paths, sizes and times of change.
        An interrupted build goes on after the last whole shard. A recording that cannot be
        decoded is reported, kept in `failed`, and left out.

        Args:
            paths: audio files; repeated ones count once.
            folder: cache folder, made where needed.
            workers: decoding threads; all cores where None.

        Raises:
            DataError: no paths, none could be decoded, or the folder cannot be written.
        """
        unique = sorted(set(map(str, paths)))
        if not unique:
            raise DataError("No recordings to decode. Expected: at least one audio path.")
        key = _key(unique)
        target = Path(folder) / key[:16]
        try:
            target.mkdir(parents=True, exist_ok=True)
            with (target / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (target / _INDEX).is_file():
                    _decode_all(unique, target, workers or os.cpu_count() or 1)
        except OSError as error:
            raise DataError(
                f"The cache folder {target} cannot be written: {error}. Give another folder."
            ) from error
        store = cls.open(target)
        if store.failed:
            first = "; ".join(f"{path}: {why}" for path, why in list(store.failed.items())[:3])
            logger.warning(
                "%d of %d recordings could not be decoded and are left out. First: %s",
                len(store.failed),
                len(unique),
                first,
            )
        return store


def _key(paths: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {SAMPLE_RATE_HZ}".encode())
    for path in paths:
        state = os.stat(path) if os.path.exists(path) else None
        told = f"{state.st_size} {state.st_mtime_ns}" if state else "-1"
        digest.update(f"\0{path}\0{told}".encode())
    return digest.hexdigest()


def _decode_all(paths: list[str], target: Path, workers: int) -> None:
    """Append every shard to the partial file, with a line in the journal each; then commit."""
    shards = [paths[i : i + _SHARD_FILES] for i in range(0, len(paths), _SHARD_FILES)]
    done, size = _journal(target)
    with (
        (target / _PARTIAL).open("r+b" if done else "wb") as samples,
        (target / _JOURNAL).open("w", encoding="utf-8") as journal,
    ):
        journal.writelines(json.dumps(entry) + "\n" for entry in done)
        samples.truncate(size)
        samples.seek(size)
        progress = tqdm(
            total=len(shards), initial=len(done), desc="decoding", unit="shard", disable=None
        )
        with ThreadPoolExecutor(workers) as pool, progress:
            for pieces, entry in _ahead(pool, shards[len(done) :], workers + 1):
                for piece in pieces:
                    samples.write(piece.tobytes())
                samples.flush()
                os.fsync(samples.fileno())
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
                done.append(entry)
                progress.update()
    index = {
        name: sum((entry[name] for entry in done), [])
        for name in ("paths", "lengths", "quiet_starts", "failed")
    }
    if not index["paths"]:
        raise DataError(
            f"None of {len(paths)} recordings could be decoded. First: {index['failed'][0][1]}"
        )
    hashes = "".join(entry["sha256"] for entry in done)
    index["content_hash"] = hashlib.sha256(hashes.encode()).hexdigest()
    os.replace(target / _PARTIAL, target / _SAMPLES)
    (target / (_INDEX + ".new")).write_text(json.dumps(index), encoding="utf-8")
    os.replace(target / (_INDEX + ".new"), target / _INDEX)
    (target / _JOURNAL).unlink()


def _journal(target: Path) -> tuple[list[dict], int]:
    """Entries of an interrupted build whose samples are on disk, and their size in bytes."""
    entries: list[dict] = []
    size = 0
    if not (target / _JOURNAL).is_file() or not (target / _PARTIAL).is_file():
        return entries, size
    on_disk = (target / _PARTIAL).stat().st_size
    for line in (target / _JOURNAL).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if size + 2 * sum(entry["lengths"]) > on_disk:
            break
        entries.append(entry)
        size += 2 * sum(entry["lengths"])
    return entries, size


def _ahead(
    pool: ThreadPoolExecutor, shards: list[list[str]], ahead: int
) -> Iterator[tuple[list[np.ndarray], dict]]:
    """Decoded shards in order, with no more than `ahead` of them in the making."""
    waiting = iter(shards)
    futures = [pool.submit(decode_recordings, shard) for shard in islice(waiting, ahead)]
    while futures:
        result = futures.pop(0).result()
        futures.extend(pool.submit(decode_recordings, shard) for shard in islice(waiting, 1))
        yield result


def decode_recordings(paths: list[str]) -> tuple[list[np.ndarray], dict]:
    """Decode files as a store keeps them.

    Returns:
        int16 [T] of each that can be decoded; and by name, in the same order, their `paths`,
        `lengths` and `quiet_starts` in samples, `failed` (path and reason of the others) and the
        `sha256` of all samples.
    """
    pieces, digest = [], hashlib.sha256()
    entry = {"paths": [], "lengths": [], "quiet_starts": [], "failed": []}
    for path in paths:
        try:
            samples = decode(path)
        except AudioError as error:
            entry["failed"].append([path, str(error)])
            continue
        piece = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
        pieces.append(piece)
        digest.update(piece.tobytes())
        entry["paths"].append(path)
        entry["lengths"].append(len(piece))
        entry["quiet_starts"].append(_quietest(samples))
    entry["sha256"] = digest.hexdigest()
    return pieces, entry


def _quietest(samples: np.ndarray, *, step: int = 400) -> int:
    """First sample of the quietest stretch, on a grid of `step` samples."""
    blocks = len(samples) // step
    width = QUIET_SAMPLES // step
    if blocks <= width:
        return 0
    energy = np.square(samples[: blocks * step].reshape(blocks, step), dtype=np.float64).sum(1)
    total = np.concatenate([[0.0], np.cumsum(energy)])
    return int(np.argmin(total[width:] - total[:-width])) * step
