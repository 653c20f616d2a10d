"""Rooms and backgrounds for test sets: what is done to a clip is drawn from the clip itself.

It depends on a seed, on the recordings and on the clip's own path and times, never on its place
in a list. The room comes first, then the background, as in the cuts of training.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adml.audio.augmentation import add_noise, reverberate
from adml.audio.decoding import SAMPLE_RATE_HZ, decode
from adml.data.disturbance import BABBLE_VOICES, TRIES, Background
from adml.data.shards.form import is_sharded
from adml.data.store import PcmStore
from adml.data.trial_list import Clip
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

_AUDIO = (".flac", ".mp3", ".ogg", ".opus", ".wav")

BABBLE = "babble"


def clip_digest(clip: Clip) -> bytes:
    """32 bytes that are the clip's own: of its path and its times."""
    told = f"{clip.path}\0{clip.start_s!r}\0{clip.end_s!r}"
    return hashlib.sha256(told.encode()).digest()


class Drawn(NamedTuple):
    """What a clip was disturbed with; paths within the folders of backgrounds and of responses.

    Babble has several recordings and starts, the others one.
    """

    kind: str
    recordings: tuple[str, ...]
    starts_s: tuple[float, ...]
    snr_db: float
    impulse_response: str


@dataclass(frozen=True)
class Kind:
    """One kind of background: its name ("noise", "music" or "babble"), folder and recordings."""

    name: str
    root: Path
    background: Background

    def draw(self, rng: np.random.Generator, length: int) -> list[tuple[int, int]]:
        """As `Background.draw`, again until nothing that was drawn is silent.

        Raises:
            DataError: it is silent wherever it is looked for.
        """
        stretches = self.background.draw(rng, length)
        if self.background.is_heard(stretches, length):
            return stretches
        raise DataError(
            f"The {self.name} in {self.root} is silent in {TRIES} places. Expected: recordings "
            f"of {self.name}. Take the silent ones out."
        )


@dataclass(frozen=True)
class Simulation:
    """Rooms and backgrounds to draw from.

    Args:
        kinds: of background; each clip gets one, each kind as often as the others.
        responses_root, responses: folder and files of impulse responses; each clip gets one.
        seed: of the draws.
    """

    kinds: tuple[Kind, ...]
    responses_root: Path | None
    responses: tuple[str, ...]
    seed: int

    def disturb(self, speech: np.ndarray, clip: Clip) -> tuple[np.ndarray, Drawn]:
        """Put a clip's samples, float32 [T], in its room and its background.

        Raises:
            DataError: no impulse response that was drawn can be read, or a background is silent.
        """
        rng = np.random.default_rng([self.seed, *clip_digest(clip)])
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        snr_db = float(rng.uniform(*kind.background.snr_db))
        response = ""
        if self.responses:
            response, room = self._draw_response(rng)
            speech = reverberate(speech, room)
        stretches, store = kind.draw(rng, len(speech)), kind.background.store
        recordings = tuple(_within(store.paths[code], kind.root) for code, _ in stretches)
        starts_s = tuple(start / SAMPLE_RATE_HZ for _, start in stretches)
        drawn = Drawn(kind.name, recordings, starts_s, snr_db, response)
        return add_noise(speech, kind.background.sound(stretches, len(speech)), snr_db), drawn

    def _draw_response(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """An impulse response and its file, drawn again where a file cannot be read."""
        for _ in range(TRIES):
            response = self.responses[int(rng.integers(len(self.responses)))]
            room = _response(self.responses_root / response)
            if room is not None:
                return response, room
        raise DataError(
            f"Of the impulse responses in {self.responses_root}, {TRIES} that were drawn cannot "
            "be read. Expected: audio files. Take the damaged ones out."
        )

    def told(self) -> dict:
        """Everything that a set made by it depends on, in plain values."""
        backgrounds = {
            kind.name: {
                "recordings": len(kind.background.store),
                "content": kind.background.store.content_hash,
                "snr_db": list(kind.background.snr_db),
                "voices": list(kind.background.voices),
            }
            for kind in self.kinds
        }
        content = hashlib.sha256()
        for response in self.responses:
            content.update(hashlib.sha256((self.responses_root / response).read_bytes()).digest())
        rooms = {"recordings": len(self.responses), "content": content.hexdigest()}
        return {"seed": self.seed, "impulse_responses": rooms, **backgrounds}


def make_simulation(
    kinds: Sequence[tuple[str, str | Path, tuple[float, float]]],
    responses: str | Path | None,
    *,
    seed: int,
    cache: str | Path,
) -> Simulation:
    """Find the recordings of backgrounds and the impulse responses below their folders.

    Args:
        kinds: "noise", "music" or "babble", its folder, and the range of its signal-to-noise
            ratio, decibels. Babble is 3 to 7 recordings of speech at once.
        responses: folder of impulse responses, or None.
        seed: of the draws.
        cache: folder for decoded recordings.

    Raises:
        UsageError: no kind, or the range of a ratio is none.
        DataError: a folder holds no audio, or none of a kind can be decoded.
    """
    if not kinds:
        raise UsageError("No background is named. Expected: a folder of noise, music or speech.")
    for name, _, (low, high) in kinds:
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise UsageError(
                f"The range of the signal-to-noise ratio of {name} is wrong. Expected: LOW <= "
                f"HIGH, in decibels. Received: {low:g}, {high:g}."
            )
    found = []
    for name, folder, snr_db in kinds:
        root = Path(folder)
        store = PcmStore.build([str(root / path) for path in _audio_below(root)], cache)
        voices = BABBLE_VOICES if name == BABBLE else (1, 1)
        found.append(Kind(name, root, Background(store, snr_db, voices)))
    rooms = Path(responses) if responses is not None else None
    files = _audio_below(rooms) if rooms is not None else []
    return Simulation(tuple(found), rooms, tuple(files), seed)


@lru_cache(maxsize=256)
def _response(path: Path) -> np.ndarray | None:
    try:
        return decode(path)
    except DataError as error:
        logger.warning("An impulse response is left out. %s", error)
        return None


def _audio_below(folder: Path) -> list[str]:
    """Paths of the audio files below a folder, relative to it, in order.

    What has a name that cannot stand in a list is set aside and told.
    """
    if is_sharded(folder):
        raise DataError(
            f"{folder} is sharded. Expected: a folder of audio files, as backgrounds and rooms are "
            "looked for in files. Give the plain set."
        )
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
