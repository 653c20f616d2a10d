"""Blocks of running speech: what is told of them is what is heard in them."""

from __future__ import annotations

import numpy as np
import pytest

from adml.data.batches import BatchSource
from adml.data.cutting import Cutter
from adml.data.disturbance import Disturber
from adml.data.store import PcmStore

RATE_HZ, SHIFT, WINDOW = 16000, 160, 400
WORD_SECONDS = 0.4


@pytest.fixture(scope="module")
def store(segments, tmp_path_factory):
    return PcmStore.build(segments.utterances, tmp_path_factory.mktemp("cache"))


def source_of(segments, store, spell, *, undisturbed=True, seed=5, speed=1.0, **blocks):
    chosen = {"probability": 1.0, "seconds": 1.5, "spans": 4, "jitter_ms": 0.0} | blocks
    options = {}
    if undisturbed:
        faster = {"speed_probability": float(speed != 1.0), "speed_range": (speed, speed)}
        disturber = Disturber(gain_db=(0.0, 0.0), **faster)
        options = {"disturber": disturber, "jitter_ms": 0.0}
    return BatchSource(
        segments, store, g2p=spell, keywords_per_batch=6, utterances_per_keyword=2, seed=seed,
        min_utterances=1, cutter=Cutter(**options), blocks=chosen,
    )  # fmt: skip


def main_pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 15))
    return float(np.argmax(spectrum) * RATE_HZ / (1 << 15))


@pytest.mark.parametrize("speed", [1.0, 0.8, 1.25])
def test_a_span_holds_the_words_it_is_said_to_hold(segments, store, spell, speed):
    """The words are tones: the pitch in the middle of each word of each span is the word's."""
    source, looked_at = source_of(segments, store, spell, speed=speed), 0
    word_seconds = WORD_SECONDS / speed
    for position in range(source.batches_per_epoch):
        batch = source.batch(0, position)
        for place, text_id in enumerate(batch["text_ids"]):
            waveform = batch["waveform"][batch["span_recordings"][place]]
            first = batch["span_starts"][place] * SHIFT
            words = source.keywords.texts[text_id].split()
            seconds = (batch["span_frames"][place] - 1) * SHIFT / RATE_HZ + WINDOW / RATE_HZ
            assert seconds == pytest.approx(word_seconds * len(words), abs=0.011)
            for number, word in enumerate(words):
                middle = first + int((number + 0.5) * word_seconds * RATE_HZ)
                heard = main_pitch_hz(waveform[middle - 1600 : middle + 1600])
                same = {150 + 40 * (sum(map(ord, said)) % 50) for said in homophones(word)}
                assert min(abs(heard - speed * pitch) for pitch in same) < 5
                looked_at += 1
    assert looked_at > 50


def homophones(word: str) -> tuple[str, ...]:
    groups = (("red", "read"), ("night", "knight"))
    return next((group for group in groups if word in group), (word,))


def test_the_layout(segments, store, spell):
    batch = source_of(segments, store, spell).batch(1, 0)
    recordings, counts = np.unique(batch["span_recordings"], return_counts=True)
    assert recordings.tolist() == list(range(12)) == list(range(len(batch["waveform"])))
    assert counts.max() == 4 and (np.diff(batch["span_recordings"]) >= 0).all()
    spans = len(batch["span_starts"])
    assert spans > 24
    for name in ("phonemes", "phoneme_lengths", "phoneme_classes", "text_ids", "keyword_labels"):
        assert len(batch[name]) == spans, name
    frames = 1 + (batch["waveform_lengths"] - WINDOW) // SHIFT
    ends = batch["span_starts"] + batch["span_frames"]
    assert (batch["span_starts"] >= 0).all() and (batch["span_frames"] >= 1).all()
    assert (ends <= frames[batch["span_recordings"]]).all()
    assert (batch["waveform_lengths"] == 1.5 * RATE_HZ).all()


def test_shares_of_workers_are_the_whole_batch(segments, store, spell):
    source = source_of(segments, store, spell)
    whole, shares = source.batch(0, 0), []
    for worker in range(4):
        options = {"keywords_per_batch": 6, "min_utterances": 1, "seed": 5, "share": (worker, 4)}
        blocks = {"probability": 1.0, "seconds": 1.5, "spans": 4, "jitter_ms": 0.0}
        own = BatchSource(
            segments, store, g2p=spell, cutter=source.cutter, blocks=blocks, **options
        )
        shares.append(own.batch(0, 0))
    counts = [len(share["waveform"]) for share in shares]
    assert counts == [4, 2, 2, 4]
    before = np.repeat(np.cumsum([0, *counts[:-1]]), [len(s["span_starts"]) for s in shares])
    for name in ("waveform", "span_recordings", "span_starts", "text_ids", "time_masks"):
        joined = np.concatenate([share[name] for share in shares])
        joined = joined + before if name == "span_recordings" else joined
        np.testing.assert_array_equal(joined, whole[name], err_msg=name)


def test_the_spans_of_a_block_are_different_segments(segments, store, spell):
    batch = source_of(segments, store, spell).batch(0, 0)
    told = zip(batch["span_recordings"], batch["span_starts"], batch["span_frames"], strict=True)
    assert len(set(told)) == len(batch["span_starts"])


def test_without_blocks_a_waveform_is_the_segment_alone(segments, store, spell):
    batch = source_of(segments, store, spell, probability=0.0).batch(0, 0)
    frames = 1 + (batch["waveform_lengths"] - WINDOW) // SHIFT
    np.testing.assert_array_equal(batch["span_frames"], frames)
    assert not batch["span_starts"].any()
    np.testing.assert_array_equal(batch["span_recordings"], range(12))


def test_edges_move_within_their_limit(segments, store, spell):
    still = source_of(segments, store, spell, spans=1)
    moved = source_of(segments, store, spell, spans=1, jitter_ms=50.0)
    starts, ends = [], []
    for position in range(still.batches_per_epoch):
        one, two = still.batch(0, position), moved.batch(0, position)
        np.testing.assert_array_equal(one["waveform"], two["waveform"])
        starts += (two["span_starts"] - one["span_starts"]).tolist()
        last = [batch["span_starts"] + batch["span_frames"] for batch in (one, two)]
        ends += (last[1] - last[0]).tolist()
    for moves in (starts, ends):
        assert -7 <= min(moves) < -2 and 2 < max(moves) <= 7


def test_distractors_are_unlike_every_segment(segments, store, spell):
    source = source_of(segments, store, spell, distractors=5, seconds=2.5)
    plain, looked_at, lengths = source_of(segments, store, spell, seconds=2.5), 0, set()
    everything = source_of(segments, store, spell, spans=64, seconds=2.5)
    for position in range(source.batches_per_epoch):
        batch, known = source.batch(0, position), everything.batch(0, position)
        for name, value in plain.batch(0, position).items():
            np.testing.assert_array_equal(batch[name], value, err_msg=name)
        frames = 1 + (batch["waveform_lengths"] - WINDOW) // SHIFT
        names = ("distractor_recordings", "distractor_starts", "distractor_frames")
        for recording, first, count in zip(*(batch[name] for name in names), strict=True):
            assert first >= 0 and first + count <= frames[recording]
            of_block = known["span_recordings"] == recording
            starts = known["span_starts"][of_block]
            ends = starts + known["span_frames"][of_block]
            shared = np.minimum(ends, first + count) - np.maximum(starts, first)
            joined = np.maximum(ends, first + count) - np.minimum(starts, first)
            assert (shared < 0.56 * joined).all()  # 0.5, and a window's edges
            looked_at += 1
            lengths.add(int(count))
        assert np.bincount(batch["distractor_recordings"]).max() <= 5
        assert (np.diff(batch["distractor_recordings"]) >= 0).all()
    assert looked_at > 50 and min(lengths) < 35 and max(lengths) > 90


def test_blocks_longer_than_a_recording_are_the_recording(segments, store, spell):
    batch = source_of(segments, store, spell, seconds=9.0).batch(0, 0)
    assert set(batch["waveform_lengths"]) <= set(store.lengths.tolist())


def test_a_batch_is_a_function_of_its_place(segments, store, spell):
    source, again = (source_of(segments, store, spell, undisturbed=False) for _ in range(2))
    expected = source.batch(3, 1)
    again.batch(0, 0)
    found, other = again.batch(3, 1), source.batch(3, 0)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert not np.array_equal(other["text_ids"], expected["text_ids"])


@pytest.mark.parametrize("distractors", [0, 3])
def test_the_dataset_has_the_spans(segments, store, spell, distractors):
    source = source_of(segments, store, spell, distractors=distractors)
    for made in source.dataset(0, 1):
        expected = source.batch(0, 0)
        assert made.keys() == expected.keys()
        np.testing.assert_array_equal(made["span_frames"], expected["span_frames"])
