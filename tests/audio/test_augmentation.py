"""Augmentation: levels in decibels, places in samples, and nothing clipped."""

from __future__ import annotations

import numpy as np
import pytest

from adml.audio import augmentation
from adml.errors import UsageError


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _tone(samples: int, amplitude: float = 0.1) -> np.ndarray:
    return (amplitude * np.sin(0.1 * np.arange(samples))).astype(np.float32)


def _decibels(power_ratio: float) -> float:
    return 10 * np.log10(power_ratio)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 15.0])
@pytest.mark.parametrize("noise_samples", [700, 4000, 9000])
def test_noise_has_the_asked_ratio(snr_db, noise_samples):
    speech = _tone(4000, 0.05)
    noise = _rng().standard_normal(noise_samples).astype(np.float32)
    mixed = augmentation.add_noise(speech, noise, snr_db)
    added = mixed.astype(np.float64) - speech
    assert mixed.dtype == np.float32 and mixed.shape == speech.shape
    ratio = np.mean(speech.astype(np.float64) ** 2) / np.mean(added**2)
    assert _decibels(ratio) == pytest.approx(snr_db, abs=0.01)


def test_silent_speech_or_noise_is_left_alone():
    speech = _tone(100)
    np.testing.assert_array_equal(augmentation.add_noise(speech, np.zeros(10), 0.0), speech)
    np.testing.assert_array_equal(augmentation.add_noise(0 * speech, speech, 0.0), 0 * speech)
    with pytest.raises(UsageError, match="no noise"):
        augmentation.add_noise(speech, np.zeros(0), 0.0)


def test_too_loud_a_mixture_is_scaled_not_clipped():
    speech, noise = _tone(4000, 0.9), _rng().standard_normal(4000)
    mixed = augmentation.add_noise(speech, noise, 0.0)
    assert np.max(np.abs(mixed)) == pytest.approx(1.0, abs=1e-6)
    assert np.sum(np.abs(mixed) > 0.999) == 1
    scaled = augmentation.gain(speech, 20.0)
    np.testing.assert_allclose(scaled, speech / np.abs(speech).max(), atol=1e-6)


def test_gain_in_decibels():
    np.testing.assert_allclose(augmentation.gain(_tone(50), -20.0), 0.1 * _tone(50), rtol=1e-6)


def test_a_delayed_impulse_returns_the_speech_in_place():
    speech = _tone(3000)
    taps = np.zeros(500, np.float32)
    taps[123] = -0.3
    np.testing.assert_allclose(augmentation.reverberate(speech, taps), -speech, atol=1e-6)


def test_reverberation_is_a_convolution_of_equal_level():
    rng = _rng()
    speech = (0.1 * rng.standard_normal(300)).astype(np.float32)
    taps = (rng.standard_normal(80) * np.exp(-np.arange(80) / 20)).astype(np.float32)
    direct = int(np.argmax(np.abs(taps)))
    expected = np.convolve(speech.astype(np.float64), taps.astype(np.float64))
    expected = expected[direct : direct + 300]
    expected *= np.sqrt(np.mean(speech.astype(np.float64) ** 2) / np.mean(expected**2))
    wet = augmentation.reverberate(speech, taps)
    assert wet.dtype == np.float32
    np.testing.assert_allclose(wet, expected, atol=1e-6)


def test_response_longer_than_the_speech_and_bad_ones():
    speech = _tone(200)
    taps = np.zeros(5000)
    taps[[10, 4000]] = 1.0, 0.5
    np.testing.assert_allclose(augmentation.reverberate(speech, taps), speech, atol=1e-6)
    np.testing.assert_array_equal(augmentation.reverberate(0 * speech, taps), 0 * speech)
    for bad in (np.zeros(0), np.zeros(5)):
        with pytest.raises(UsageError, match="impulse response"):
            augmentation.reverberate(speech, bad)


def test_padding_keeps_the_speech_and_its_place():
    speech = _tone(1000)
    padded = augmentation.pad_quietly(speech, 2000, 3000, -60.0, _rng())
    assert padded.shape == (6000,) and padded.dtype == np.float32
    assert np.abs(padded[2000:3000] - speech).max() < 0.006
    level = np.mean(padded[3000:].astype(np.float64) ** 2)
    assert _decibels(level) == pytest.approx(-60, abs=0.5)
    again = augmentation.pad_quietly(speech, 2000, 3000, -60.0, _rng())
    np.testing.assert_array_equal(padded, again)
    with pytest.raises(UsageError, match="less than nothing"):
        augmentation.pad_quietly(speech, -1, 0, -60.0, _rng())


def test_masks_lie_within_the_limit():
    rng = _rng()
    masks = augmentation.draw_masks(rng, 5000, 20, 6)
    assert masks.dtype == np.int32 and masks.shape == (5000, 2)
    first, width = masks.T
    assert width.min() == 0 and width.max() == 6
    assert first.min() == 0 and (first + width).max() == 20
    assert augmentation.draw_masks(rng, 4, 0, 5).tolist() == [[0, 0]] * 4
    assert augmentation.draw_masks(rng, 0, 10, 5).shape == (0, 2)
    with pytest.raises(UsageError, match="not negative"):
        augmentation.draw_masks(rng, 1, 10, -1)


def test_empty_speech_passes_through():
    empty = np.zeros(0, np.float32)
    assert augmentation.gain(empty, 3.0).shape == (0,)
    assert augmentation.add_noise(empty, np.ones(3), 3.0).shape == (0,)
