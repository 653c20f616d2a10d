"""Files of a folder in an order of their names alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from adml.data.corpora.recording import Rejected

AUDIO_SUFFIXES = frozenset((".wav", ".flac", ".opus", ".ogg", ".mp3"))
LINKED_FOLDER = "folder is a link"


def walk_files(
    root: Path, suffixes: Collection[str], *, below: Path | None = None
) -> Iterator[Path | Rejected]:
    """All files below a folder whose name ends so, whatever the case, sorted by their parts.

    Links to folders are not followed (they may lead anywhere, also back) but told.

    Args:
        root: the folder.
        suffixes: in small letters, with the dot.
        below: folder that told paths are relative to; `root` where None.

    Yields:
        Paths, and a `Rejected` for each folder that is a link.
    """
    below = below or root
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = root / entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(path, suffixes, below=below)
        elif entry.is_symlink() and os.path.isdir(path):
            told = path.relative_to(below).as_posix()
            yield Rejected(told, LINKED_FOLDER, "give the folder that it leads to")
        elif path.suffix.lower() in suffixes:
            yield path


def folders_of(root: Path) -> list[Path]:
    """The folders right below one, sorted by name; links to folders count."""
    return sorted(path for path in root.iterdir() if path.is_dir())
