"""Blocks and spans of a stream: every span once, and the same however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import UsageError
from adml.spotting.hearing import Hearing, Places

WINDOW, SHIFT = 400, 160
SMALL = Places(hop=5, block=20, ahead=2, step=2, lengths=(3, 4, 11))


def log_mel(waveform):
    """Frames of two numbers: their first sample and their sum."""
    count = max(1, 1 + (waveform.shape[1] - WINDOW) // SHIFT)
    frames = [waveform[0, n * SHIFT : n * SHIFT + WINDOW] for n in range(count)]
    return np.array([[[frame[0], frame.sum()] for frame in frames]], np.float32)


def listen(features, lengths, recordings, starts, frames):
    """An embedding is the first feature and the sum of the second over the span."""
    assert features.shape[1] == SMALL.block and lengths.shape == (1,) and not recordings.any()
    assert (starts >= 0).all() and (starts + frames <= lengths[0]).all() and (frames > 0).all()
    spans = [features[0, s : s + n] for s, n in zip(starts, frames, strict=True)]
    return np.array([[span[0, 0], span[:, 1].sum()] for span in spans]), features


def hear(samples, cuts=(), places=SMALL):
    hearing = Hearing(log_mel, listen, window=WINDOW, shift=SHIFT, places=places)
    told = []
    for chunk in np.split(samples, cuts):
        told += hearing.push(chunk)
    return told + list(hearing.close())


def samples_of(count, seed=0):
    return np.random.default_rng(seed).normal(size=count).astype(np.float32)


@pytest.mark.parametrize("count", [1, 300, 400, 1040, 1041, 4000, 9999, 16000])
def test_every_span_is_told_once_and_is_what_it_says(count):
    samples = samples_of(count)
    frames = log_mel(np.pad(samples, (0, max(0, WINDOW - count)))[np.newaxis])[0]
    told = hear(samples)
    spans = [(s, e) for heard in told for s, e in zip(heard.starts, heard.ends, strict=True)]
    ends = range(SMALL.step, len(frames) + 1, SMALL.step)
    expected = {(e - n, e) for e in ends for n in SMALL.lengths if e >= n}
    assert set(spans) == expected and len(spans) == len(expected)
    for heard in told:
        for start, end, value in zip(heard.starts, heard.ends, heard.embeddings, strict=True):
            assert value[0] == frames[start, 0]
            np.testing.assert_allclose(value[1], frames[start:end, 1].sum(), rtol=1e-4, atol=1e-4)


def test_every_frame_has_its_phones_once():
    samples = samples_of(9999)
    told = hear(samples)
    assert [heard.first_frame for heard in told[1:]] == [
        heard.first_frame + len(heard.phones) for heard in told[:-1]
    ]
    joined = np.concatenate([heard.phones for heard in told])
    np.testing.assert_array_equal(joined, log_mel(samples[np.newaxis])[0])


@pytest.mark.parametrize("size", [1, 37, 159, 160, 161, 1599, 5000])
def test_chunks_make_no_difference_bit_by_bit(size):
    samples = samples_of(7 * 1600 + 333)
    whole, cut = hear(samples), hear(samples, range(size, len(samples), size))
    assert len(whole) == len(cut)
    for one, two in zip(whole, cut, strict=True):
        for name, left, right in zip(one._fields, one, two, strict=True):
            np.testing.assert_array_equal(left, right, err_msg=name)


def test_a_span_is_told_as_soon_as_what_follows_it_was_heard():
    for heard in hear(samples_of(16000))[:-1]:
        latest = heard.ends.max(initial=0)
        frames = (heard.samples - WINDOW) // SHIFT + 1
        assert frames % SMALL.hop == 0 and latest <= frames - SMALL.ahead
        assert frames - latest < SMALL.hop + SMALL.step + SMALL.ahead


def test_memory_does_not_grow():
    hearing = Hearing(log_mel, listen, window=WINDOW, shift=SHIFT, places=SMALL)
    for _ in range(200):
        list(hearing.push(samples_of(1000)))
        assert len(hearing._samples) < SMALL.hop * SHIFT + WINDOW
        assert hearing._features is None or len(hearing._features) <= SMALL.block


def test_a_block_holds_its_longest_span():
    with pytest.raises(UsageError, match="at least 225 frames. Received: 224"):
        Places(block=224)
    assert Places(block=225).block == 225


def test_nothing_is_nothing():
    assert hear(np.zeros(0, np.float32)) == []
