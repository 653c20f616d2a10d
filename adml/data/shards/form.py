"""The form of sharded speech: names of its files, what tells of them, and its index."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.errors import DataError

FORM = 1
"""Version of the form, in shards.json."""

DESCRIPTION, INDEX = "shards.json", "index.npy"
MANIFEST, WORDS, SET_ASIDE = "manifest.tsv", "words.tsv", "set_aside.tsv"
SET_ASIDE_COLUMNS = ("path", "what", "reason", "detail")
INDEX_ROW = np.dtype(
    [("shard", "<u4"), ("offset", "<i8"), ("samples", "<i8"), ("quiet_start", "<i8")]
)
"""A recording, in the order of manifest.tsv: number of its shard, byte of it at which its samples
begin, their number, and the first sample of its quietest half second."""


def shard_name(shard: int, shards: int) -> str:
    """Name of a shard, such as "audio-00000-of-00032.tfrecord"."""
    return f"audio-{shard:05d}-of-{shards:05d}.tfrecord"


def is_sharded(folder: Path) -> bool:
    """Whether a folder is one of `adml data shard`."""
    return (folder / DESCRIPTION).is_file()


def file_hash(path: Path) -> str:
    """The sha256 of a file, read piece by piece."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_description(folder: Path) -> dict:
    """What shards.json holds.

    Raises:
        DataError: it is missing, damaged or of another version.
    """
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        form = described["form"], described["sample_rate_hz"]
        if form == (FORM, SAMPLE_RATE_HZ):
            for name in (MANIFEST, SET_ASIDE, INDEX, *described["shards"]):
                described["files"][name]["bytes"], described["files"][name]["sha256"]
            return described
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be used: {type(error).__name__}: {error}. Expected: a folder of "
            "`adml data shard`. Make it anew."
        ) from error
    raise DataError(
        f"{path} is of another form. Expected: form {FORM}, {SAMPLE_RATE_HZ} Hz. Received: form "
        f"{form[0]}, {form[1]} Hz. Make the folder anew."
    )


def read_file(folder: Path, described: dict, name: str) -> bytes:
    """A list or the index of a folder, whose hash must be that of shards.json.

    Raises:
        DataError: it is missing or another.
    """
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(
            f"{folder / name} cannot be read: {error.strerror}. Make the folder anew."
        ) from error
    if hashlib.sha256(data).hexdigest() != described["files"][name]["sha256"]:
        raise DataError(
            f"{folder / name} is damaged. Expected: the sha256 that {DESCRIPTION} tells. "
            "`adml data verify` tells what else is; make the folder anew."
        )
    return data


def read_index(folder: Path, described: dict) -> tuple[list[str], np.ndarray]:
    """Paths as the manifest tells them, and their rows of `INDEX_ROW` [N].

    Raises:
        DataError: manifest or index are missing or damaged.
    """
    header, *lines = read_file(folder, described, MANIFEST).decode("utf-8").split("\n")[:-1]
    column = header.split("\t").index("path")
    index = np.load(io.BytesIO(read_file(folder, described, INDEX)), allow_pickle=False)
    return [line.split("\t")[column] for line in lines], index
