"""Whether the files of a sharded folder are those that were made."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from adml.data.corpora.verify import Fault, Verified
from adml.data.shards.form import file_hash, read_description


def check_shards(folder: Path, found: Verified, workers: int) -> Iterator[Fault]:
    """The files of a sharded folder that are missing or not those that shards.json tells.

    Recordings and words were decoded and checked as the shards were made, so where every hash is
    true they are still as they were.

    Args:
        folder: of `adml data shard`.
        found: gets the numbers of recordings, words and hours.
        workers: files read at a time.

    Raises:
        DataError: shards.json cannot be used.
    """
    described = read_description(folder)
    found.recordings, found.words = described["recordings"], described["words"]
    found.hours = described["hours"]
    names = list(described["files"])
    with ThreadPoolExecutor(workers) as pool:
        hashes = pool.map(lambda name: _hash(folder / name), names)
        told = zip(names, hashes, strict=True)
        for name, received in tqdm(told, "verifying", len(names), unit="file", disable=None):
            if received != described["files"][name]["sha256"]:
                yield Fault(name, "", "file is damaged" if received else "file is missing")


def _hash(path: Path) -> str | None:
    try:
        return file_hash(path)
    except OSError:
        return None
