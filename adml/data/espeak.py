"""Speech from eSpeak NG, which is loaded only here, only on demand, and in a process of its own.

This file is also the program of that process: it needs nothing but the standard library and talks
over its standard streams. A fresh process for each voice makes the sound a pure function of the
voice and the texts, since the synthesiser carries state from one text to the next.
"""

from __future__ import annotations

import ctypes
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LONGEST_DATA_PATH = 120
"""The synthesiser cuts longer paths off; they are reached through a link."""

_INSTALL = "Install the extra: pip install -c constraints.txt -e '.[synth]'."


@dataclass(frozen=True)
class Utterance:
    """A text to be spoken: `rate` words a minute, `pitch` and `pitch_range` 0 to 100."""

    text: str
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50


@dataclass(frozen=True)
class Synthesiser:
    """Where the installed synthesiser lies: `library` and `data` paths, and its `version`."""

    library: str
    data: str
    version: str

    @property
    def variants(self) -> frozenset[str]:
        """Names of the voice variants it has."""
        return frozenset(path.name for path in Path(self.data, "voices", "!v").iterdir())

    @property
    def accents(self) -> frozenset[str]:
        """Names of the languages it has, in lower case: "en-us", "en-gb-scotland", ..."""
        return frozenset(path.name.lower() for path in Path(self.data, "lang").rglob("*"))


def find_synthesiser() -> Synthesiser:
    """Find the synthesiser of the extra `synth`.

    Raises:
        UsageError: it is not installed; says how to install it.
    """
    from adml.errors import UsageError

    try:
        loader = import_module("espeakng_loader")
        library, data = loader.get_library_path(), loader.get_data_path()
        version = import_module("importlib.metadata").version("espeakng-loader")
    except ImportError:
        raise UsageError(f"Synthetic speech needs espeakng-loader. {_INSTALL}") from None
    for path in (library, data):
        if not Path(path).exists():
            raise UsageError(
                f"The synthesiser is incomplete: {path} is not there. {_INSTALL}"
            )
    return Synthesiser(str(library), str(data), version)


def speak(
    synthesiser: Synthesiser, voice: str, utterances: Sequence[Utterance]
) -> tuple[int, list[bytes]]:
    """Speak some texts, one after another, with one voice.

    Args:
        synthesiser: from `find_synthesiser`.
        voice: accent and variant, "en-us+f1".
        utterances: what to say and how.

    Returns:
        The sample rate in Hz, and for each text its samples as little-endian int16.

    Raises:
        DataError: the synthesiser failed; holds what it said.
    """
    from adml.errors import DataError

    with tempfile.TemporaryDirectory() as folder:
        data = synthesiser.data
        if len(data) > _LONGEST_DATA_PATH:
            data = str(Path(folder, "espeak-ng-data"))
            Path(data).symlink_to(synthesiser.data, target_is_directory=True)
        job = {
            "library": synthesiser.library, "data": data, "voice": voice,
            "texts": [[u.text, u.rate, u.pitch, u.pitch_range] for u in utterances],
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-I", __file__], input=json.dumps(job).encode(),
            capture_output=True, check=False,
        )  # fmt: skip
    sounds = _unpack(done.stdout)
    if done.returncode or len(sounds) != len(utterances) + 1:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise DataError(
            f"The synthesiser failed on voice {voice!r} (status {done.returncode}). "
            f"It said: {said[-1]}. Expected: {len(utterances)} texts spoken. "
            f"Received: {max(0, len(sounds) - 1)}."
        )
    return struct.unpack("<i", sounds[0])[0], sounds[1:]


def _unpack(stream: bytes) -> list[bytes]:
    """The whole blocks of a stream of length-prefixed blocks."""
    blocks, at = [], 0
    while at + 4 <= len(stream):
        (length,) = struct.unpack_from("<i", stream, at)
        if at + 4 + length > len(stream):
            break
        blocks.append(stream[at + 4 : at + 4 + length])
        at += 4 + length
    return blocks


def _serve(job: dict, send) -> None:
    """Load the synthesiser, speak the job's texts and send each one's samples."""
    library = ctypes.CDLL(job["library"])
    pieces: list[bytes] = []

    def receive(samples, count, _events):
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    callback = signature(receive)
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, job["data"].encode(), _DO_NOT_EXIT)
    if rate_hz <= 0:
        raise OSError(f"espeak_Initialize gave {rate_hz} for the data in {job['data']}")
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(job["voice"].encode()):
        raise OSError(f"there is no voice {job['voice']}")
    library.espeak_SetParameter(_VOLUME, 70, 0)
    send(struct.pack("<i", rate_hz))
    for text, rate, pitch, pitch_range in job["texts"]:
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        # Breath and jitter of some voices come from a generator that starts at the time of day.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        pieces.clear()
        spoken = text.encode()
        if library.espeak_Synth(
            spoken, ctypes.c_size_t(len(spoken) + 1), 0, 1, 0, _UTF8, None, None
        ):
            raise OSError(f"espeak_Synth failed on {text!r}")
        send(b"".join(pieces))


def _main() -> None:
    """Read one job from standard input; write length-prefixed blocks to standard output."""

    def send(block: bytes) -> None:
        sys.stdout.buffer.write(struct.pack("<i", len(block)) + block)

    _serve(json.load(sys.stdin), send)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
