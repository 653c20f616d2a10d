"""The file of near-sounding words."""

from __future__ import annotations

import pytest

from adml.data.neighbour_list import write_neighbours
from adml.errors import DataError, TextError, UsageError

SAID = {"cat": "K AE1 T", "cut": "K AH1 T", "kat": "K AE1 T", "cats": "K AE1 T S", "dog": "D AO1 G"}


def say(text: str) -> list[str]:
    if text not in SAID:
        raise TextError(f"{text!r} cannot be said")
    return SAID[text].split()


def test_rows_by_hand(tmp_path, caplog):
    words = ["cat", " CUT\n", "", "kat", "xyzzy", "cats", "dog", "cat"]
    path = tmp_path / "deep" / "near.tsv"
    assert write_neighbours(words, path, say, count=2) == 5
    assert path.read_text() == (
        "word\tphonemes\tneighbour\tdistance\n"
        "cat\tK AE1 T\tcats\t0.2500\n"
        "cat\tK AE1 T\tcut\t0.3333\n"
        "cut\tK AH1 T\tcat\t0.3333\n"
        "cut\tK AH1 T\tkat\t0.3333\n"
        "kat\tK AE1 T\tcats\t0.2500\n"
        "kat\tK AE1 T\tcut\t0.3333\n"
        "cats\tK AE1 T S\tcat\t0.2500\n"
        "cats\tK AE1 T S\tkat\t0.2500\n"
        "dog\tD AO1 G\tcat\t1.0000\n"
        "dog\tD AO1 G\tcut\t1.0000\n"
    )
    assert "1 words set aside. First: 'xyzzy' cannot be said" in caplog.text
    assert [entry.name for entry in path.parent.iterdir()] == ["near.tsv"]


def test_few_words_have_few_neighbours(tmp_path):
    assert write_neighbours(["cat", "dog"], tmp_path / "near.tsv", say, count=10**20) == 2
    assert len((tmp_path / "near.tsv").read_text().splitlines()) == 3


def test_mistakes_are_told_and_leave_nothing(tmp_path):
    with pytest.raises(DataError, match="two or more.*Received: 1, and 1 that"):
        write_neighbours(["cat", "xyzzy"], tmp_path / "near.tsv", say)
    with pytest.raises(TextError, match="1 or more"):
        write_neighbours(["cat", "dog"], tmp_path / "near.tsv", say, count=0)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_neighbours(["cat", "dog"], tmp_path / "folder", say)
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="is there already"):
        write_neighbours(["cat", "dog"], tmp_path / "words.txt", say)
    assert (tmp_path / "words.txt").read_text() == "cat\ndog\n"
    with pytest.raises(UsageError, match="choose another place"):
        write_neighbours(["cat", "dog"], tmp_path / "words.txt" / "near.tsv", say)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "words.txt"]
