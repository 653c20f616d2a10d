"""Pronunciations a user gives: read from a file, checked, and brought to one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adml.errors import TextError
from adml.text.normalisation import fold, trim
from adml.text.phonemes import SYMBOLS, VOWELS


def read_pronunciations(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Reads a lexicon file: a word, a tab or spaces, and its ARPAbet phonemes on each line.

    Empty lines and lines that start with "#" are skipped.

    Args:
        path: a UTF-8 text file.

    Returns:
        Word, in small letters, to its checked phonemes; ready for `G2P(pronunciations=...)`.

    Raises:
        TextError: the file cannot be read, or a line is wrong; the message names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"The pronunciation file {str(path)!r} cannot be read. Expected: a UTF-8 text file "
            f"with lines such as 'bixby B IH1 K S B IY0'. Received: {error}."
        ) from error
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        pieces = line.split()
        if not pieces or pieces[0].startswith("#"):
            continue
        try:
            word, phonemes = check_pronunciation(pieces[0], pieces[1:])
        except TextError as error:
            raise TextError(f"{path}, line {number}: {error}") from error
        if found.get(word, phonemes) != phonemes:
            raise TextError(
                f"{path}, line {number}: {word!r} has two pronunciations. Expected: one. Received: "
                f"{' '.join(found[word])!r} and {' '.join(phonemes)!r}. Delete one of the lines."
            )
        found[word] = phonemes
    return found


def check_pronunciations(
    pronunciations: Mapping[str, str | Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Returns a user's pronunciations with words and phonemes in one form.

    Args:
        pronunciations: word to phonemes, as one string or a sequence of symbols.

    Returns:
        Word, in small letters, to stressed ARPAbet symbols.

    Raises:
        TextError: a word or a phoneme is wrong.
    """
    return dict(check_pronunciation(word, given) for word, given in pronunciations.items())


def check_pronunciation(word: str, given: str | Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Returns one word and its phonemes in the form the rest of the package uses.

    A vowel without a stress digit gets one: 0, or 1 for the first vowel where no vowel has any.

    Args:
        word: a single word; digits and symbols in it are allowed ("mp3").
        given: its ARPAbet phonemes, as one string or a sequence of symbols, in any case.

    Returns:
        (word in small letters, stressed symbols).

    Raises:
        TextError: the word is empty or holds a space, or a phoneme is unknown or missing.
    """
    key = trim(fold(word)[0]) if isinstance(word, str) else ""
    if not key or len(key.split()) != 1:
        raise TextError(
            f"A pronunciation belongs to one word. Expected: a word without spaces. Received: "
            f"{word!r}. Give every word of a phrase its own pronunciation."
        )
    pieces = given.split() if isinstance(given, str) else list(given)
    symbols = [str(piece).upper() for piece in pieces]
    wrong = [symbol for symbol in symbols if symbol not in SYMBOLS and symbol not in VOWELS]
    if wrong or not symbols:
        raise TextError(
            f"The pronunciation of {word!r} is not valid. Expected: ARPAbet phonemes such as "
            f"'B IH1 K S B IY0'. Received: {' '.join(symbols)!r}"
            + (f", where {', '.join(map(repr, wrong))} is unknown. " if wrong else ". ")
            + "Correct the pronunciation; adml.text.phonemes.SYMBOLS lists all symbols."
        )
    unstressed = not any(symbol[-1].isdigit() for symbol in symbols)
    stressed = []
    for symbol in symbols:
        if symbol in VOWELS:
            symbol += "1" if unstressed else "0"
            unstressed = False
        stressed.append(symbol)
    return key, tuple(stressed)
