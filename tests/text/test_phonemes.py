"""The inventory: ids, classes and stress."""

from __future__ import annotations

import pytest

from adml.errors import TextError
from adml.text import phonemes


def test_there_are_39_phones_of_which_15_carry_one_of_three_stresses():
    assert len(phonemes.PHONES) == phonemes.NUM_PHONES == 39
    assert len(set(phonemes.PHONES)) == 39
    assert len(phonemes.SYMBOLS) == 15 * 3 + 24
    assert len(set(phonemes.SYMBOLS)) == len(phonemes.SYMBOLS)
    assert len(phonemes.SYMBOLS) + 1 == phonemes.NUM_SYMBOLS


def test_the_order_of_symbols_never_changes_silently():
    assert phonemes.SYMBOLS[:4] == ("AA0", "AA1", "AA2", "AE0")
    assert phonemes.SYMBOLS[-2:] == ("Z", "ZH")
    assert phonemes.PHONES[:3] == ("AA", "AE", "AH")
    assert phonemes.PHONES[-1] == "ZH"


def test_ids_start_at_one_and_skip_word_boundaries():
    assert phonemes.to_ids(["AA0", " ", "AA1", "ZH"]) == [1, 2, 69]
    assert phonemes.to_ids([]) == []
    everything = phonemes.to_ids(phonemes.SYMBOLS)
    assert everything == list(range(1, phonemes.NUM_SYMBOLS))


def test_classes_ignore_stress_and_word_boundaries():
    assert phonemes.to_classes(["AA0", "AA1", "AA2", " ", "AA", "ZH"]) == [0, 0, 0, 0, 38]
    assert sorted(set(phonemes.to_classes(phonemes.SYMBOLS))) == list(range(39))


@pytest.mark.parametrize(
    ("symbol", "phone"), [("EY1", "EY"), ("AH0", "AH"), ("HH", "HH"), ("EY", "EY")]
)
def test_stress_is_stripped(symbol, phone):
    assert phonemes.strip_stress(symbol) == phone


@pytest.mark.parametrize("wrong", ["QQ", "HH1", "", "hh", "AH3", None, 3])
def test_an_unknown_symbol_is_named(wrong):
    for function in (phonemes.to_ids, phonemes.to_classes):
        with pytest.raises(TextError, match="Unknown phoneme .*Expected: .*Received: "):
            function(["HH", wrong])
    with pytest.raises(TextError, match="Unknown phoneme"):
        phonemes.strip_stress(wrong)


def test_the_text_encoder_needs_stress():
    with pytest.raises(TextError, match="'EY'.*stress digit"):
        phonemes.to_ids(["EY"])
