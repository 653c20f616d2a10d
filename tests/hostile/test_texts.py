"""Any text at all: phonemes or a TextError, soon; a keyword that can be written and read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adml.errors import AdmlError, TextError
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.signatures import Running
from adml.spotting.spotter import KeywordSpotter
from adml.text.g2p import G2P
from adml.text.phonemes import SYMBOLS

SOUNDS = {*SYMBOLS, " "}
ANY = st.characters(exclude_categories=())
PIECES = st.sampled_from(
    ["hey", "ok", "a", "I'm", "'s", "n't", "24", "3.", "1,000", "$", "€", "%", "-", "'", "U.S.",
     "\u0301", "\u0300" * 9, "\u05e9\u05dc", "\u0645", "\u202e", "\0", "\ud800", "\udfff", "\ufeff",
     "\U0001f600", "\U0001f468\u200d\U0001f469", "\u00ad", "\u200b", "\u0663", "\u00bd", "\u2163",
     "\ufdfa", "\ufb03", "\u1e9e", "\x1b[2J", "\n", "\t", "\u2028", " ", " ", "x" * 26]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(ANY, max_size=40),
    st.lists(PIECES, max_size=12).map("".join),
    st.text(st.sampled_from("abnst'-. 0123456789$%&@"), max_size=30),
    st.builds(lambda text, times: text * times, st.text(ANY, max_size=5), st.integers(1, 100_000)),
    st.builds(lambda text, times: text * times, PIECES, st.integers(1, 6000)),
)


@pytest.fixture(scope="module")
def g2p():
    g2p = G2P()
    g2p("zorblax")  # the dictionary is loaded
    return g2p


@pytest.fixture(scope="module")
def spotter(g2p):
    """Hears nothing, and embeds every text alike."""
    return KeywordSpotter(
        lambda waveform, lengths: np.eye(1, 4, dtype=np.float32),
        lambda phonemes, lengths: np.eye(1, 4, dtype=np.float32),
        symbols=SYMBOLS,
        sample_rate_hz=16000,
        to_phonemes=g2p,
        running=Running(None, None, 400, 160),
        model="abc",
    )


def check_message(message: str) -> None:
    """It can be shown, whatever was typed, and is not as long as that."""
    assert "Expected: " in message and len(message) < 2500 and message.encode("utf-8")


@given(text=TEXTS)
def test_any_text_has_phonemes_or_is_refused_in_words(g2p, soon, text):
    try:
        with soon():
            symbols = g2p(text)
    except TextError as error:
        check_message(str(error))
    else:
        assert symbols and set(symbols) <= SOUNDS


@given(text=TEXTS)
def test_what_is_enrolled_can_be_written_and_read(spotter, tmp_path, text):
    try:
        keyword = enrol(spotter, text)
    except AdmlError as error:
        check_message(str(error))
        return
    KeywordFile(spotter.model, (keyword,)).write(tmp_path / "kw.json")
    assert KeywordFile.read(tmp_path / "kw.json").keywords[0].name == keyword.name


@pytest.mark.parametrize("text", ["hey\u00adbixby", "hey\u200bbixby", "hey\x1bbixby"])
def test_a_name_that_cannot_be_shown_is_refused(spotter, text):
    with pytest.raises(TextError, match="cannot be shown"):
        enrol(spotter, text)
    assert enrol(spotter, text, name="bixby").name == "bixby"
