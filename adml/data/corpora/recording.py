"""What a reader of a corpus yields, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ALL = "all"
"""The split that holds everything."""

RECORDING, WORDS, WORD = "recording", "words", "word"
"""What can be set aside: a recording, all word times of one that is kept, or a single word."""


@dataclass(frozen=True)
class Word:
    """A spoken word: text, start and end in seconds as written, place in its utterance.

    `index` counts the words that an aligner did not know too, so that no phrase leaps over one; it
    is -1 where the place is not known. `fault` says why the word cannot be used.
    """

    text: str
    start: str
    end: str
    index: int
    confidence: str = "nan"
    fault: str = ""


@dataclass(frozen=True)
class Recording:
    """One recording of a corpus.

    Args:
        path: of the audio in the source.
        key: path that it gets below `audio/`, with "/".
        text: what is said, or the class of a noise.
        speaker: empty where it is not known.
        words: with their times; empty where these are not known.
        span: start and end of the speech in seconds as written; None for the whole.
        duration: in seconds as the corpus tells it; None where it does not.
        first_channel: of several channels the first is the recording, not their mean.
    """

    path: Path
    key: str
    text: str
    speaker: str
    words: tuple[Word, ...] = ()
    span: tuple[str, str] | None = None
    duration: str | None = None
    first_channel: bool = False


@dataclass(frozen=True)
class Rejected:
    """Something that is not used: its path in the source, what it is, why, and details."""

    path: str
    reason: str
    detail: str = ""
    what: str = RECORDING


Item = Recording | Rejected


@dataclass(frozen=True)
class Corpus:
    """A corpus and its reader.

    Args:
        name: on the command line.
        description: one line.
        licence: one line.
        layout: of the source, for messages.
        read: (source folder, split) -> its items, in an order that the file system does not choose.
        splits: names besides "all".
        alignable: word times may be given by an alignment.
        needs_text: a recording without a text is of no use.
        extra_columns: source folder -> which of speech_start, speech_end and confidence it tells.
    """

    name: str
    description: str
    licence: str
    layout: str
    read: Callable[[Path, str], Iterator[Item]]
    splits: tuple[str, ...] = ()
    alignable: bool = False
    needs_text: bool = True
    extra_columns: Callable[[Path], frozenset[str]] = lambda source: frozenset()
