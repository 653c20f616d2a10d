"""Wall Street Journal (LDC93S6A, LDC94S13A): .wv1 recordings and their transcripts.

The prompts (.ptx) tell what was to be read, the transcripts (.dot) what was said, each in lines of
`text (utterance)`; .dot goes before .lsn, and that before .ptx. On the older discs .wv1 files are
compressed by shorten, which no kept library reads: expand them first (sph2pipe). Written from the
LDC's public documentation and not checked against the licensed discs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.librispeech import read_lines
from adml.data.corpora.recording import Corpus, Item, Recording, Rejected
from adml.data.corpora.transcripts import is_truncated, split_utterance, spoken_text
from adml.data.corpora.walk import walk_files
from adml.errors import DataError

_AUDIO = (".wv1", ".sph", ".wav", ".flac")
_RANKS = {".dot": 0, ".lsn": 1, ".ptx": 2}
_SPEAKER_LETTERS = 3


def read_wsj(source: Path, split: str) -> Iterator[Item]:
    """Recordings of the first microphone, each once and with the best text there is of it.

    The speaker is the first three letters of the utterance.

    Args:
        source: folder of the discs, at any depth; .wv1, .sph, .wav or .flac.
        split: "all".
    """
    texts: dict[str, tuple[int, str]] = {}
    differing: set[str] = set()
    for path in walk_files(source, tuple(_RANKS)):
        if isinstance(path, Rejected):
            continue
        try:
            lines = read_lines(path)
        except DataError as error:
            told = path.relative_to(source).as_posix()
            yield Rejected(told, "list cannot be read", str(error))
            continue
        rank = _RANKS[path.suffix.lower()]
        for name, text in filter(None, map(split_utterance, lines)):
            known = texts.get(name)
            if known is None or rank < known[0]:
                texts[name] = (rank, text)
                differing.discard(name)
            elif rank == known[0] and spoken_text(text) != spoken_text(known[1]):
                differing.add(name)
    first: dict[str, str] = {}
    for path in walk_files(source, _AUDIO):
        if isinstance(path, Rejected):
            yield path
            continue
        key = path.relative_to(source).as_posix()
        if first.setdefault(path.stem.lower(), key) != key:
            yield Rejected(key, "utterance was there before", first[path.stem.lower()])
        else:
            yield _item(path, key, texts, differing)


def _item(path: Path, key: str, texts: dict[str, tuple[int, str]], differing: set[str]) -> Item:
    name = path.stem.lower()
    text = texts.get(name, (0, ""))[1]
    if name in differing:
        return Rejected(key, "two transcripts that differ", text)
    if is_truncated(text):
        return Rejected(key, "utterance is cut short", text)
    return Recording(path, key, spoken_text(text), name[:_SPEAKER_LETTERS])


WSJ = Corpus(
    name="wsj",
    description="Wall Street Journal (WSJ0, WSJ1): read and dictated newspaper text",
    licence="LDC; give --audio flac, as the discs hold NIST SPHERE",
    layout=".wv1 (uncompressed NIST SPHERE), .wav or .flac files named by utterance, and .dot, "
    ".lsn or .ptx files of `text (utterance)`, at any depth",
    read=read_wsj,
    alignable=True,
)
