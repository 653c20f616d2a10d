"""Whether what a corpus says can be used: texts, names of files, times of words."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath

from adml.data.corpora.recording import WORD, Recording, Rejected, Word
from adml.data.rows import time_fault
from adml.errors import TextError
from adml.text.normalisation import fold

ANOTHER_TEXT = "alignment is of another text"


def clean_text(text: str) -> str:
    """Text in small ASCII letters with single spaces.

    Raises:
        TextError: a letter of another script.
    """
    return " ".join(fold(text)[0].split())


def text_fault(recording: Recording, needs_text: bool) -> str | None:
    """Why the text of a recording cannot be used, or None."""
    try:
        text = clean_text(recording.text)
    except TextError:
        return "text is not in Latin letters"
    return "no text" if needs_text and not any(map(str.isalnum, text)) else None


def place_fault(recording: Recording, source: Path, trust_links: bool) -> str | None:
    """Why the place of a recording cannot be used, or None.

    Args:
        recording: with its path and key.
        source: folder of the corpus, resolved.
        trust_links: let links lead out of the folder.
    """
    key = PurePosixPath(recording.key)
    if key.is_absolute() or ".." in key.parts or ".." in recording.path.parts:
        return "path leaves the folder"
    if any(character in recording.key for character in "\t\n\r"):
        return "path holds a tab or a line break"
    try:
        recording.key.encode("utf-8")
    except UnicodeEncodeError:
        return "path is not UTF-8"
    if not os.path.isfile(recording.path):  # which a name that is too long is not either
        return "audio file is missing"
    if not trust_links and not recording.path.resolve().is_relative_to(source):
        return "path leaves the folder"
    return None


def checked_words(
    recording: Recording, words: tuple[Word, ...], duration_s: float
) -> tuple[list[tuple[str, str, str, int, str]], list[Rejected]]:
    """The words that can be used, and those that cannot.

    Args:
        recording: that they are of.
        words: in their order.
        duration_s: length of the audio in seconds.

    Returns:
        Rows (word, start, end, index, confidence), times in seconds with three decimals; and what
        is set aside.
    """
    rows, rejected, last_start_s = [], [], 0.0
    for word in words:
        reason, start_s, end_s = time_fault(word.start, word.end, duration_s)
        text, start, end = "", f"{start_s:.3f}", f"{end_s:.3f}"
        try:
            text = clean_text(word.text)
            float(word.confidence)
        except TextError:
            reason = reason or "word is not in Latin letters"
        except ValueError:
            reason = reason or "confidence is not a number"
        reason = word.fault or reason
        if not reason and not any(map(str.isalnum, text)):
            reason = "no word"
        if not reason and float(end) <= float(start):
            reason = "end is not after start"
        if not reason and start_s < last_start_s:
            reason = "begins before the word before it"
        if reason:
            detail = f"{word.text!r} {word.start} {word.end}"
            rejected.append(Rejected(recording.key, reason, detail, WORD))
            continue
        last_start_s = start_s
        rows.append((text, start, end, word.index, word.confidence))
    return rows, rejected


def is_of_another_text(text: str, words: tuple[Word, ...]) -> bool:
    """Whether fewer than half of the aligned words, as many times as said, are in the text.

    An aligner may write some words otherwise than the transcript; a text of its own it may not.
    """
    aligned = Counter(_letters(word.text) for word in words if not word.fault)
    shared = aligned & Counter(_letters(word) for word in text.split())
    return 2 * shared.total() < aligned.total()


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word.lower()))
