"""What is done to a cut: speed, level, room, background and codec, drawn from one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adml.audio.augmentation import SILENT_POWER, add_noise, gain, reverberate
from adml.audio.codecs import CODECS, transmit
from adml.audio.decoding import SAMPLE_RATE_HZ, resample
from adml.data.store import PcmStore
from adml.errors import DataError, UsageError

BABBLE_VOICES = (3, 7)
"""How many talk at once, as in common recipes with MUSAN."""

TRIES = 20
"""Draws of a background among which one must not be silent."""


@dataclass(frozen=True)
class Background:
    """Recordings to put behind speech.

    Args:
        store: the recordings.
        snr_db: range of the signal-to-noise ratio, decibels.
        voices: how many recordings sound at once, fewest and most; each is as loud as the others.

    Raises:
        UsageError: a range is none.
    """

    store: PcmStore
    snr_db: tuple[float, float]
    voices: tuple[int, int] = (1, 1)

    def __post_init__(self):
        check_ranges(snr_db=self.snr_db, voices=self.voices)
        check_ranges(fewest_voices=(1, self.voices[0]))

    def piece(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """Random stretches of random recordings, together; float32 [length]."""
        return self.sound(self.draw(rng, length), length)

    def draw(self, rng: np.random.Generator, length: int) -> list[tuple[int, int]]:
        """Draw what sounds at once: numbers of recordings, and the samples at which they begin.

        Drawn again, up to `TRIES` times in all, until none of them is silent there.
        """
        for _ in range(TRIES):
            stretches = self._draw_once(rng, length)
            if self.is_heard(stretches, length):
                break
        return stretches

    def is_heard(self, stretches: Sequence[tuple[int, int]], length: int) -> bool:
        """Whether none of what was drawn is silent."""
        heard = (self.stretch(*stretch, length) for stretch in stretches)
        return all(float(np.mean(np.square(piece))) >= SILENT_POWER for piece in heard)

    def _draw_once(self, rng: np.random.Generator, length: int) -> list[tuple[int, int]]:
        fewest, most = self.voices
        count = fewest + below(rng, most - fewest + 1) if most > fewest else fewest
        stretches = []
        for _ in range(count):
            code = below(rng, len(self.store))
            last = max(1, int(self.store.lengths[code]) - length + 1)
            stretches.append((code, below(rng, last)))
        return stretches

    def sound(self, stretches: Sequence[tuple[int, int]], length: int) -> np.ndarray:
        """What was drawn as samples, repeated where it is too short; float32 [length]."""
        if len(stretches) == 1:
            return self.stretch(*stretches[0], length)
        mixed = np.zeros(length, np.float32)
        for code, start in stretches:
            voice = self.stretch(code, start, length)
            mixed += voice / max(rms(voice), 1e-6)
        return mixed

    def stretch(self, code: int, start: int, length: int) -> np.ndarray:
        """One recording from a sample on, repeated where it is too short; float32 [length]."""
        piece = self.store.read_samples(code, start, start + length)
        return piece if len(piece) == length else np.resize(piece, length)


class StoredResponses(Sequence):
    """Impulse responses of a store, each read when it is asked for."""

    def __init__(self, store: PcmStore):
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, code: int) -> np.ndarray:
        return self._store.read_samples(code, 0, int(self._store.lengths[code]))


class Disturber:
    """Disturb a cut, in the order in which it happens to speech: who speaks, where, through what.

    Speed, level, room, background, codec. What has probability 0 draws no random number. The
    defaults for background and reverberation follow the paper, section 4.1; all else is chosen.

    Args:
        speed_probability, speed_range: of an utterance, and the range of the factor by which it
            is played faster; the pitch goes with it.
        gain_db: range of the change of level.
        impulse_responses: float32 [R] each, 16 kHz; used from just before their peak, for at most
            `impulse_response_seconds`.
        reverberation_probability: of an utterance, where there are impulse responses.
        backgrounds: noise, music, babble: each is drawn as often as the others.
        background_probability: of an utterance, where there are backgrounds.
        codec_probability, codecs: of an utterance, and the codecs that are drawn from.

    Raises:
        UsageError: a probability or a range is out of bounds, or a codec is none; the message
            names it.
    """

    def __init__(
        self,
        *,
        speed_probability: float = 0.0,
        speed_range: tuple[float, float] = (0.9, 1.1),
        gain_db: tuple[float, float] = (-10.0, 5.0),
        impulse_responses: Sequence[np.ndarray] = (),
        impulse_response_seconds: float = 0.3,
        reverberation_probability: float = 0.5,
        backgrounds: Sequence[Background] = (),
        background_probability: float = 0.5,
        codec_probability: float = 0.0,
        codecs: Sequence[str] = ("mu_law", "gsm", "ima_adpcm"),
    ):
        check_probabilities(
            speed_probability=speed_probability,
            reverberation_probability=reverberation_probability,
            background_probability=background_probability,
            codec_probability=codec_probability,
        )
        check_ranges(
            speed_range=speed_range,
            lowest_speed=(0.5, speed_range[0]),
            highest_speed=(speed_range[1], 2.0),
            gain_db=gain_db,
            impulse_response_seconds=(0, impulse_response_seconds),
        )
        unknown = [codec for codec in codecs if codec not in CODECS]
        if unknown or (codec_probability > 0 and not codecs):
            raise UsageError(
                f"codecs cannot be used. Expected: some of {', '.join(CODECS)}. "
                f"Received: {', '.join(unknown) or 'none'}."
            )
        self.speed_probability, self.speed_range = speed_probability, speed_range
        self.gain_db = gain_db
        self.impulse_responses = impulse_responses
        self._longest_response = max(1, int(impulse_response_seconds * SAMPLE_RATE_HZ))
        self.reverberation_probability = reverberation_probability
        self.backgrounds, self.background_probability = backgrounds, background_probability
        self.codec_probability, self.codecs = codec_probability, tuple(codecs)

    def disturb(self, rng: np.random.Generator, speech: np.ndarray) -> np.ndarray:
        """Disturb a cut.

        Args:
            rng: the only source of chance.
            speech: float32 [T].

        Returns:
            float32 [T], or of another length where the speed was changed.

        Raises:
            DataError: an impulse response is empty, silent or not finite.
        """
        return self.disturb_at_speed(rng, speech, self.draw_speed(rng))

    def draw_speed(self, rng: np.random.Generator) -> float:
        """How many times as fast an utterance is played; 1 where it is not changed."""
        if self.speed_probability and rng.random() < self.speed_probability:
            return round(float(rng.uniform(*self.speed_range)) * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        return 1.0

    def disturb_at_speed(
        self, rng: np.random.Generator, speech: np.ndarray, speed: float
    ) -> np.ndarray:
        """`disturb` at a speed that was drawn before."""
        if speed != 1.0:
            speech = resample(speech, round(speed * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
        speech = gain(speech, float(rng.uniform(*self.gain_db)))
        if len(self.impulse_responses) and rng.random() < self.reverberation_probability:
            response = self.impulse_responses[below(rng, len(self.impulse_responses))]
            speech = reverberate(speech, _from_direct_path(response, self._longest_response))
        if self.backgrounds and rng.random() < self.background_probability:
            count = len(self.backgrounds)
            background = self.backgrounds[below(rng, count) if count > 1 else 0]
            piece = background.piece(rng, len(speech))
            speech = add_noise(speech, piece, float(rng.uniform(*background.snr_db)))
        if self.codec_probability and rng.random() < self.codec_probability:
            speech = transmit(speech, self.codecs[below(rng, len(self.codecs))])
        return speech.astype(np.float32, copy=False)


def below(rng: np.random.Generator, count: int) -> int:
    """A random integer from 0 to count - 1; `Generator.integers` is ten times slower for one."""
    return int(rng.random() * count)


def rms(samples: np.ndarray) -> float:
    """Root mean square; 0 of no samples."""
    return float(np.sqrt(np.dot(samples, samples) / max(1, len(samples))))


def check_probabilities(**probabilities: float) -> None:
    """Refuse what is not in 0 to 1.

    Raises:
        UsageError: one is not; the message names it.
    """
    for name, value in probabilities.items():
        if not 0.0 <= value <= 1.0 + 1e-9:
            raise UsageError(
                f"{name.replace('_and_', ' + ')} is no probability. Expected: 0 to 1. "
                f"Received: {value}."
            )


def check_ranges(**ranges: tuple[float, float]) -> None:
    """Refuse ranges that are not finite or run backwards.

    Raises:
        UsageError: one is; the message names it.
    """
    for name, (low, high) in ranges.items():
        if not (np.isfinite([low, high]).all() and low <= high):
            raise UsageError(
                f"{name} is no range. Expected: finite, low <= high. Received: {low} to {high}."
            )


def _from_direct_path(response: np.ndarray, longest: int) -> np.ndarray:
    """An impulse response from just before its peak, cut to `longest` samples, faded at the end."""
    response = np.asarray(response, np.float32).reshape(-1)
    if not len(response) or not np.isfinite(response).all() or not response.any():
        raise DataError("An impulse response is empty, silent or not finite. Leave it out.")
    first = max(0, int(np.argmax(np.abs(response))) - 16)
    response = response[first : first + longest].copy()
    tail = len(response) // 5
    response[len(response) - tail :] *= np.linspace(1, 0, tail, dtype=np.float32)
    return response
