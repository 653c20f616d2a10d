"""What phrases, numbers, symbols and unknown words are read as, and what bad text is told."""

from __future__ import annotations

import logging
import pickle

import pytest

import adml
from adml.errors import TextError
from adml.text.g2p import G2P, Word, format_table
from adml.text.phonemes import SYMBOLS


@pytest.fixture(scope="module")
def g2p():
    return G2P()


def spelling(g2p, text):
    return " ".join(word.word for word in g2p.explain(text))


def test_a_phrase_has_boundaries_between_its_words(g2p):
    expected = ["HH", "EY1", " ", "B", "IH1", "K", "S", "B", "IY0"]
    assert g2p("hey bixby") == g2p("  Hey,\tBIXBY! ") == expected
    assert g2p.phonemes("hey bixby") == [symbol for symbol in expected if symbol != " "]
    assert isinstance(adml.G2P()("hey"), list)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("24", "twenty four"),
        ("the 21st", "the twenty first"),
        ("1,250 items", "twelve fifty items"),
        ("12,500", "twelve thousand five hundred"),
        ("1,2,3", "one two three"),
        ("$250", "two hundred fifty dollars"),
        ("€5", "five euros"),
        ("3.14", "three point fourteen"),
        ("7:30", "seven thirty"),
        ("1990s", "nineteen nineties"),
        ("100%", "one hundred percent"),
        ("mp3", "m. p. three"),
        ("4k", "four k"),
        ("R2-D2", "r two d two"),
        ("salt & pepper", "salt and pepper"),
        ("hello — world…", "hello world"),
        ("(stop)", "stop"),
        ("wi-fi", "wi-fi"),
        ("foo-bar", "foo bar"),
        ("U.S.A.", "u. s. a."),
        ("U.S", "u. s."),
        ("e.g. cats", "for example cats"),
        ("xbmc", "x. b. m. c."),
        ("don\u2019t 'stop'", "don't stop"),
        ("'bout time", "'bout time"),
        ("naïve Café", "naive cafe"),
        ("Straße", "strasse"),
        ("cafe\u0301", "cafe"),
        ("end.start", "end start"),
        ("soft\u00adware", "software"),
    ],
)
def test_what_a_text_is_read_as(g2p, text, words):
    assert spelling(g2p, text) == words


def test_a_letter_spoken_by_its_name_is_not_the_article(g2p):
    assert g2p("a") == ["AH0"]
    assert g2p.explain("U.S.A.")[-1].phonemes == ("EY1",)


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("glorp's", "G L AO1 R P S"),
        ("bixby's", "B IH1 K S B IY0 Z"),
        ("bixby'll", "B IH1 K S B IY0 AH0 L"),
        ("shouldn't've", "SH UH1 D AH0 N T AH0 V"),
        ("hello'd", "HH AH0 L OW1 D"),
        ("wait'd", "W EY1 T AH0 D"),
    ],
)
def test_endings_follow_their_stem(g2p, text, phonemes):
    assert " ".join(g2p(text)) == phonemes


def test_hissing_stems_take_a_vowel():
    g2p = G2P({"zorblax": "Z AO1 R B L AE0 K S"})
    assert g2p.explain("Zorblax's") == [
        Word("zorblax's", ("Z", "AO1", "R", "B", "L", "AE0", "K", "S", "IH0", "Z"), "user")
    ]


def test_an_unknown_word_is_predicted(g2p):
    (word,) = g2p.explain("zorblax")
    assert word.source == "predicted"
    assert word.phonemes and set(word.phonemes) <= set(SYMBOLS)
    assert g2p.explain("hello")[0].source == "dictionary"


def test_a_given_pronunciation_wins_over_everything():
    g2p = G2P({"Record": "r ih0 k ao1 r d", "mp3": ["EH1", "M", "P", "IY1", "TH", "R", "IY1"]})
    read = g2p.explain("record, MP3 hello")
    assert [word.source for word in read] == ["user", "user", "dictionary"]
    assert read[0].phonemes == ("R", "IH0", "K", "AO1", "R", "D")
    assert read[1].word == "mp3"
    assert " ".join(G2P({"24": "T UW1 F AO1 R"})("24")) == "T UW1 F AO1 R"


def test_a_phrase_is_the_sum_of_its_words_and_calls_do_not_disturb_each_other(g2p):
    words = ["read", "the", "record", "object", "used", "close", "zorblax"]
    apart = [symbol for word in words for symbol in G2P().phonemes(word)]
    assert g2p.phonemes(" ".join(words)) == apart
    assert g2p.phonemes(" ".join(words)) == apart
    first = g2p("hello")
    first.append("K")
    assert g2p("hello") == first[:-1]


def test_accents_are_said_once(caplog):
    g2p = G2P()
    with caplog.at_level(logging.WARNING):
        assert g2p("café") == G2P()("cafe")
        g2p("naïve")
        g2p("hello\u2019s")
    assert caplog.text.count("Accents are folded") == 1
    assert "'café' is read as 'cafe'" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty. Expected: .* Received: ''"),
        (" \t\n", "The text is empty"),
        ("!?...", "nothing that can be spoken. Expected: at least one letter or digit"),
        ("\U0001f600", "nothing that can be spoken"),
        ("'", "nothing that can be spoken"),
        ("привет", "'п' .CYRILLIC SMALL LETTER PE.*Expected: English words in Latin letters"),
        ("hey 你好", "CJK UNIFIED IDEOGRAPH"),
        ("مرحبا", "ARABIC LETTER MEEM"),
        ("٣", "ARABIC-INDIC DIGIT THREE"),
        ("word " * 101, "Expected: at most 100 words. Received: 101 words"),
        ("word " * 5000, "Expected: at most 100 words. Received: 25000 characters"),
        ("a" * 60, "too long to be read. Expected: at most 25 letters. Received: 60 letters"),
        ("1" * 16, "too long. Expected: at most 15 digits"),
        (5, "must be a string. Expected: str. Received: int 5"),
        (None, "must be a string"),
    ],
)
def test_bad_text_is_one_clear_error(g2p, text, message):
    with pytest.raises(TextError, match=message):
        g2p(text)


def test_the_longest_good_text_passes(g2p):
    assert g2p("word " * 100).count(" ") == 99


def test_a_prediction_that_was_cut_off_is_refused(g2p):
    with pytest.raises(TextError, match="cannot be read. Expected: a word of fewer than 20"):
        g2p("incomprehensibilitistica")


def test_pickling_keeps_the_pronunciations():
    copy = pickle.loads(pickle.dumps(G2P({"bixby": "B IH1 K"})))
    assert copy.phonemes("bixby") == ["B", "IH1", "K"]


def test_the_table_lines_up():
    words = [Word("hey", ("HH", "EY1"), "dictionary"), Word("zorblax", ("Z",), "predicted")]
    assert format_table(words).splitlines() == [
        "word     phonemes  source",
        "hey      HH EY1    dictionary",
        "zorblax  Z         predicted",
    ]
