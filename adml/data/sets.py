"""A set of speech in either of its forms: plain (lists beside audio files) or sharded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from adml.data import words
from adml.data.shards.form import WORDS, is_sharded
from adml.data.shards.store import ShardStore
from adml.data.shards.words import read_shard_clips, read_shard_words
from adml.data.store import PcmStore
from adml.data.words import WordTable
from adml.errors import DataError

logger = logging.getLogger(__name__)


def read_words(
    folder: str | Path,
    *,
    words_file: str = WORDS,
    path_prefix: str = "",
    min_confidence: float | None = None,
) -> WordTable:
    """The words of a set; see `adml.data.words.read_words`.

    Raises:
        DataError: see there; or another list is asked for than the one that shards hold.
    """
    folder = Path(folder)
    chosen = {"path_prefix": path_prefix, "min_confidence": min_confidence}
    if not is_sharded(folder):
        return words.read_words(folder, words_file=words_file, **chosen)
    if words_file != WORDS:
        raise DataError(
            f"{folder} is sharded, and shards hold the words of {WORDS} alone. Received: "
            f"{words_file}. Use the plain set, or shard it with that list as its {WORDS}."
        )
    return read_shard_words(folder, **chosen)


def read_clips(folder: str | Path, *, path_prefix: str = "") -> WordTable:
    """The recordings of a set; see `adml.data.words.read_clips`."""
    read = read_shard_clips if is_sharded(Path(folder)) else words.read_clips
    return read(folder, path_prefix=path_prefix)


def open_recordings(paths: Sequence[str | Path], cache: str | Path) -> PcmStore:
    """Decoded recordings by their paths, as `read_words` and `read_clips` tell them.

    Args:
        paths: of plain sets, which are decoded into `cache` once, or of sharded ones.
        cache: folder for decoded speech; sharded sets need none.

    Raises:
        DataError: some paths lie in sharded folders and others do not; or see `PcmStore.build`
            and `ShardStore.open`.
    """
    form: dict[Path, Path | None] = {}
    of_folder: dict[Path | None, str] = {}
    for path in sorted(set(map(str, paths))):
        of_folder.setdefault(_sharded_above(Path(path).parent, form), path)
    if set(of_folder) <= {None}:
        return PcmStore.build(paths, cache)
    if None in of_folder:
        raise DataError(
            "Some of the recordings lie in sharded sets and others do not. Expected: all or none. "
            f"Received: {of_folder[None]} in a plain one. Shard that set too (adml data shard)."
        )
    asked = set(map(str, paths))
    store = ShardStore.open(*sorted(of_folder), only=asked)
    if absent := list(store.failed.items()):
        told = f"{len(absent)} of {len(asked)} recordings cannot be used. First: "
        told += "; ".join(f"{path}: {why}" for path, why in absent[:3])
        if not len(store):
            raise DataError(told)
        logger.warning(told)
    return store


def _sharded_above(folder: Path, known: dict[Path, Path | None]) -> Path | None:
    """The sharded folder that a folder is or lies in, or None."""
    if folder not in known:
        if is_sharded(folder):
            known[folder] = folder
        else:
            top = folder == folder.parent
            known[folder] = None if top else _sharded_above(folder.parent, known)
    return known[folder]
