"""Noise made from numbers: white, pink, brown, hum, modulated, and babble of given voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adml.errors import DataError, UsageError

KINDS = ("white", "pink", "brown", "hum", "modulated", "babble")
_COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}
_LEVEL = 0.05


def make_noise(
    kind: str,
    num_samples: int,
    rng: np.random.Generator,
    *,
    sample_rate_hz: int = 16000,
    voices: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Make one stretch of noise of root mean square 0.05.

    "white", "pink", "brown": power falling with the frequency's power 0, 1, 2. "hum": mains of 50
    or 60 Hz with harmonics and a little pink noise. "modulated": pink noise swelling 0.3 to 8 times
    a second. "babble": the given voices on top of each other, each from a random place, repeated.

    Args:
        kind: one of `KINDS`.
        num_samples: length T.
        rng: source of chance.
        sample_rate_hz: of the noise.
        voices: recordings, float [T_i], for babble.

    Returns:
        float32 [T] within [-1, 1].

    Raises:
        UsageError: unknown kind, or no samples asked for.
        DataError: babble without voices.
    """
    if kind not in KINDS or num_samples < 1:
        raise UsageError(
            f"No such noise. Expected: a kind of {', '.join(KINDS)} and a length above 0. "
            f"Received: {kind!r}, {num_samples}."
        )
    seconds = np.arange(num_samples) / sample_rate_hz
    if kind in _COLOURS:
        noise = _coloured(num_samples, _COLOURS[kind], rng, sample_rate_hz)
    elif kind == "hum":
        noise = _hum(seconds, rng) + 0.1 * _coloured(num_samples, 0.5, rng, sample_rate_hz)
    elif kind == "modulated":
        rates_hz, phases = rng.uniform(0.3, 8.0, 3), rng.uniform(0, 2 * np.pi, 3)
        waves = np.sin(2 * np.pi * np.outer(rates_hz, seconds) + phases[:, None]).sum(0)
        noise = np.exp(waves) * _coloured(num_samples, 0.5, rng, sample_rate_hz)
    else:
        noise = _babble(num_samples, rng, voices)
    noise *= _LEVEL / max(np.sqrt(np.mean(noise**2)), 1e-12)
    return np.clip(noise, -1.0, 1.0).astype(np.float32)


def _coloured(
    num_samples: int, slope: float, rng: np.random.Generator, sample_rate_hz: int
) -> np.ndarray:
    """Gaussian noise whose amplitude falls with frequency to the power `slope`, level 1."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency_hz = np.fft.rfftfreq(num_samples, 1.0 / sample_rate_hz)
    noise = np.fft.irfft(spectrum / np.maximum(frequency_hz, 20.0) ** slope, num_samples)
    return noise / max(np.sqrt(np.mean(noise**2)), 1e-12)


def _hum(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mains_hz = rng.choice([50.0, 60.0]) + rng.uniform(-0.2, 0.2)
    harmonics = np.arange(1, 13)
    weights = rng.uniform(0.2, 1.0, len(harmonics)) / harmonics
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    waves = np.sin(2 * np.pi * np.outer(harmonics * mains_hz, seconds) + phases[:, None])
    return weights @ waves


def _babble(
    num_samples: int, rng: np.random.Generator, voices: Sequence[np.ndarray]
) -> np.ndarray:
    usable = [voice for voice in voices if len(voice) and np.any(voice)]
    if not usable:
        raise DataError("Babble needs voices. Expected: at least one recording. Received: none.")
    total = np.zeros(num_samples)
    for voice in usable:
        level = np.sqrt(np.mean(np.square(voice, dtype=np.float64)))
        places = (np.arange(num_samples) + rng.integers(len(voice))) % len(voice)
        total += voice[places] / level
    return total
