"""Google Speech Commands v0.01 and v0.02 (Warden, arXiv:1804.03209): one word a second long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adml.data.corpora.folders import SHARED
from adml.data.corpora.librispeech import read_lines
from adml.data.corpora.recording import ALL, Corpus, Item, Recording, Rejected
from adml.data.corpora.walk import AUDIO_SUFFIXES, walk_files
from adml.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_LISTS = {VALIDATION: "validation_list.txt", TEST: "testing_list.txt"}


def read_speech_commands(source: Path, split: str) -> Iterator[Item]:
    """Recordings of the words; `_background_noise_` and other folders in "_" are left out.

    The speaker is the hash before `_nohash_` in the file's name. What neither list names is train;
    what they name and is not there is told, as it may be there by another name.

    Args:
        source: folder of the words and the two lists.
        split: "train", "validation", "test" or "all".

    Raises:
        DataError: a list that the split needs is not there, or empty.
    """
    lists = {}
    if split != ALL:
        lists = {name: set(_listed(source / file)) for name, file in _LISTS.items()}
    for path in walk_files(source, AUDIO_SUFFIXES):
        if isinstance(path, Rejected):
            yield path
            continue
        key = path.relative_to(source).as_posix()
        word = path.parent.name
        if path.parent == source or word.startswith(SHARED):
            continue
        own = next((name for name, names in lists.items() if key in names), TRAIN)
        if split in (ALL, own):
            yield Recording(path, key, word, path.stem.split("_nohash_")[0])
        lists.get(own, set()).discard(key)
    for key in sorted(lists.get(split, ())):
        yield Recording(source / key, key, key.split("/")[0], "")
    for name, file in _LISTS.items() if split == TRAIN else ():
        for key in sorted(lists[name]):
            yield Rejected(key, "audio file is missing", f"named in {file}")


def _listed(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(
            f"The list {path} is not there. Expected: validation_list.txt and testing_list.txt "
            "beside the folders of the words. Without them leave --split out."
        )
    lines = (line.strip().replace("\\", "/") for line in read_lines(path))
    names = [PurePosixPath(line).as_posix() for line in lines if line]
    if not names:
        raise DataError(f"The list {path} is empty. Expected: WORD/FILE.wav a line. Fetch it anew.")
    return names


SPEECH_COMMANDS = Corpus(
    name="speech_commands",
    description="Google Speech Commands v0.01 or v0.02: 30 or 35 words",
    licence="CC BY 4.0",
    layout="WORD/SPEAKER_nohash_NUMBER.wav, validation_list.txt, testing_list.txt",
    read=read_speech_commands,
    splits=(TRAIN, VALIDATION, TEST),
)
