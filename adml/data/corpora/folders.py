"""Recordings that only their folder tells something of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.recording import Corpus, Item, Recording, Rejected
from adml.data.corpora.walk import AUDIO_SUFFIXES, walk_files

SHARED = "_"
"""Folders of several words (`_unknown_`) or none (`_background_noise_`) begin so."""


def read_word_folder(source: Path, split: str) -> Iterator[Item]:
    """Recordings of one word each, the word being the name of the folder they lie in.

    Args:
        source: folder of folders; "_" in a folder's name is a space, and one that begins with "_"
            is left out.
        split: "all".
    """
    for path in walk_files(source, AUDIO_SUFFIXES):
        if isinstance(path, Rejected):
            yield path
        elif path.parent == source:
            yield Rejected(path.name, "no text", "lies in no folder")
        elif not path.parent.name.startswith(SHARED):
            key = path.relative_to(source).as_posix()
            yield Recording(path, key, path.parent.name.replace("_", " "), "")


def read_noise_folder(source: Path, split: str) -> Iterator[Item]:
    """Recordings of noise, their class being the name of the folder they lie in.

    Args:
        source: a folder; recordings right in it have the class "noise".
        split: "all".
    """
    for path in walk_files(source, AUDIO_SUFFIXES):
        if isinstance(path, Rejected):
            yield path
        else:
            text = "noise" if path.parent == source else path.parent.name.replace("_", " ")
            yield Recording(path, path.relative_to(source).as_posix(), text, "")


WORD_FOLDER = Corpus(
    name="word_folder",
    description="recordings of single words or phrases in folders called after them",
    licence="that of the recordings",
    layout="WORD/*.wav (or flac, opus, ogg, mp3)",
    read=read_word_folder,
)
NOISE_FOLDER = Corpus(
    name="noise_folder",
    description="any folder of noise",
    licence="that of the recordings",
    layout="audio files at any depth",
    read=read_noise_folder,
    needs_text=False,
)
