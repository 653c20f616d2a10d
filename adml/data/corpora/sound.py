"""The audio of a recording: measured where it lies, or decoded and written as FLAC."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from adml.audio.decoding import SAMPLE_RATE_HZ, decode, probe
from adml.audio.faults import audio_error
from adml.data.corpora.sphere import NamedBytes, is_sphere, sphere_as_wav
from adml.errors import AudioError


def measure(path: Path, *, first_channel: bool = False) -> float:
    """Length of a recording in seconds, as its checked container tells it.

    Args:
        path: of the audio.
        first_channel: refuse several channels, whose mean would be taken.

    Raises:
        AudioError: missing, damaged or not audio.
    """
    info = probe(path)
    if first_channel and info.channels > 1:
        raise audio_error(
            str(path), "has several channels", "one", str(info.channels),
            "Prepare it with --audio flac, which takes the first.",
        )  # fmt: skip
    return info.frames / info.sample_rate_hz


def write_flac(source: Path, target: Path, *, first_channel: bool = False) -> float:
    """Decode a recording and write it as 16-bit FLAC, 16 kHz, one channel.

    Args:
        source: audio that `decode` reads, or NIST SPHERE.
        target: the file, replaced where it is there.
        first_channel: take the first of several channels instead of their mean.

    Returns:
        Its length in seconds.

    Raises:
        AudioError: the source is missing, damaged, silent or not audio.
        OSError: the target cannot be written.
    """
    found = sphere_as_wav(source) if is_sphere(source) else source
    samples = decode(_first_channel(found) if first_channel else found)
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    encoded = io.BytesIO()
    soundfile.write(encoded, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    # libsndfile does not always tell that a disk is full
    target.write_bytes(encoded.getvalue())
    return len(pcm) / SAMPLE_RATE_HZ


def _first_channel(source: Path | NamedBytes) -> Path | NamedBytes:
    if probe(source).channels == 1:
        return _rewound(source)
    samples, rate = soundfile.read(_rewound(source), dtype="float32", always_2d=True)
    wav = io.BytesIO()
    soundfile.write(wav, samples[:, 0], rate, format="WAV", subtype="FLOAT")
    return NamedBytes(wav.getvalue(), str(getattr(source, "name", source)))


def _rewound(source: Path | NamedBytes) -> Path | NamedBytes:
    if isinstance(source, NamedBytes):
        source.seek(0)
    return source


def reason_of(error: AudioError, path: Path) -> str:
    """What is wrong with an audio file, in a few words, from an error that names it."""
    return str(error).split(". Expected: ")[0].removeprefix(str(path)).strip()[:100]
