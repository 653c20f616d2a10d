"""From written text to the words that are spoken: letters folded, numbers and symbols spelt out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container

from adml.errors import TextError

LONGEST_NUMBER = 15
"""Digits of the longest number that is spoken as one."""

_SPECIAL_LETTERS = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
}  # fmt: skip
_APOSTROPHES = "\u2018\u2019\u02bc\u2032\uff07`´"
_OUTER_PUNCTUATION = ".,;:!?\"()[]{}<>*_~|\\/'-"
_SPOKEN_SYMBOLS = {"&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals "}
_ABBREVIATIONS = {"i.e.": "that is", "e.g.": "for example"}
_MOST_SPELT_LETTERS = 6


def fold(text: str) -> tuple[str, bool]:
    """Returns the text in small ASCII characters, and whether accents were folded on the way.

    Accented and joined letters become plain ones ("é" to "e", "ß" to "ss"), typographic apostrophes
    and dashes the ASCII ones; any other character that is no letter or number becomes a space.

    Args:
        text: any text.

    Returns:
        (folded text, True if a letter lost an accent or was rewritten).

    Raises:
        TextError: a letter or number of another script.
    """
    if text.isascii():
        return text.lower(), False
    folded = False
    characters = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if character.isascii():
            plain = character
        elif character in _APOSTROPHES:
            plain = "'"
        elif category == "Pd" or character == "\u2212":
            plain = "-"
        elif category in ("Mn", "Cf"):
            plain = ""
            folded = folded or category == "Mn"
        elif category[0] in "LN":
            plain = _plain_letters(character, text)
            folded = True
        else:
            plain = character if character in "£€" else " "
        characters.append(plain)
    return "".join(characters).lower(), folded


def _plain_letters(character: str, text: str) -> str:
    special = _SPECIAL_LETTERS.get(character)
    if special:
        return special
    decomposed = unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in decomposed if unicodedata.category(part) != "Mn")
    if plain.isascii() and plain.isalpha() or plain.isdecimal() and plain.isascii():
        return plain
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    raise TextError(
        f"The text {quote(text)} holds {character!r} ({name}), neither a Latin letter nor a digit. "
        f"Expected: English words in Latin letters. Received: {quote(text)}. "
        "Write the words as they sound in English letters."
    )


def quote(text: object, longest: int = 60) -> str:
    """Returns the text in quotation marks for a message, cut after `longest` characters."""
    if not isinstance(text, str):
        return repr(text)
    return repr(text if len(text) <= longest else text[:longest] + "...")


def trim(chunk: str) -> str:
    """Returns a chunk of folded text without the punctuation around it."""
    return chunk.strip(_OUTER_PUNCTUATION + " ")


def split_words(
    chunk: str, known: Container[str], spell_numbers: Callable[[str], str]
) -> list[str]:
    """Returns the words spoken for one folded chunk of text that holds no space.

    A word is letters and inner apostrophes; a hyphen splits a word unless the whole is known. A
    letter that is spoken by its name ("u.s.a.", "xml") is written with a dot: "x.", "m.", "l.".

    Args:
        chunk: folded text, as `fold` returns it.
        known: the words that have a pronunciation.
        spell_numbers: writes digits out in words.

    Returns:
        Words in small letters; none where the chunk is punctuation alone.

    Raises:
        TextError: a number is too long.
    """
    for symbol, spoken in _SPOKEN_SYMBOLS.items():
        chunk = chunk.replace(symbol, spoken)
    if any(character.isdigit() for character in chunk):
        chunk = _speak_numbers(chunk, spell_numbers)
    chunk = chunk.replace("€", " euro ").replace("£", " pound ")
    for short, spoken in _ABBREVIATIONS.items():
        if short in chunk:
            chunk = chunk.replace(short, spoken)
    chunk = re.sub(r"(?<![a-z'])[a-z](?:\.[a-z])+(?![a-z'])\.?", _dot_every_letter, chunk)
    words = []
    for token in re.findall(r"(?:[a-z]\.){2,}|[a-z'][a-z'-]*", chunk):
        words.extend(_token_words(token, known))
    return words


def _dot_every_letter(match: re.Match) -> str:
    return " " + match[0].rstrip(".") + ". "


def _token_words(token: str, known: Container[str]) -> list[str]:
    if "." in token:
        return [letter + "." for letter in token if letter != "."]
    token = token.strip("-")
    if "-" in token and token not in known:
        return [word for part in token.split("-") for word in _token_words(part, known)]
    if token not in known:
        token = token.strip("'")
    if not token:
        return []
    vowelless = token.isalpha() and not set(token) & set("aeiouy")
    if vowelless and len(token) <= _MOST_SPELT_LETTERS and token not in known:
        return [letter + "." for letter in token]
    return [token]


def _speak_numbers(chunk: str, spell_numbers: Callable[[str], str]) -> str:
    """Writes out the numbers of a chunk: "24" to "twenty four", "mp3" to "mp three"."""
    chunk = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", chunk).replace(",", " ")
    if re.search(rf"\d{{{LONGEST_NUMBER + 1},}}", chunk):
        raise TextError(
            f"The number in {quote(chunk)} is too long. Expected: at most {LONGEST_NUMBER} digits. "
            f"Received: {quote(chunk)}. Write the number in words, or its digits apart."
        )
    chunk = re.sub(r"€(\d+(?:\.\d+)?)", r"\1 euros", chunk)
    chunk = re.sub(r"(?<=[a-z])(?=\d)", " ", chunk)
    chunk = re.sub(r"(\d+)'?s(?![a-z])", lambda match: _plural(spell_numbers(match[1])), chunk)
    chunk = re.sub(r"(\d)(?!(?:st|nd|rd|th)(?![a-z]))(?=[a-z])", r"\1 ", chunk)
    return spell_numbers(chunk).replace("-", " ")


def _plural(words: str) -> str:
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")
