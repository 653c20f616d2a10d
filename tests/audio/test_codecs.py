"""Codecs: in time, in range, and as lossy as they are."""

from __future__ import annotations

import numpy as np
import pytest

from adml.audio.codecs import CODECS, transmit
from adml.config_checks import CODECS as CODECS_OF_CONFIGURATIONS
from adml.errors import UsageError

RATE = 16000


@pytest.fixture(scope="module")
def speech():
    """A second of a voice: harmonics of a pitch that glides, and a little breath."""
    time_s = np.arange(RATE) / RATE
    phase = 2 * np.pi * (110 * time_s + 20 * time_s**2)
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    breath = 0.02 * np.random.default_rng(0).standard_normal(RATE)
    return (0.15 * (voice + breath)).astype(np.float32)


@pytest.mark.parametrize("codec", CODECS)
def test_speech_comes_back_in_time_and_is_not_the_same(codec, speech):
    heard = transmit(speech, codec)
    assert heard.dtype == np.float32 and heard.shape == speech.shape
    middle = slice(2000, 14000)
    lags = range(-40, 41)
    likeness = [
        np.dot(speech[middle], heard[middle.start + lag : middle.stop + lag]) for lag in lags
    ]
    assert abs(lags[int(np.argmax(likeness))]) <= 1
    error = np.mean((heard - speech)[middle] ** 2) / np.mean(speech[middle] ** 2)
    assert 1e-6 < error < 0.5


@pytest.mark.parametrize("codec", ["mu_law", "a_law", "gsm"])
def test_a_telephone_has_nothing_above_4_khz(codec):
    rng = np.random.default_rng(1)
    noise = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    power = np.abs(np.fft.rfft(transmit(noise, codec))) ** 2
    assert power[4200:].sum() < 1e-3 * power[:3800].sum()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("length", [0, 1, 399, 1601])
def test_any_length_stays(codec, length, speech):
    heard = transmit(speech[:length], codec)
    assert heard.shape == (length,) and np.isfinite(heard).all()


@pytest.mark.parametrize("codec", CODECS)
def test_full_scale_stays_within_range(codec):
    square = np.where(np.arange(RATE // 4) % 100 < 50, 1.0, -1.0).astype(np.float32)
    assert np.abs(transmit(square, codec)).max() <= 1.0


def test_configurations_know_the_same_codecs():
    assert CODECS_OF_CONFIGURATIONS == CODECS


def test_another_codec_is_refused(speech):
    with pytest.raises(UsageError, match="mu_law.*Received: 'amr'"):
        transmit(speech, "amr")
