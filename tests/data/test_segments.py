"""Runs of neighbouring words."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from adml.data.words import WordTable, build_segments, read_words
from adml.errors import DataError, UsageError


def table(words: list[tuple]) -> WordTable:
    """Rows (path, word, start, end, index) of one speaker."""
    paths, texts, starts, ends, indices = zip(*words, strict=True)
    return WordTable(
        np.array(paths), np.array(texts), np.array(["s"] * len(words)), np.array(starts, float),
        np.array(ends, float), np.array(indices), np.full(len(words), np.nan),
    )  # fmt: skip


WORDS = table(
    [
        ("x", "one", 0.0, 0.4, 0),
        ("x", "two", 0.4, 0.8, 1),
        ("x", "four", 1.0, 1.4, 3),  # a word that was not aligned lies before it
        ("x", "five", 1.8, 2.2, 4),  # 0.4 s of pause
        ("y", "six", 0.0, 0.1, 5),  # another recording
    ]
)


def spoken(segments) -> list[str]:
    return [segments.texts[text] for text in segments.text]


def test_runs_of_neighbours_by_hand():
    segments = build_segments(WORDS, max_words=3)
    assert spoken(segments) == ["one", "one two", "two", "four", "five"]
    assert segments.num_words.tolist() == [1, 2, 1, 1, 1]
    np.testing.assert_allclose(segments.start_s, [0, 0, 0.4, 1.0, 1.8])
    np.testing.assert_allclose(segments.end_s, [0.4, 0.8, 0.8, 1.4, 2.2])
    assert segments.utterances == ("x",) and segments.speakers == ("s",)


def test_a_longer_pause_may_be_allowed():
    segments = build_segments(WORDS, max_words=2, max_gap_seconds=0.5)
    assert spoken(segments) == ["one", "one two", "two", "four", "four five", "five"]


def test_limits_of_length_and_words():
    assert spoken(build_segments(WORDS, min_words=2)) == ["one two"]
    assert "six" in spoken(build_segments(WORDS, min_seconds=0.1))
    assert spoken(build_segments(WORDS, max_seconds=0.4)) == ["one", "two", "four", "five"]


def test_words_without_an_index_make_no_phrase():
    words = table([("x", "one", 0.0, 0.4, -1), ("x", "two", 0.4, 0.8, -1)])
    assert spoken(build_segments(words)) == ["one", "two"]


def test_columns_have_the_promised_types(segments):
    assert segments.utterance.dtype == segments.text.dtype == segments.speaker.dtype == np.int32
    assert segments.start_s.dtype == segments.end_s.dtype == np.float32
    assert segments.num_words.dtype == np.int8
    assert len(segments) == 23 + 18 + 13
    assert len(segments.speakers) == 3


def test_tables_are_joined(corpus):
    words = read_words(corpus)
    parts = [words.subset(words.speaker == name) for name in ("cora", "anna", "bert")]
    assert build_segments(parts).data_hash == build_segments(words).data_hash


def test_a_subset_holds_only_what_it_uses(segments):
    part = segments.subset(segments.num_words == 1)
    assert len(part) == 23
    assert part.texts == tuple(
        sorted({"a", "book", "has", "knight", "long", "night", "now", "read", "red", "the", "was"})
    )
    row = 7
    chosen = segments.subset(np.array([row]))
    assert chosen.texts == (segments.texts[segments.text[row]],)
    assert chosen.utterances == (segments.utterances[segments.utterance[row]],)


def test_the_hash_is_of_the_contents_and_not_of_the_place(segments, corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "moved")
    moved = build_segments(read_words(tmp_path / "moved"), max_words=3)
    assert moved.data_hash == segments.data_hash
    assert segments.subset(segments.num_words < 3).data_hash != segments.data_hash


def test_nothing_left_says_what_removed_it():
    with pytest.raises(DataError, match=r"5 words: .*6 shorter than 5 s") as error:
        build_segments(WORDS, min_seconds=5, max_seconds=9)
    assert "1 pairs with an unaligned word between" in str(error.value)
    assert "1 pairs with a pause over 0.3 s" in str(error.value)


@pytest.mark.parametrize("limits", [{"min_words": 0}, {"min_words": 5}, {"min_seconds": 3}])
def test_an_empty_range_is_an_error(limits):
    with pytest.raises(UsageError, match="range of segments is empty"):
        build_segments(WORDS, **limits)
