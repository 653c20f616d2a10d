"""Waveform augmentation in NumPy: noise, reverberation, gain, quiet padding, mask positions.

Every function returns float32 and never clips: a result that would leave [-1, 1] is scaled as a
whole. What is random takes a `numpy.random.Generator`.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from adml.errors import UsageError

# Chosen: below this mean square (-120 dBFS) a signal has no level to speak of.
SILENT_POWER = 1e-12


def add_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise so that 10 log10(mean(speech^2) / mean(noise^2)) = snr_db.

    Args:
        speech: [T] samples.
        noise: samples; repeated when shorter than T, cut when longer.
        snr_db: signal-to-noise ratio in decibels, over the whole clip.

    Returns:
        float32 [T]; the speech unchanged when either signal is silent.

    Raises:
        UsageError: there is no noise.
    """
    speech = np.asarray(speech, dtype=np.float32)
    noise = np.asarray(noise, dtype=np.float32)
    if not len(noise):
        raise UsageError("There is no noise to add. Expected: samples. Received: an empty array.")
    noise = np.resize(noise, len(speech)) if len(noise) < len(speech) else noise[: len(speech)]
    speech_power, noise_power = _power(speech), _power(noise)
    if speech_power < SILENT_POWER or noise_power < SILENT_POWER:
        return _within_range(speech.copy())
    scale = np.sqrt(speech_power / noise_power) * 10.0 ** (-snr_db / 20.0)
    return _within_range(speech + np.float32(scale) * noise)


def reverberate(speech: np.ndarray, impulse_response: np.ndarray) -> np.ndarray:
    """Convolve with a room's impulse response, keeping length, level and the time of the words.

    The largest tap is taken as the direct path and moved to time 0, so that word boundaries stay.

    Args:
        speech: [T] samples.
        impulse_response: taps at the speech's sampling rate.

    Returns:
        float32 [T] with the root mean square of the speech.

    Raises:
        UsageError: the impulse response is empty or all zero.
    """
    speech = np.asarray(speech, dtype=np.float32)
    taps = np.asarray(impulse_response, dtype=np.float32)
    if not len(taps) or not np.any(taps):
        raise UsageError(
            "The impulse response cannot be used. Expected: at least one tap that is not 0. "
            f"Received: {len(taps)} taps, all 0."
        )
    direct = int(np.argmax(np.abs(taps)))
    taps = taps[: direct + len(speech)]
    size = scipy.fft.next_fast_len(len(speech) + len(taps) - 1, real=True)
    product = scipy.fft.rfft(speech, size) * scipy.fft.rfft(taps, size)
    wet = scipy.fft.irfft(product, size)[direct : direct + len(speech)]
    wet_power = _power(wet)
    if wet_power < SILENT_POWER:
        return _within_range(speech.copy())
    return _within_range(wet * np.float32(np.sqrt(_power(speech) / wet_power)))


def gain(speech: np.ndarray, decibels: float) -> np.ndarray:
    """Multiply by 10^(decibels / 20), or by the largest factor that stays within [-1, 1].

    Args:
        speech: [T] samples.
        decibels: the gain.

    Returns:
        float32 [T].
    """
    scaled = np.asarray(speech, dtype=np.float32) * np.float32(10.0 ** (decibels / 20.0))
    return _within_range(scaled)


def pad_quietly(
    speech: np.ndarray, before: int, after: int, level_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Lengthen a clip by low noise, which also lies under the speech so that no joint is heard.

    Args:
        speech: [T] samples.
        before, after: samples added on each side.
        level_db: root mean square of the noise in decibels against full scale, e.g. -60.
        rng: source of the noise.

    Returns:
        float32 [before + T + after].

    Raises:
        UsageError: a negative number of samples.
    """
    if before < 0 or after < 0:
        raise UsageError(
            "A clip cannot be padded by less than nothing. Expected: before, after >= 0. "
            f"Received: {before}, {after}."
        )
    speech = np.asarray(speech, dtype=np.float32)
    padded = rng.standard_normal(before + len(speech) + after, dtype=np.float32)
    padded *= np.float32(10.0 ** (level_db / 20.0))
    padded[before : before + len(speech)] += speech
    return _within_range(padded)


def draw_masks(rng: np.random.Generator, count: int, limit: int, max_width: int) -> np.ndarray:
    """Draw spans for `features.mask_spans`: width uniform in 0..max_width, then its place.

    Args:
        rng: source of the draw.
        count: number of spans, n.
        limit: frames or bins of the features; a span lies wholly within.
        max_width: largest width, cut to `limit`.

    Returns:
        int32 [n, 2], (first, width).

    Raises:
        UsageError: a negative argument.
    """
    if min(count, limit, max_width) < 0:
        raise UsageError(
            "Masks need sizes that are not negative. Expected: count, limit, max_width >= 0. "
            f"Received: {count}, {limit}, {max_width}."
        )
    width = rng.integers(0, min(max_width, limit), size=count, endpoint=True)
    first = rng.integers(0, limit - width, endpoint=True)
    return np.stack([first, width], axis=1).astype(np.int32)


def _power(samples: np.ndarray) -> float:
    """Mean square in float64; 0 for an empty clip."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _within_range(samples: np.ndarray) -> np.ndarray:
    """Scale a clip as a whole when its peak is above 1."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return samples / np.float32(peak) if peak > 1.0 else samples
