"""The recordings of sharded folders, read as those of a `PcmStore` are."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from adml.data.shards.form import SET_ASIDE, read_description, read_file, read_index
from adml.data.store import PcmStore
from adml.errors import DataError

_MAPPED_SHARDS = 256
"""Shards that are mapped at a time; each takes a file descriptor."""


class ShardStore(PcmStore):
    """Random access to sharded recordings: mono, 16 kHz, int16 on disk, float32 when read.

    It answers as a `PcmStore` of the same recordings does, but for its content hash and for the
    words in which it says why a recording is not there. A recording is called by its path in
    manifest.tsv below the sharded folder, as `read_shard_words` calls it.
    """

    def __init__(self, folders: list[Path], only: Collection[str] | None):
        """Use `ShardStore.open`."""
        self.folder = folders[0]
        self.failed: dict[str, str] = {}
        self._shards: list[Path] = []
        paths: list[str] = []
        parts, hashes = [], []
        for folder in folders:
            described = read_description(folder)
            names, index = read_index(folder, described)
            index["shard"] += len(self._shards)
            for name in described["shards"]:
                self._shards.append(_checked_shard(folder, name, described))
            paths += [str(folder / name) for name in names]
            parts.append(index)
            hashes.append(described["content_hash"])
            self._read_failed(folder, described)
        kept = (n for n, path in enumerate(paths) if only is None or path in only)
        order = sorted(kept, key=paths.__getitem__)
        if only is not None:
            absent = dict.fromkeys(set(only).difference(paths), "not in the shards")
            self.failed = {path: self.failed.get(path, absent[path]) for path in sorted(absent)}
        index = np.concatenate(parts)[order]
        self.paths = tuple(paths[number] for number in order)
        self.lengths = index["samples"].astype(np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.quiet_starts = index["quiet_start"].astype(np.int64)
        self.content_hash = hashlib.sha256("".join(hashes).encode()).hexdigest()
        self._code = {path: code for code, path in enumerate(self.paths)}
        self._shard_numbers, self._shard_offsets = index["shard"].copy(), index["offset"].copy()
        self._mapped = functools.lru_cache(_MAPPED_SHARDS)(self._map)

    def _read_failed(self, folder: Path, described: dict) -> None:
        lines = read_file(folder, described, SET_ASIDE).decode("utf-8").split("\n")[1:-1]
        for path, what, reason, _ in (line.split("\t") for line in lines):
            if what == "recording":
                self.failed.setdefault(str(folder / path), reason)

    def _map(self, shard: int) -> np.ndarray:
        # a plain view of the mapped file: slicing np.memmap itself is several times slower
        return np.asarray(np.memmap(self._shards[shard], np.uint8, mode="r"))

    def read_samples(self, code: int, start: int, end: int) -> np.ndarray:
        """Samples `start` to `end` of recording number `code`, cut to its bounds; float32 [T]."""
        length, offset = int(self.lengths[code]), int(self._shard_offsets[code])
        start = min(max(start, 0), length)
        end = min(max(end, start), length)
        samples = self._mapped(int(self._shard_numbers[code]))
        span = samples[offset + 2 * start : offset + 2 * end]
        return span.view("<i2") * np.float32(1.0 / 32768.0)

    @classmethod
    def open(
        cls, folder: str | Path, *more: str | Path, only: Collection[str] | None = None
    ) -> ShardStore:
        """Open the recordings of one sharded folder, or of several as one store.

        Where `only` is given, recordings of other paths are as if they were not there. The lists
        and the index are checked by their hashes, the shards by their sizes (by their hashes in
        `adml data verify`).

        Raises:
            DataError: a folder is not one of `adml data shard`, or it is damaged.
        """
        return cls([Path(folder), *map(Path, more)], only)


def _checked_shard(folder: Path, name: str, described: dict) -> Path:
    path, expected = folder / name, described["files"][name]["bytes"]
    size = path.stat().st_size if path.is_file() else None
    if size != expected:
        raise DataError(
            f"{path} is damaged. Expected: {expected} bytes. Received: "
            f"{'no file' if size is None else size}. `adml data verify` tells what else is; make "
            "the folder anew."
        )
    return path
