"""Makes damaged audio files by number, and decodes them as a process that may die.

    python tests/hostile/mutations.py FIRST LAST [FOLDER]

The files are kept where a folder is named. A line of JSON for each number: that it is begun, then
how it ended. A file that keeps the process busy too long, or brings it down, has no second line.
"""

from __future__ import annotations

import faulthandler
import io
import json
import re
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from adml.audio import ogg
from adml.audio.decoding import decode, probe
from adml.errors import AudioError

RATE_HZ = 16000
KILLED_AFTER_S = 30
"""On the clock, which other processes share; the test looks at the seconds of the processor."""
MORE_MEMORY = 1 << 29
"""Bytes of address space beyond what the process begins with."""
STATUS = Path("/proc/self/status")
"""Where Linux tells the peak of memory of this process alone."""

KINDS = {
    "wav": ("WAV", "PCM_16", 1),
    "wav 24": ("WAVEX", "PCM_24", 2),
    "wav float": ("WAV", "FLOAT", 1),
    "wav mu-law": ("WAV", "ULAW", 1),
    "wav ima adpcm": ("WAV", "IMA_ADPCM", 1),
    "wav ms adpcm": ("WAV", "MS_ADPCM", 2),
    "wav gsm": ("WAV", "GSM610", 1),
    "flac": ("FLAC", "PCM_16", 1),
    "flac stereo": ("FLAC", "PCM_24", 2),
    "ogg vorbis": ("OGG", "VORBIS", 1),
    "ogg opus": ("OGG", "OPUS", 2),
    "mp3": ("MP3", "MPEG_LAYER_III", 1),
}
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def clip(kind: str, seconds: float = 0.4) -> bytes:
    """A whole file of a kind."""
    form, subtype, channels = KINDS[kind]
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal((len(time_s), channels))
    samples = 0.3 * np.sin(2800 * time_s * (1 + time_s))[:, np.newaxis] + 0.02 * noise
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype("f"), RATE_HZ, format=form, subtype=subtype)
    return buffer.getvalue()


def truncate(data: bytearray, rng) -> None:
    del data[int(rng.integers(len(data))) :]


def flip_bits(data: bytearray, rng) -> None:
    for _ in range(rng.integers(1, 30)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def lie(data: bytearray, rng) -> None:
    """Fields of the headers, which are at the beginning and in every page, say something else."""
    pages = [place for place in range(len(data)) if data.startswith(b"OggS", place)]
    for _ in range(rng.integers(1, 4)):
        start = int(rng.choice(pages)) if pages and rng.random() < 0.7 else 0
        width = int(rng.choice([1, 2, 4]))
        place = start + int(rng.integers(4, 60))
        value = int(rng.choice(EXTREMES)) & (1 << 8 * width) - 1
        data[place : place + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))


def cut_out(data: bytearray, rng) -> None:
    first, last = sorted(rng.integers(len(data), size=2))
    del data[first:last]


def repeat(data: bytearray, rng) -> None:
    first, last = sorted(rng.integers(len(data), size=2))
    data[last:last] = bytes(data[first:last]) * int(rng.integers(1, 20))


def insert(data: bytearray, rng) -> None:
    place = rng.integers(len(data))
    data[place:place] = rng.bytes(int(rng.integers(1, 3000)))


def blank(data: bytearray, rng) -> None:
    first, last = sorted(rng.integers(len(data), size=2))
    data[first:last] = bytes([int(rng.choice([0, 255]))]) * (last - first)


def splice(data: bytearray, rng) -> None:
    """The beginning of one kind, the rest of another."""
    other = clip(str(rng.choice(list(KINDS))), 0.1)
    place = int(rng.integers(min(len(data), len(other))))
    data[place:] = other[place:]


def shuffle(data: bytearray, rng) -> None:
    for _ in range(rng.integers(1, 200)):
        data[rng.integers(len(data))] = rng.integers(256)


MUTATIONS = (truncate, flip_bits, lie, lie, cut_out, repeat, insert, blank, splice, shuffle)


def remainder(data: bytes, polynomial: int, width: int) -> int:
    """Cyclic redundancy check, bit by bit."""
    value, top = 0, 1 << (width - 1)
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & (2 * top - 1)
    return value


def mend_ogg(data: bytearray) -> None:
    """Let every page have its right checksum, as one who means harm would."""
    place = data.find(b"OggS")
    while place >= 0 and place + 27 <= len(data):
        sizes = data[place + 27 : place + 27 + data[place + 26]]
        end = min(len(data), place + 27 + data[place + 26] + sum(sizes))
        data[place + 22 : place + 26] = bytes(4)
        struct.pack_into("<I", data, place + 22, ogg._checksum(bytes(data[place:end])))
        place = data.find(b"OggS", max(end, place + 1))


def mend_flac(data: bytearray, whole: bytes) -> None:
    """The same for the frames of a FLAC, at the places that they have in the whole file."""
    starts = [
        place
        for place in range(42, len(whole) - 8)
        if whole[place : place + 2] in (b"\xff\xf8", b"\xff\xf9")
        and any(remainder(whole[place : place + n], 7, 8) == 0 for n in (6, 7, 8, 9))
    ]
    for start, end in zip(starts, [*starts[1:], len(whole)], strict=True):
        head = next(n for n in (6, 7, 8, 9) if not remainder(whole[start : start + n], 7, 8))
        data[start + head - 1] = remainder(data[start : start + head - 1], 7, 8)
        struct.pack_into(">H", data, end - 2, remainder(data[start : end - 2], 0x8005, 16))


def mutant(number: int, clips: dict[str, bytes]) -> tuple[str, bytes]:
    """What was done to which kind, and the file; the same for the same number."""
    rng = np.random.default_rng(number)
    kind = list(clips)[number % len(clips)]
    data, done = bytearray(clips[kind]), []
    for _ in range(rng.integers(1, 3)):
        mutation = MUTATIONS[rng.integers(len(MUTATIONS))]
        if len(data) > 64:
            mutation(data, rng)
            done.append(mutation.__name__)
    if rng.random() < 0.7:
        if kind.startswith("ogg"):
            mend_ogg(data)
        elif kind.startswith("flac") and len(data) == len(clips[kind]):
            mend_flac(data, clips[kind])
    if rng.random() < 0.05:
        data[:0] = b"ID3\x04\0\0" + rng.bytes(4)
    return f"{kind}: {', '.join(done)}", bytes(data)


def outcome(path: Path) -> str:
    """How the decoding of a file ended, in a word and, where it is a fault, in more."""
    try:
        probe(path)
        samples = decode(path, allow_silence=True)
    except AudioError as error:
        return "refused" if str(path) in str(error) else f"fault: no name in {error}"
    except Exception as error:
        return f"fault: {error!r}"
    if samples.dtype != np.float32 or samples.ndim != 1 or not len(samples):
        return f"fault: {samples.dtype} {samples.shape}"
    if not np.isfinite(samples).all() or np.abs(samples).max() > 1:
        return "fault: samples not within -1 to 1"
    if len(samples) > path.stat().st_size * 8192 * 4:
        return f"fault: {len(samples)} samples"
    return "decoded"


def main(first: int, last: int, folder: Path) -> None:
    """Decode the mutants from one number to another, the last one not."""
    clips = {kind: clip(kind) for kind in KINDS}
    used = 1024 * int(re.search(r"VmSize:\s+(\d+)", STATUS.read_text())[1])
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY,) * 2)
    faulthandler.enable()
    folder.mkdir(exist_ok=True)
    for number in range(first, last):
        done, data = mutant(number, clips)
        path = folder / f"{number}.wav"  # told by their content; only folders are told by names
        path.write_bytes(data)
        sys.stdout.write(json.dumps({"number": number, "done": done}) + "\n")
        sys.stdout.flush()
        faulthandler.dump_traceback_later(KILLED_AFTER_S, exit=True)
        begun_s = time.process_time()
        told = {"number": number, "ended": outcome(path)}
        told["seconds"] = time.process_time() - begun_s
        faulthandler.cancel_dump_traceback_later()
        told["peak_kib"] = int(re.search(r"VmHWM:\s+(\d+)", STATUS.read_text())[1])
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(int(sys.argv[1]), int(sys.argv[2]), Path([*sys.argv, temporary][3]))
