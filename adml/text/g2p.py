"""From text to phonemes: what a phrase sounds like, word by word, without a network."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adml.errors import TextError
from adml.text.dictionary import LONGEST_PREDICTION, load_dictionary
from adml.text.lexicon import check_pronunciations, read_pronunciations
from adml.text.normalisation import fold, quote, split_words, trim
from adml.text.phonemes import WORD_BOUNDARY

__all__ = ["G2P", "Word", "format_table", "read_pronunciations"]

MOST_WORDS = 100
MOST_LETTERS = 25
MOST_CHARACTERS = 5000

_logger = logging.getLogger(__name__)
_MOST_CACHED = 500_000
_ADVICE = (
    "Check the spelling, or give a pronunciation for it: G2P(pronunciations={word: phonemes})."
)


@dataclass(frozen=True)
class Word:
    """One spoken word: its spelling, its stressed ARPAbet symbols, and where they come from.

    `source` is "user" (a pronunciation that was given), "dictionary" (the CMU dictionary) or
    "predicted" (g2p_en's spelling model). A letter spoken by its name is spelt "x.".
    """

    word: str
    phonemes: tuple[str, ...]
    source: str


class G2P:
    """Grapheme-to-phoneme conversion by g2p_en, offline, with room for a user's pronunciations.

    The first call loads the dictionary (a few seconds); every word is converted once.

    Args:
        pronunciations: word to ARPAbet phonemes ("B IH1 K S B IY0" or a sequence of symbols);
            these win over the dictionary. `read_pronunciations` reads them from a file.

    Raises:
        TextError: a pronunciation is not valid.

    Source: paper, section 4.1, names the conversion; g2p_en is Park and Kim's, 2019.
    """

    def __init__(self, pronunciations: Mapping[str, str | Sequence[str]] | None = None) -> None:
        self._user = check_pronunciations(pronunciations or {})
        self._words: dict[str, Word] = {}
        self._chunks: dict[str, tuple[Word, ...]] = {}
        self._said_folding = False

    def __call__(self, text: str) -> list[str]:
        """Returns the phonemes of a text, with " " between words.

        Args:
            text: English words; digits are spoken, punctuation is dropped, accents are folded.

        Returns:
            Stressed ARPAbet symbols, for example ["HH", "EY1", " ", "B", ...].

        Raises:
            TextError: see `explain`.
        """
        symbols: list[str] = []
        for word in self.explain(text):
            if symbols:
                symbols.append(WORD_BOUNDARY)
            symbols.extend(word.phonemes)
        return symbols

    def phonemes(self, text: str) -> list[str]:
        """Returns the phonemes of a text without word boundaries; see `__call__`."""
        return [symbol for word in self.explain(text) for symbol in word.phonemes]

    def explain(self, text: str) -> list[Word]:
        """Returns the words a text is read as, each with its phonemes and their source.

        Args:
            text: English words.

        Returns:
            At least one and at most `MOST_WORDS` words.

        Raises:
            TextError: no string, empty, no letters or digits, another script, too many words, or a
                word too long to be pronounced.
        """
        if not isinstance(text, str):
            raise TextError(
                f"A text must be a string. Expected: str. Received: {type(text).__name__} {text!r}."
            )
        if not text.strip():
            raise TextError(
                f"The text is empty. Expected: at least one word. Received: {quote(text)}. "
                "Give the word or phrase to listen for."
            )
        if len(text) > MOST_CHARACTERS:
            raise TextError(_too_long(text, f"{len(text)} characters"))
        words = [word for chunk in text.split() for word in self._read_chunk(chunk)]
        if not words:
            raise TextError(
                f"The text {quote(text)} holds nothing that can be spoken. Expected: at least one "
                f"letter or digit. Received: {quote(text)}. Give the word or phrase to listen for."
            )
        if len(words) > MOST_WORDS:
            raise TextError(_too_long(text, f"{len(words)} words"))
        return words

    def _read_chunk(self, chunk: str) -> tuple[Word, ...]:
        """The words of a piece of text without spaces, remembered."""
        found = self._chunks.get(chunk)
        if found is None:
            if len(self._chunks) >= _MOST_CACHED:
                self._chunks.clear()
                self._words.clear()
            folded, had_accents = fold(chunk)
            if had_accents and not self._said_folding:
                self._said_folding = True
                _logger.warning(
                    "Accents are folded: %r is read as %r. This is said once.", chunk, folded
                )
            words = [word for piece in folded.split() for word in self._split(piece)]
            found = tuple(self._pronounce(word) for word in words)
            self._chunks[chunk] = found
        return found

    def _split(self, piece: str) -> list[str]:
        for form in (piece, trim(piece)):
            if form in self._user:
                return [form]
        return split_words(piece, self, load_dictionary().spell_numbers)

    def __contains__(self, word: str) -> bool:
        """Tells whether a word, in small letters, is given by the user or in the dictionary."""
        return word in self._user or word in load_dictionary()

    def _pronounce(self, word: str) -> Word:
        found = self._words.get(word)
        if found is None:
            found = self._words[word] = self._find(word)
        return found

    def _find(self, word: str) -> Word:
        if word in self._user:
            return Word(word, self._user[word], "user")
        dictionary = load_dictionary()
        if word in dictionary:
            return Word(word, dictionary.look_up(word), "dictionary")
        if len(word) > MOST_LETTERS:
            raise TextError(
                f"The word {quote(word)} is not in the dictionary and too long to be read. "
                f"Expected: at most {MOST_LETTERS} letters. Received: {len(word)} letters. "
                f"{_ADVICE}"
            )
        stem, apostrophe, suffix = word.rpartition("'")
        if apostrophe and stem.endswith("n") and suffix == "t":
            stem, suffix = stem[:-1], "nt"
        if stem and suffix in _ENDINGS:
            read = self._pronounce(stem.strip("'"))
            return Word(word, read.phonemes + _ending(suffix, read.phonemes[-1]), read.source)
        symbols = dictionary.predict(word.replace("'", ""))
        if not symbols or len(symbols) >= LONGEST_PREDICTION:
            raise TextError(
                f"The word {word!r} is not in the dictionary and cannot be read. Expected: a word "
                f"of fewer than {LONGEST_PREDICTION} phonemes. Received: {word!r}, read as "
                f"{' '.join(symbols)!r}. {_ADVICE}"
            )
        return Word(word, symbols, "predicted")


_ENDINGS = {
    "s": ("Z",), "d": ("D",), "ll": ("AH0", "L"), "ve": ("AH0", "V"), "re": ("ER0",),
    "m": ("M",), "nt": ("AH0", "N", "T"),
}  # fmt: skip


def _ending(suffix: str, last: str) -> tuple[str, ...]:
    """The phonemes an English ending adds after a stem that ends in the phoneme `last`."""
    if suffix == "s" and last in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return ("IH0", "Z")
    if suffix == "s" and last in ("P", "T", "K", "F", "TH"):
        return ("S",)
    if suffix == "d" and last in ("T", "D"):
        return ("AH0", "D")
    return _ENDINGS[suffix]


def _too_long(text: str, received: str) -> str:
    return (
        f"The text {quote(text)} is too long. Expected: at most {MOST_WORDS} words. "
        f"Received: {received}. A keyword is a word or a short phrase; shorten the text."
    )


def format_table(words: Iterable[Word]) -> str:
    """Returns words as aligned lines of text: word, phonemes, source.

    Args:
        words: what `G2P.explain` returned.

    Returns:
        A heading and one line a word, without a newline at the end.
    """
    rows = [("word", "phonemes", "source")]
    rows += [(word.word, " ".join(word.phonemes), word.source) for word in words]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)
