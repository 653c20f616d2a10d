"""Rooms and noise for test sets: what is done to a clip is drawn from the clip itself.

It depends on a seed, on the noise and on the clip's own path and times, never on its place in a
list. The room comes first, then the noise, as in the cuts of training.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adml.audio.augmentation import SILENT_POWER, add_noise, reverberate
from adml.audio.decoding import SAMPLE_RATE_HZ, decode
from adml.data.store import PcmStore
from adml.data.trial_list import Clip
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

_AUDIO = (".flac", ".mp3", ".ogg", ".opus", ".wav")
_TRIES = 20
"""Pieces of noise that are drawn before one that is not silent must have come."""


def clip_digest(clip: Clip) -> bytes:
    """32 bytes that are the clip's own: of its path and its times."""
    told = f"{clip.path}\0{clip.start_s!r}\0{clip.end_s!r}"
    return hashlib.sha256(told.encode()).digest()


class Drawn(NamedTuple):
    """What a clip was disturbed with; paths within the folders of noise and of responses."""

    noise: str
    noise_start_s: float
    snr_db: float
    impulse_response: str


@dataclass(frozen=True)
class Simulation:
    """Rooms and noise to draw from.

    Args:
        noise_root: folder of the noise.
        noise: its recordings, decoded.
        responses_root, responses: folder and files of impulse responses; each clip gets one.
        snr_db: range of the signal-to-noise ratio, decibels.
        seed: of the draws.
    """

    noise_root: Path
    noise: PcmStore
    responses_root: Path | None
    responses: tuple[str, ...]
    snr_db: tuple[float, float]
    seed: int

    def disturb(self, speech: np.ndarray, clip: Clip) -> tuple[np.ndarray, Drawn]:
        """Put a clip's samples, float32 [T], in its room and its noise.

        Raises:
            DataError: an impulse response cannot be read, or the noise is silent.
        """
        rng = np.random.default_rng([self.seed, *clip_digest(clip)])
        snr_db = float(rng.uniform(*self.snr_db))
        response = ""
        if self.responses:
            response = self.responses[int(rng.integers(len(self.responses)))]
            speech = reverberate(speech, _response(self.responses_root / response))
        for _ in range(_TRIES):
            code = int(rng.integers(len(self.noise)))
            start = int(rng.integers(max(1, int(self.noise.lengths[code]) - len(speech) + 1)))
            piece = self.noise.read_samples(code, start, start + len(speech))
            if len(piece) and float(np.mean(np.square(piece))) >= SILENT_POWER:
                name = _within(self.noise.paths[code], self.noise_root)
                drawn = Drawn(name, start / SAMPLE_RATE_HZ, snr_db, response)
                return add_noise(speech, piece, snr_db), drawn
        raise DataError(
            f"The noise in {self.noise_root} is silent in {_TRIES} places. Expected: recordings "
            "of noise. Take the silent ones out."
        )


def make_simulation(
    noise: str | Path,
    responses: str | Path | None,
    *,
    snr_db: tuple[float, float],
    seed: int,
    cache: str | Path,
) -> Simulation:
    """Find the recordings of noise and the impulse responses below two folders.

    Raises:
        UsageError: the range of the ratio is none.
        DataError: a folder holds no audio, or no noise can be decoded.
    """
    low, high = snr_db
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UsageError(
            "The range of the signal-to-noise ratio is wrong. Expected: LOW <= HIGH, in decibels. "
            f"Received: {low:g}, {high:g}."
        )
    noise = Path(noise)
    store = PcmStore.build([str(noise / path) for path in _audio_below(noise)], cache)
    rooms = Path(responses) if responses is not None else None
    found = _audio_below(rooms) if rooms is not None else []
    return Simulation(noise, store, rooms, tuple(found), (low, high), seed)


@lru_cache(maxsize=256)
def _response(path: Path) -> np.ndarray:
    return decode(path)


def _audio_below(folder: Path) -> list[str]:
    """Paths of the audio files below a folder, relative to it, in order.

    What has a name that cannot stand in a list is set aside and told.
    """
    found = [path for path in folder.rglob("*") if path.suffix.lower() in _AUDIO]
    found = sorted(_within(path, folder) for path in found if os.path.isfile(path))
    paths = [path for path in found if path.isprintable()]
    if len(paths) < len(found):
        odd = next(path for path in found if not path.isprintable())
        logger.warning(
            "%s: %d recordings set aside, whose names cannot be printed. First: %r",
            folder, len(found) - len(paths), odd,
        )  # fmt: skip
    if not paths:
        raise DataError(
            f"No audio in {folder}. Expected: {', '.join(_AUDIO)} files below it. Check the path."
        )
    return paths


def _within(path: str | Path, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix()
