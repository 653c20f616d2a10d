"""The phoneme inventory: stressed ARPAbet for the text encoder, 39 phones for the losses."""

from __future__ import annotations

from collections.abc import Iterable

from adml.errors import TextError

VOWELS = (
    "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW",
)  # fmt: skip
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH",
    "T", "TH", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip

PHONES: tuple[str, ...] = tuple(sorted(VOWELS + CONSONANTS))
"""The 39 stress-stripped phones; a phone's class is its index here."""

SYMBOLS: tuple[str, ...] = tuple(
    symbol
    for phone in PHONES
    for symbol in ([phone + stress for stress in "012"] if phone in VOWELS else [phone])
)
"""The 69 stressed symbols; a symbol's id is its index here plus one, 0 is padding."""

NUM_SYMBOLS = len(SYMBOLS) + 1
"""Rows of the text encoder's lookup table, padding included."""

NUM_PHONES = len(PHONES)
"""Number of phoneme classes V of the losses."""

WORD_BOUNDARY = " "
"""Stands between the words of a phrase; it has no id and no class."""

_IDS = {symbol: index + 1 for index, symbol in enumerate(SYMBOLS)}
_STRIPPED = {symbol: symbol.rstrip("012") for symbol in SYMBOLS + PHONES}
_CLASSES = {symbol: PHONES.index(phone) for symbol, phone in _STRIPPED.items()}


def _unknown(symbol: object) -> TextError:
    return TextError(
        f"Unknown phoneme {symbol!r}. Expected: an ARPAbet symbol such as 'HH', 'EY1' or 'AH0' "
        f"(vowels carry a stress digit 0, 1 or 2). Received: {symbol!r}. "
        "Correct the pronunciation; adml.text.phonemes.SYMBOLS lists all symbols."
    )


def strip_stress(symbol: str) -> str:
    """Returns the phone of a symbol, without its stress digit: "EY1" gives "EY".

    Args:
        symbol: an ARPAbet symbol, stressed or not.

    Returns:
        One of `PHONES`.

    Raises:
        TextError: the symbol is not in the inventory.
    """
    try:
        return _STRIPPED[symbol]
    except (KeyError, TypeError):
        raise _unknown(symbol) from None


def to_ids(symbols: Iterable[str]) -> list[int]:
    """Returns the ids the text encoder looks up, word boundaries dropped.

    Args:
        symbols: stressed ARPAbet symbols [L], possibly with " " between words.

    Returns:
        Ids 1 .. `NUM_SYMBOLS` - 1, one for each symbol that is not a boundary; 0 is padding.

    Raises:
        TextError: a symbol is not in `SYMBOLS`; a vowel without its stress digit is one such.
    """
    try:
        return [_IDS[symbol] for symbol in symbols if symbol != WORD_BOUNDARY]
    except (KeyError, TypeError) as error:
        raise _unknown(error.args[0] if error.args else symbols) from None


def to_classes(symbols: Iterable[str]) -> list[int]:
    """Returns the stress-stripped classes the phoneme losses use, word boundaries dropped.

    Args:
        symbols: ARPAbet symbols [L], stressed or not, possibly with " " between words.

    Returns:
        Classes 0 .. `NUM_PHONES` - 1, one for each symbol that is not a boundary.

    Raises:
        TextError: a symbol is not in the inventory.
    """
    try:
        return [_CLASSES[symbol] for symbol in symbols if symbol != WORD_BOUNDARY]
    except (KeyError, TypeError) as error:
        raise _unknown(error.args[0] if error.args else symbols) from None
