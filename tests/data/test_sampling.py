"""Keywords by pronunciation and the draw of a batch's keywords and segments."""

from __future__ import annotations

import numpy as np
import pytest

from adml.data.sampling import KeywordDraw, build_keywords
from adml.data.store import PcmStore
from adml.errors import DataError
from adml.text.distance import phone_distance
from adml.text.phonemes import to_ids


@pytest.fixture(scope="module")
def store(segments, tmp_path_factory):
    return PcmStore.build(segments.utterances, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def keywords(segments, store, spell):
    return build_keywords(segments, store, spell, min_utterances=1)


def draw_of(keywords, segments, **options):
    defaults = {
        "keywords_per_batch": 6, "utterances_per_keyword": 2, "neighbour_fraction": 0.0, "seed": 1,
        "seconds": segments.end_s - segments.start_s,
    }  # fmt: skip
    return KeywordDraw(keywords, segments.speaker, **(defaults | options))


def rows_of(keywords, number):
    return keywords.segments[keywords.offsets[number] : keywords.offsets[number + 1]]


def test_texts_that_sound_alike_are_one_keyword(keywords, segments):
    places = {text: number for number, text in enumerate(keywords.texts)}
    assert "read" in places and "red" not in places  # as frequent as each other: the first by name
    assert "knight" not in places  # "night" is more frequent
    spoken = {segments.texts[segments.text[row]] for row in rows_of(keywords, places["night"])}
    assert spoken == {"night", "knight"}
    assert len(set(keywords.classes)) == len(keywords)
    assert sorted(keywords.segments.tolist()) == list(range(len(segments)))


def test_keywords_come_by_falling_frequency(keywords):
    assert keywords.texts[0] == "the" and keywords.counts[0] == 5
    assert keywords.counts[1] == 4  # read twice, red twice
    assert (np.diff(keywords.counts) <= 0).all()
    assert keywords.ids[0] == tuple(to_ids(["DH", "AH0"]))


def test_rare_keywords_are_left_out_with_a_count(segments, store, spell, caplog):
    caplog.set_level("INFO")
    table = build_keywords(segments, store, spell, min_utterances=2)
    assert (table.counts >= 2).all() and len(table) < 20
    assert "keywords with fewer than 2 segments" in caplog.text
    with pytest.raises(DataError, match=r"No keywords are left.*keywords with fewer than 99"):
        build_keywords(segments, store, spell, min_utterances=99)


def test_unusable_segments_are_left_out_and_said(segments, store, spell, tmp_path, caplog):
    part = PcmStore.build(segments.utterances[1:], tmp_path)
    caplog.set_level("INFO")
    table = build_keywords(segments, part, spell, min_utterances=1)
    gone = np.flatnonzero(segments.utterance == 0)
    assert not set(gone) & set(table.segments)
    assert f"{len(gone)} segments without decoded audio" in caplog.text
    late = segments.end_s.copy()
    late[3] = 99.0
    beyond = type(segments)(**(vars(segments) | {"end_s": late}))
    assert 3 not in build_keywords(beyond, store, spell, min_utterances=1).segments
    assert "1 segments end behind their audio" in caplog.text and "99.00 s" in caplog.text


def test_texts_without_a_pronunciation_are_left_out_and_said(segments, store, spell, caplog):
    deaf = type(spell)(without="the")
    table = build_keywords(segments, store, deaf, min_utterances=1)
    assert all("the" not in text.split() for text in table.texts)
    assert "texts have no pronunciation" in caplog.text


def test_an_epoch_is_one_pass(keywords, segments):
    draw = draw_of(keywords, segments)
    assert draw.batches_per_epoch == len(keywords) // 6
    for epoch in (0, 1):
        seen = np.concatenate(
            [draw.draw_keywords(epoch, position) for position in range(draw.batches_per_epoch)]
        )
        assert len(set(seen.tolist())) == len(seen) == 6 * draw.batches_per_epoch
    first, second = draw.draw_keywords(0, 0), draw.draw_keywords(1, 0)
    assert first.tolist() != second.tolist()
    assert draw_of(keywords, segments, seed=2).draw_keywords(0, 0).tolist() != first.tolist()
    np.testing.assert_array_equal(draw.draw_keywords(0, 0), first)  # after another epoch


def test_a_length_window_sorts_and_still_passes_once(keywords, segments):
    draw = draw_of(keywords, segments, length_window=100, keywords_per_batch=4)
    seconds = segments.end_s - segments.start_s
    spread, seen = [], []
    for position in range(draw.batches_per_epoch):
        numbers = draw.draw_keywords(0, position).tolist()
        seen += numbers
        spread.append(np.ptp([seconds[rows_of(keywords, number)].mean() for number in numbers]))
    assert len(set(seen)) == len(seen)
    assert np.sort(spread)[:-2].max() < 0.01  # only a batch at a border holds two lengths


def test_neighbours_are_near_and_distinct(keywords, segments):
    draw = draw_of(keywords, segments, neighbour_fraction=0.5)
    assert draw.seeds_per_batch == 3
    symbols = keywords.symbols
    for position in range(draw.batches_per_epoch):
        numbers = draw.draw_keywords(0, position).tolist()
        assert len(set(numbers)) == 6
        for seed, neighbour in zip(numbers[:3], numbers[3:], strict=True):
            distances = sorted(phone_distance(symbols[seed], other) for other in symbols)
            assert 0 < phone_distance(symbols[seed], symbols[neighbour]) <= distances[12]


def test_many_neighbours_fill_the_batch(keywords, segments):
    draw = draw_of(keywords, segments, neighbour_fraction=0.9, keywords_per_batch=20)
    assert draw.seeds_per_batch == 2
    assert len(set(draw.draw_keywords(0, 1).tolist())) == 20


def test_segments_differ_and_so_do_their_speakers(keywords, segments):
    draw = draw_of(keywords, segments, utterances_per_keyword=3)
    for position in range(30):
        rows = draw.draw_segments(0, position, np.array([0]))  # "the", by three speakers
        assert len(set(rows.tolist())) == 3
        assert len(set(segments.speaker[rows].tolist())) == 3
        assert set(rows) <= set(rows_of(keywords, 0))
    draw = draw_of(keywords, segments, utterances_per_keyword=5)
    assert len(set(draw.draw_segments(0, 0, np.array([0])).tolist())) == 5


def test_a_single_segment_is_repeated(keywords, segments):
    draw = draw_of(keywords, segments)
    single = len(keywords) - 1
    assert keywords.counts[single] == 1
    rows = draw.draw_segments(0, 0, np.array([0, single]))
    assert rows[2] == rows[3] == rows_of(keywords, single)[0]


def test_a_length_window_never_repeats_what_need_not_be(keywords, segments):
    draw = draw_of(keywords, segments, length_window=4, keywords_per_batch=3)
    for position in range(draw.batches_per_epoch):
        numbers = draw.draw_keywords(0, position)
        rows = draw.draw_segments(0, position, numbers).reshape(-1, 2)
        for number, pair in zip(numbers, rows, strict=True):
            assert (pair[0] != pair[1]) == (keywords.counts[number] > 1)
