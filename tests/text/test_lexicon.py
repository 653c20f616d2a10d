"""A user's pronunciations: from a file or a mapping, checked either way."""

from __future__ import annotations

import pytest

from adml.errors import TextError
from adml.text.g2p import G2P, read_pronunciations
from adml.text.lexicon import check_pronunciation


def test_a_file_is_read_with_tabs_spaces_comments_and_any_case(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(
        "\ufeff# names\nBixby\tB IH1 K S B IY0\n\n"
        "  mp3   eh1 m p iy1 th r iy1\nBixby B IH1 K S B IY0\n",
        encoding="utf-8",
    )
    found = read_pronunciations(path)
    assert found == {
        "bixby": ("B", "IH1", "K", "S", "B", "IY0"),
        "mp3": ("EH1", "M", "P", "IY1", "TH", "R", "IY1"),
    }
    assert G2P(found)("MP3") == list(found["mp3"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("B IH K S B IY", "B IH1 K S B IY0"),
        ("B IH K S B IY1", "B IH0 K S B IY1"),
        (["b", "ih2"], "B IH2"),
        (("SH",), "SH"),
    ],
)
def test_a_vowel_without_stress_gets_one(given, expected):
    assert " ".join(check_pronunciation("word", given)[1]) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bixby B IH1 XX", "line 1: The pronunciation of 'bixby'.*'XX' is unknown"),
        ("# one\nbixby", "line 2: The pronunciation of 'bixby' is not valid.*Received: ''"),
        ("a K\na T", "line 2: 'a' has two pronunciations. Expected: one. Received: 'K' and 'T'"),
        ("привет P", "line 1: .*CYRILLIC"),
        ("... P", "line 1: A pronunciation belongs to one word"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, content, message):
    path = tmp_path / "lexicon.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TextError, match=f"lexicon.txt, {message}"):
        read_pronunciations(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TextError, match="missing.txt' cannot be read. Expected: a UTF-8"):
        read_pronunciations(tmp_path / "missing.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TextError, match="binary' cannot be read"):
        read_pronunciations(tmp_path / "binary")


@pytest.mark.parametrize("word", ["hey bixby", "", " ", "!!", 3])
def test_a_pronunciation_belongs_to_one_word(word):
    with pytest.raises(TextError, match="belongs to one word"):
        G2P({word: "B IH1"})
