"""LibriSpeech (openslr.org/12): SPEAKER/CHAPTER/ with audio and one list of transcripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.recording import Corpus, Item, Recording, Rejected
from adml.data.corpora.walk import AUDIO_SUFFIXES, walk_files
from adml.errors import DataError

_TRANSCRIPTS = ".trans.txt"


def read_librispeech(source: Path, split: str) -> Iterator[Item]:
    """Recordings of every chapter below a folder: a subset, several, or LibriSpeech itself.

    Args:
        source: folder in which `SPEAKER-CHAPTER.trans.txt` files lie at any depth.
        split: "all".
    """
    for lists in walk_files(source, (".txt",)):
        if isinstance(lists, Rejected):
            yield lists
        elif lists.name.endswith(_TRANSCRIPTS):
            yield from _chapter(source, lists)


def _chapter(source: Path, transcripts: Path) -> Iterator[Item]:
    folder, audio = transcripts.parent, {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        if path.stem in audio:
            yield Rejected(path.relative_to(source).as_posix(), "two recordings of one name")
        audio.setdefault(path.stem, path)
    try:
        lines = read_lines(transcripts)
    except DataError as error:
        told = transcripts.relative_to(source).as_posix()
        yield Rejected(told, "list cannot be read", str(error))
        lines = []
    for line in lines:
        name, _, text = line.strip().partition(" ")
        if name:
            path = audio.pop(name, None) or folder / f"{name}.flac"
            key = path.relative_to(source).as_posix()
            yield Recording(path, key, text, speaker=name.split("-")[0])
    for path in sorted(audio.values()):
        yield Rejected(path.relative_to(source).as_posix(), "no text", transcripts.name)


def read_lines(path: Path) -> list[str]:
    """Lines of a text file of a corpus.

    Raises:
        DataError: it is not UTF-8 text, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read. Expected: UTF-8 text. Received: {error}. Copy it again."
        ) from error


LIBRISPEECH = Corpus(
    name="librispeech",
    description="LibriSpeech: read English books",
    licence="CC BY 4.0",
    layout="SPEAKER/CHAPTER/ with SPEAKER-CHAPTER.trans.txt and SPEAKER-CHAPTER-NUMBER.flac, at "
    "any depth",
    read=read_librispeech,
    alignable=True,
)
