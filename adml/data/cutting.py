"""One segment into one waveform: where it is cut, what stands around it, how it is disturbed."""

from __future__ import annotations

import numpy as np

from adml.audio.augmentation import draw_masks, pad_quietly
from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.disturbance import (
    Background,
    Disturber,
    below,
    check_probabilities,
    check_ranges,
    rms,
)
from adml.data.store import PcmStore

MIN_SAMPLES = 400
"""No cut is shorter than this, the paper's analysis window."""

_FADE_SAMPLES = 80


class Cutter:
    """Cut a segment from its recording and disturb it, all drawn from one generator.

    First the place: both edges move by up to `jitter_ms`; then, one of the two at most, the cut is
    widened into the neighbouring speech by U(0, context_seconds) on each side, or quiet of
    U(0, padding_seconds) is put on each side: the quietest stretch of the same recording, a noise
    recording at a low level, or white noise at a low level. Then it is disturbed. All is chosen.

    Args:
        jitter_ms: largest move of an edge, either way, kept within the recording.
        context_probability, context_seconds: widening into the neighbouring speech.
        padding_probability, padding_seconds: quiet before and after; the two probabilities
            together are at most 1.
        padding_level_db: range of the level of added quiet, in dB below full scale.
        quiet_noise: noise for the added quiet, whose ratio plays no part here, or None.
        disturber: what is done to the cut; the default `Disturber()` where None.
        time_masks, time_mask_frames: number and largest width of the time masks; a mask covers
            at most a fifth of the frames.
        frequency_masks, frequency_mask_bins: the same over mel bins.
        window_ms, shift_ms, mel_bins: of the features, whose frames and bins are masked.

    Raises:
        UsageError: a probability or a range is out of bounds; the message names it.
    """

    def __init__(
        self,
        *,
        jitter_ms: float = 20.0,
        context_probability: float = 0.0,
        context_seconds: float = 0.2,
        padding_probability: float = 0.0,
        padding_seconds: float = 0.45,
        padding_level_db: tuple[float, float] = (-80.0, -50.0),
        quiet_noise: Background | None = None,
        disturber: Disturber | None = None,
        time_masks: int = 1,
        time_mask_frames: int = 5,
        frequency_masks: int = 1,
        frequency_mask_bins: int = 6,
        window_ms: float = 25.0,
        shift_ms: float = 10.0,
        mel_bins: int = 40,
    ):
        check_probabilities(
            context_probability=context_probability,
            padding_probability=padding_probability,
            context_and_padding_probability=context_probability + padding_probability,
        )
        check_ranges(
            padding_level_db=padding_level_db,
            jitter_ms=(0, jitter_ms),
            context_seconds=(0, context_seconds),
            padding_seconds=(0, padding_seconds),
            time_masks=(0, time_masks),
            time_mask_frames=(0, time_mask_frames),
            frequency_masks=(0, frequency_masks),
            frequency_mask_bins=(0, frequency_mask_bins),
            shift_ms=(1, shift_ms),
            window_ms=(shift_ms, window_ms),
            mel_bins=(1, mel_bins),
        )
        self.jitter = jitter_ms / 1000.0
        self.context_probability, self.context_seconds = context_probability, context_seconds
        self.padding_probability, self.padding_seconds = padding_probability, padding_seconds
        self.padding_level_db = padding_level_db
        self.quiet_noise = quiet_noise
        self.disturber = disturber or Disturber()
        self.time_masks, self.time_mask_frames = time_masks, time_mask_frames
        self.frequency_masks, self.frequency_mask_bins = frequency_masks, frequency_mask_bins
        self.window, self.shift = _samples(window_ms), _samples(shift_ms)
        self.mel_bins = mel_bins

    def waveform(
        self,
        rng: np.random.Generator,
        store: PcmStore,
        code: int,
        start_s: float,
        end_s: float,
        limit_s: float = np.inf,
    ) -> np.ndarray:
        """Cut and disturb one segment.

        Args:
            rng: the only source of chance.
            store, code: the recording.
            start_s, end_s: the segment in seconds.
            limit_s: what stands around the segment may not make it longer than this, in seconds.

        Returns:
            float32 [T], T >= 400.
        """
        speech = self._cut(rng, store, code, start_s, end_s, limit_s)
        return self.disturber.disturb(rng, speech)

    def masks(
        self, rng: np.random.Generator, num_samples: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the masks of B utterances.

        Args:
            rng: the only source of chance.
            num_samples: length of each utterance, [B].

        Returns:
            Time masks within each utterance's frames and frequency masks, int32 [B, n, 2] each.
        """
        frames = 1 + np.maximum(0, num_samples - self.window) // self.shift
        over_time = [
            draw_masks(rng, self.time_masks, count, min(self.time_mask_frames, count // 5))
            for count in frames.tolist()
        ]
        count = len(frames) * self.frequency_masks
        over_bins = draw_masks(rng, count, self.mel_bins, self.frequency_mask_bins)
        return np.stack(over_time), over_bins.reshape(len(frames), self.frequency_masks, 2)

    def _cut(
        self,
        rng: np.random.Generator,
        store: PcmStore,
        code: int,
        start_s: float,
        end_s: float,
        limit_s: float,
    ) -> np.ndarray:
        start_s += float(rng.uniform(-self.jitter, self.jitter))
        end_s += float(rng.uniform(-self.jitter, self.jitter))
        surroundings = rng.random()
        context = surroundings < self.context_probability
        room = max(0.0, limit_s - (end_s - start_s))
        if context:
            widest = min(self.context_seconds, room / 2)
            start_s -= float(rng.uniform(0, widest))
            end_s += float(rng.uniform(0, widest))
        speech = _at_least_a_window(store, code, start_s, end_s)
        if not context and surroundings < self.context_probability + self.padding_probability:
            speech = self._pad(rng, store, code, speech, min(self.padding_seconds, room / 2))
        return speech

    def _pad(
        self,
        rng: np.random.Generator,
        store: PcmStore,
        code: int,
        speech: np.ndarray,
        longest_s: float,
    ) -> np.ndarray:
        """Quiet on both sides; the speech fades in and out, so that its edges do not click."""
        before, after = (int(seconds * SAMPLE_RATE_HZ) for seconds in rng.uniform(0, longest_s, 2))
        level_db = float(rng.uniform(*self.padding_level_db))
        kind = below(rng, 3)
        fade = np.linspace(0, 1, min(_FADE_SAMPLES, len(speech) // 2), dtype=np.float32)
        speech = speech.copy()
        speech[: len(fade)] *= fade
        speech[len(speech) - len(fade) :] *= fade[::-1]
        quiet = None
        if kind == 0:
            quiet = _real_quiet(store.quiet(code), speech)
        elif kind == 1 and self.quiet_noise is not None:
            piece = self.quiet_noise.piece(rng, before + after)
            quiet = piece * (10 ** (level_db / 20) / max(rms(piece), 1e-6))
        if quiet is None or len(quiet) == 0:
            return pad_quietly(speech, before, after, level_db, rng)
        quiet = np.resize(quiet, before + after).astype(np.float32)
        return np.concatenate([quiet[:before], speech, quiet[before:]])


def _samples(milliseconds: float) -> int:
    return round(SAMPLE_RATE_HZ * milliseconds / 1000)


def _at_least_a_window(store: PcmStore, code: int, start_s: float, end_s: float) -> np.ndarray:
    length = int(store.lengths[code])
    start = min(max(round(start_s * SAMPLE_RATE_HZ), 0), max(0, length - MIN_SAMPLES))
    end = max(round(end_s * SAMPLE_RATE_HZ), start + MIN_SAMPLES)
    speech = store.read_samples(code, start, end)
    if len(speech) < MIN_SAMPLES:
        speech = np.pad(speech, (0, MIN_SAMPLES - len(speech)))
    return speech


def _real_quiet(quiet: np.ndarray, speech: np.ndarray) -> np.ndarray | None:
    """The recording's quiet, or None where it is not 20 dB below the speech (no pause in it)."""
    return quiet if rms(quiet) < 0.1 * rms(speech) else None
