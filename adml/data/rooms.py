"""Simulated rooms: impulse responses by the image source method of pyroomacoustics."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
import json
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.corpora.output import folder_in_the_making
from adml.data.workers import begin_worker
from adml.errors import UsageError

SMALLEST_M, LARGEST_M = (3.0, 3.0, 2.4), (10.0, 8.0, 4.0)
"""Length, width and height of the rooms, between these."""

_FROM_WALL_M, _APART_M = 0.5, 0.3
_PEAK, _FADE = 0.9, 0.2
_TRIES = 1000
LIST, SETTINGS = "rooms.tsv", "settings.json"


@dataclass(frozen=True)
class Room:
    """A box of equal walls with a talker and a microphone in it.

    Args:
        path: file of its impulse response.
        length_m, width_m, height_m: of the box.
        reverberation_s: time in which sound is to fall by 60 dB, by Sabine's formula.
        distance_m: between talker and microphone.
    """

    path: str
    length_m: float
    width_m: float
    height_m: float
    reverberation_s: float
    distance_m: float


def make_rooms(
    out: str | Path,
    count: int,
    *,
    seed: int = 0,
    reverberation_s: tuple[float, float] = (0.15, 0.7),
    workers: int | None = None,
) -> list[Room]:
    """Write impulse responses of random rooms: all of them or none.

    The folder holds 16 kHz FLAC files, `rooms.tsv` (a row a room) and `settings.json`. Room n
    depends on the seed, the range and n alone; the same call writes the same bytes.

    Args:
        out: the folder, which must not be there.
        count: number of rooms.
        seed: of the draws.
        reverberation_s: range of the reverberation time, in seconds.
        workers: processes; all cores where None.

    Returns:
        The rooms, in order.

    Raises:
        UsageError: the folder is there or cannot be written, an argument is out of range, or
            pyroomacoustics is not installed.
    """
    low, high = reverberation_s
    if not (0.05 <= low <= high <= 2.0 and count >= 1):
        raise UsageError(
            "Such rooms cannot be made. Expected: at least 1, and a reverberation time of LOW to "
            f"HIGH seconds, 0.05 <= LOW <= HIGH <= 2. Received: {count}, {low:g} to {high:g}."
        )
    version = _installed()
    out = Path(out)
    make = functools.partial(make_room, seed=seed, reverberation_s=reverberation_s)
    try:
        with (
            folder_in_the_making(out) as part,
            ProcessPoolExecutor(workers, get_context("spawn"), begin_worker) as pool,
        ):
            made = pool.map(make, range(count), chunksize=4)
            rooms = [
                _write(part, room, response)
                for room, response in tqdm(made, "rooms", count, unit="room", disable=None)
            ]
            _describe(part, rooms, {"seed": seed, "reverberation_s": [low, high],
                                    "pyroomacoustics": version})  # fmt: skip
    except OSError as error:
        raise UsageError(
            f"Cannot write the rooms to {out}: {error.strerror or error}. Choose another place."
        ) from None
    return rooms


def make_room(
    number: int, *, seed: int, reverberation_s: tuple[float, float]
) -> tuple[Room, np.ndarray]:
    """Draw room `number` and compute its impulse response.

    Returns:
        The room, and float32 [R] at 16 kHz with a peak of 0.9, from the first arrival of the
        sound to the reverberation time after it.

    Raises:
        UsageError: no box of the range of sizes has such reverberation times.
    """
    import pyroomacoustics

    pyroomacoustics.constants.set("num_threads", 1)  # sums are then made in one order
    rng = np.random.default_rng([seed, number])
    for _ in range(_TRIES):
        sizes = rng.uniform(SMALLEST_M, LARGEST_M)
        seconds = float(rng.uniform(*reverberation_s))
        talker, microphone = rng.uniform(_FROM_WALL_M, sizes - _FROM_WALL_M, (2, 3))
        apart = float(np.linalg.norm(talker - microphone))
        if apart < _APART_M:
            continue
        try:
            absorption, order = pyroomacoustics.inverse_sabine(seconds, sizes)
        except ValueError:  # so large a room would need walls that swallow more than there is
            continue
        walls = pyroomacoustics.Material(absorption)
        room = pyroomacoustics.ShoeBox(sizes, fs=SAMPLE_RATE_HZ, materials=walls, max_order=order)
        room.add_source(talker)
        room.add_microphone(microphone)
        room.compute_rir()
        response = _trimmed(np.asarray(room.rir[0][0]), seconds, apart / room.c)
        told = (round(float(value), 4) for value in (*sizes, seconds, apart))
        return Room(f"{number:06d}.flac", *told), response
    raise UsageError(
        f"No room with a reverberation time of {reverberation_s[0]:g} to {reverberation_s[1]:g} s "
        "was found. Expected: times that rooms of 3 to 10 m can have. Allow longer ones."
    )


def _trimmed(response: np.ndarray, seconds: float, arrival_s: float) -> np.ndarray:
    """From just before the direct sound to the reverberation time after it, its end faded."""
    late = pyroomacoustics_delay() + int(arrival_s * SAMPLE_RATE_HZ)
    first = max(0, late - 16)
    response = response[first : late + math.ceil(seconds * SAMPLE_RATE_HZ)].astype(np.float32)
    fade = int(_FADE * len(response))
    response[len(response) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return response * np.float32(_PEAK / np.abs(response).max())


def pyroomacoustics_delay() -> int:
    """Samples by which pyroomacoustics' fractional delay filters put off every sound."""
    import pyroomacoustics

    return pyroomacoustics.constants.get("frac_delay_length") // 2


def _installed() -> str:
    try:
        return importlib.metadata.version("pyroomacoustics")
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(
            "Rooms are simulated by pyroomacoustics, which is not installed. Install the extra: "
            "pip install -c constraints.txt -e '.[rooms]'."
        ) from None


def _write(part: Path, room: Room, response: np.ndarray) -> Room:
    samples = np.rint(response * 32767).astype(np.int16)
    soundfile.write(part / room.path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return room


def _describe(part: Path, rooms: list[Room], settings: dict) -> None:
    lines = io.StringIO()
    table = csv.DictWriter(lines, list(asdict(rooms[0])), delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(room) for room in rooms)
    (part / LIST).write_text(lines.getvalue(), "utf-8")
    told = {"rooms": len(rooms), **settings}
    (part / SETTINGS).write_text(json.dumps(told, indent=1) + "\n", "utf-8")
