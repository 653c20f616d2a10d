"""Batches: their layout, their purity and the pipeline around them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adml.data.batches import BatchSource
from adml.data.cutting import Cutter
from adml.data.disturbance import Background, Disturber
from adml.data.store import PcmStore
from adml.errors import DataError, UsageError
from adml.text.phonemes import to_classes, to_ids

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def store(segments, cache):
    return PcmStore.build(segments.utterances, cache)


def source_of(segments, store, spell, **options):
    response = np.zeros(800, np.float32)
    response[[10, 300]] = [1.0, 0.4]
    disturber = Disturber(
        impulse_responses=[response], speed_probability=0.3, codec_probability=0.3,
        backgrounds=[Background(store, (0.0, 15.0)), Background(store, (13.0, 20.0), (3, 7))],
    )  # fmt: skip
    cutter = Cutter(
        disturber=disturber, quiet_noise=Background(store, (0.0, 15.0)),
        context_probability=0.3, padding_probability=0.3,
    )
    defaults = {
        "g2p": spell, "keywords_per_batch": 6, "utterances_per_keyword": 2, "seed": 5,
        "min_utterances": 1, "neighbour_fraction": 0.5, "cutter": cutter,
    }  # fmt: skip
    return BatchSource(segments, store, **(defaults | options))


@pytest.fixture(scope="module")
def source(segments, store, spell):
    return source_of(segments, store, spell)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def digest_of(batch):
    return hashlib.sha256(b"".join(batch[name].tobytes() for name in sorted(batch))).hexdigest()


def test_the_layout(source, spell):
    batch = source.batch(0, 0)
    waveform, lengths = batch["waveform"], batch["waveform_lengths"]
    assert waveform.dtype == np.float32 and waveform.shape[0] == 12
    assert waveform.shape[1] % 1600 == 0 and waveform.shape[1] - lengths.max() < 1600
    assert np.isfinite(waveform).all() and np.abs(waveform).max() <= 1
    for row, length in zip(waveform, lengths, strict=True):
        assert not row[length:].any() and row[:length].any()
    for name in ("time_masks", "frequency_masks"):
        assert batch[name].shape == (12, 1, 2)
    for place, number in enumerate(batch["text_ids"]):
        symbols = spell.phonemes(source.keywords.texts[number])
        count = batch["phoneme_lengths"][place]
        assert count == len(symbols)
        assert batch["phonemes"][place, :count].tolist() == to_ids(symbols)
        assert batch["phoneme_classes"][place, :count].tolist() == to_classes(symbols)
        assert (batch["phonemes"][place, count:] == 0).all()
        assert (batch["phoneme_classes"][place, count:] == -1).all()
    assert all(batch[name].dtype == np.int32 for name in batch if name != "waveform")


def test_texts_are_all_spellings_that_are_drawn(segments, store, spell):
    single = segments.subset(segments.num_words == 1)
    every = source_of(single, store, spell)
    assert set(every.texts) == set(spell.WORDS)  # "night" and "knight" are one keyword
    assert len(every.keywords.texts) == len(every.texts) - 2
    often = source_of(single, store, spell, min_utterances=2, keywords_per_batch=2)
    assert set(every.texts) - set(often.texts) == {"a", "has"}


def test_text_ids_are_distinct_and_utterances_belong_to_them(segments, store, spell):
    plain = Cutter(jitter_ms=0, disturber=Disturber(gain_db=(0, 0)), time_masks=0)
    source = source_of(segments, store, spell, cutter=plain)
    for position in range(source.batches_per_epoch):
        batch = source.batch(3, position)
        assert len(set(batch["text_ids"].tolist())) == 6
        for place in range(12):
            number = batch["text_ids"][place // 2]
            first, last = source.keywords.offsets[number : number + 2]
            possible = [
                store.read(segments.utterances[segments.utterance[row]], start, end)
                for row in source.keywords.segments[first:last]
                for start, end in [(segments.start_s[row], segments.end_s[row])]
            ]
            waveform = batch["waveform"][place, : batch["waveform_lengths"][place]]
            assert any(np.array_equal(waveform, candidate) for candidate in possible)


def test_any_position_alone_is_the_one_in_sequence(segments, store, spell, source):
    every_word_twice = {"neighbour_fraction": 0.0, "min_utterances": 2, "keywords_per_batch": 3}
    for options in ({}, {"length_window": 3}, every_word_twice):
        one = source_of(segments, store, spell, **options)
        sequence = [one.batch(epoch, 1) for epoch in range(3)]
        fresh = source_of(segments, store, spell, **options)
        for epoch in (2, 0, 1):
            assert_same(fresh.batch(epoch, 1), sequence[epoch])


def test_shares_of_workers_are_the_whole_batch(segments, store, spell):
    """Six keywords on four workers: 2, 1, 1 and 2; padding apart, as in the whole batch."""
    options = {"negative_texts": 2, "length_window": 2}
    whole = source_of(segments, store, spell, **options)
    sources = [source_of(segments, store, spell, share=(i, 4), **options) for i in range(4)]
    shares, batch = [one.batch(2, 1) for one in sources], whole.batch(2, 1)
    assert [len(share["text_ids"]) for share in shares] == [2, 1, 1, 2]
    for name, expected in batch.items():
        if name != "waveform":
            joined = np.concatenate([share[name] for share in shares])
            np.testing.assert_array_equal(joined, expected, err_msg=name)
    waveforms = [row for share in shares for row in share["waveform"]]
    for ours, theirs, length in zip(
        waveforms, batch["waveform"], batch["waveform_lengths"], strict=True
    ):
        np.testing.assert_array_equal(ours[:length], theirs[:length])
    with pytest.raises(UsageError, match="share is out of range"):
        source_of(segments, store, spell, share=(4, 4))


def test_the_global_generator_has_no_part(source):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = source.batch(0, 1)
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    np.random.seed(2)
    assert_same(source.batch(0, 1), first)


def test_seed_epoch_and_position_all_matter(segments, store, spell, source):
    batches = [
        source.batch(0, 0), source.batch(0, 1), source.batch(1, 0),
        source_of(segments, store, spell, seed=6).batch(0, 0),
    ]  # fmt: skip
    starts = [batch["waveform"][0, :400].tobytes() for batch in batches]
    assert len(set(starts)) == len(starts)


def test_a_single_segment_gives_different_views(source):
    alone = np.flatnonzero(source.keywords.counts == 1)
    for position in range(source.batches_per_epoch):
        batch = source.batch(0, position)
        for place, number in enumerate(batch["text_ids"]):
            if number in alone:
                first, second = batch["waveform"][2 * place : 2 * place + 2]
                assert not np.array_equal(first, second)


def test_another_process_makes_the_same_batch(source, corpus, cache):
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from conftest import Spelling
from test_batches import digest_of, source_of
from adml.data.store import PcmStore
from adml.data.words import build_segments, read_words
segments = build_segments(read_words({str(corpus)!r}), max_words=3)
source = source_of(segments, PcmStore.build(segments.utterances, {str(cache)!r}), Spelling())
sys.stdout.write(digest_of(source.batch(2, 1)))
"""
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout == digest_of(source.batch(2, 1))


def test_labels_are_the_most_frequent_keywords(segments, store, spell):
    source = source_of(segments, store, spell, keyword_classes=5)
    assert source.num_classes == 5
    for position in range(source.batches_per_epoch):
        batch = source.batch(0, position)
        expected = np.where(batch["text_ids"] < 5, batch["text_ids"], -1)
        np.testing.assert_array_equal(batch["keyword_labels"], expected)
    everything = source_of(segments, store, spell, keyword_classes=10_000)
    assert everything.num_classes == everything.num_keywords
    assert (source_of(segments, store, spell).batch(0, 0)["keyword_labels"] >= 0).all()


def test_a_length_window_saves_padding(segments, store, spell):
    def filled(**options):
        source = source_of(segments, store, spell, neighbour_fraction=0.0, **options)
        batches = [source.batch(0, position) for position in range(source.batches_per_epoch)]
        samples = sum(batch["waveform_lengths"].sum() for batch in batches)
        return samples / sum(batch["waveform"].size for batch in batches)

    assert filled(length_window=50) > filled() + 0.1


def test_the_dataset_is_the_batches_in_order(source):
    per_epoch = source.batches_per_epoch
    start = per_epoch - 2
    made = list(source.dataset(start, start + 4).as_numpy_iterator())
    places = [(0, per_epoch - 2), (0, per_epoch - 1), (1, 0), (1, 1)]
    assert len(made) == 4
    for batch, place in zip(made, places, strict=True):
        assert_same(batch, source.batch(*place))
    assert source.dataset(3, 3).element_spec["waveform"].shape.as_list() == [None, None]
    assert list(source.dataset(3, 3)) == []
    with pytest.raises(UsageError, match="stop_step"):
        source.dataset(3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_utterances": 3}, "min_utterances is out of range. Expected: 1 to 2. Received: 3"),
        ({"min_utterances": 0}, "min_utterances"),
        ({"neighbour_fraction": 0.95}, "neighbour_fraction"),
        ({"seed": -1}, "seed is out of range"),
        ({"keyword_classes": 1}, "keyword_classes is out of range. Expected: at least 2"),
        ({"keywords_per_batch": 0}, "keywords_per_batch"),
        ({"length_window": 0}, "length_window"),
    ],
)
def test_wrong_options_are_named(segments, store, spell, options, message):
    with pytest.raises(UsageError, match=message):
        source_of(segments, store, spell, **options)


def test_too_few_keywords_and_wrong_places(segments, store, spell, source):
    with pytest.raises(DataError, match="too few keywords for a batch. Expected: 500"):
        source_of(segments, store, spell, keywords_per_batch=500)
    one = segments.subset(np.flatnonzero(segments.text == segments.text[0])[:1])
    with pytest.raises(DataError, match=r"too few keywords.*segments\. Give more speech"):
        source_of(one, store, spell, keywords_per_batch=1, neighbour_fraction=0.0)
    for place in ((-1, 0), (0, -1), (0, source.batches_per_epoch)):
        with pytest.raises(UsageError, match="out of range"):
            source.batch(*place)


@pytest.mark.parametrize("name", ["waveform", "phonemes"])
def test_a_batch_is_made_anew(source, name):
    first = source.batch(0, 0)
    first[name][:] = 0
    assert source.batch(0, 0)[name].any()
