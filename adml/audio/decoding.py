"""Audio files to 16 kHz mono samples, or one clear error.

WAV, FLAC, Ogg Vorbis, Ogg Opus and MP3. The container is checked first (`containers`), then decoded
by soundfile, or by tensorflow-io on request; then the samples are checked: as many as promised,
finite, within -1..1, not silent. soundfile is the default because it decodes 2 to 12 times as fast,
needs no TensorFlow in a worker process, and gives the same samples.
"""

from __future__ import annotations

import functools
import io
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from adml.audio import containers, tfio
from adml.audio.faults import audio_error
from adml.errors import UsageError

LOGGER = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 16000
DECODERS = ("soundfile", "tensorflow_io")
# Chosen: a clip that nowhere exceeds -80 dBFS, three steps of 16-bit samples, is silence.
SILENT_PEAK = 1e-4
# Chosen: lossy codecs overshoot 1 a little; beyond this a float file holds other units.
LARGEST_PEAK = 8.0
BLOCK_FRAMES = 1 << 16
MAX_BYTES = 1 << 32

AudioSource = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds: sampling rate, channels, frames, and its kind, e.g. "ogg opus"."""

    sample_rate_hz: int
    channels: int
    frames: int
    format: str


def decode(
    source: AudioSource,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    allow_silence: bool = False,
    decoder: str = "soundfile",
) -> np.ndarray:
    """Decode to mono at one rate; every conversion is logged once for each rate and channel count.

    Channels are averaged, then the rate is changed by soxr. A clip above 1 is scaled as a whole.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        sample_rate_hz: rate of the result.
        allow_silence: return a silent clip where an error would be raised.
        decoder: "soundfile", or "tensorflow_io" where its native operations load and know the
            format (elsewhere soundfile decodes).

    Returns:
        float32 [T] in -1..1.

    Raises:
        AudioError: missing, empty, not audio, damaged, cut short, not finite or silent.
        UsageError: unknown decoder or a rate that is not positive.
    """
    if decoder not in DECODERS:
        raise UsageError(
            f"The decoder is unknown. Expected: one of {', '.join(DECODERS)}. "
            f"Received: {decoder!r}."
        )
    data, name = _read(source)
    container = containers.inspect(data, name)
    with _open(container, name) as sound:
        rate, channels, declared = sound.samplerate, sound.channels, sound.frames
        _check_form(sound, container, name)
        samples = _decode_natively(container, name) if decoder == "tensorflow_io" else None
        if samples is None:
            samples = _decode_blocks(sound, container, name)
    _check_count(len(samples), declared, rate, container, name)
    samples = _check_values(samples, allow_silence, name)
    if (rate, channels) != (sample_rate_hz, 1):
        _say_conversion(rate, channels, sample_rate_hz)
    samples = resample(samples, rate, sample_rate_hz)
    peak = float(np.max(np.abs(samples), initial=0.0))
    return samples / np.float32(peak) if peak > 1.0 else samples


def probe(source: AudioSource) -> AudioInfo:
    """Read what a file says about itself, with the checks of its container but without decoding.

    Args:
        source: as in `decode`.

    Returns:
        An `AudioInfo`.

    Raises:
        AudioError: missing, empty, not audio, damaged or cut short.
    """
    data, name = _read(source)
    container = containers.inspect(data, name)
    with _open(container, name) as sound:
        _check_form(sound, container, name)
        return AudioInfo(sound.samplerate, sound.channels, sound.frames, container.format)


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Change the sampling rate by soxr (high quality, no delay).

    Args:
        samples: [T] samples.
        from_hz: their rate.
        to_hz: the rate of the result.

    Returns:
        float32 [about T * to_hz / from_hz].

    Raises:
        UsageError: a rate that is not positive.
    """
    if from_hz <= 0 or to_hz <= 0:
        raise UsageError(
            "Audio cannot be resampled. Expected: two rates above 0 Hz. "
            f"Received: {from_hz} Hz to {to_hz} Hz."
        )
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if from_hz == to_hz:
        return samples
    return soxr.resample(samples, from_hz, to_hz)


def _read(source: AudioSource) -> tuple[bytes, str]:
    """All bytes of a source, and the name that messages give it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), "The audio in memory"
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "The open file"))
        data = source.read(MAX_BYTES)
        if not isinstance(data, bytes):
            raise audio_error(
                name, "is not open for bytes", "mode 'rb'", "text", "Open it in binary mode."
            )
    else:
        data, name = _read_file(Path(os.fspath(source)))
    if not data:
        raise audio_error(name, "is empty", "an audio file", "0 bytes", "Copy or record it again.")
    return data, name


def _read_file(path: Path) -> tuple[bytes, str]:
    """All bytes of a regular file."""
    name = str(path)
    if not path.is_file():
        received = "a directory" if path.is_dir() else "nothing at this path"
        if path.exists() and not path.is_dir():
            received = "something that is not a regular file"
        raise audio_error(name, "cannot be read", "an audio file", received, "Check the path.")
    try:
        if path.stat().st_size >= MAX_BYTES:
            raise audio_error(
                name,
                "is too large",
                f"less than {MAX_BYTES} bytes",
                f"{path.stat().st_size} bytes",
                "Cut it into shorter files.",
            )
        return path.read_bytes(), name
    except OSError as error:
        raise audio_error(
            name, "cannot be read", "a readable file", str(error), "Check its permissions."
        ) from error


def _open(container: containers.Container, name: str) -> soundfile.SoundFile:
    """Open checked bytes with libsndfile."""
    try:
        return soundfile.SoundFile(io.BytesIO(container.data))
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _refused(container, name, error) from error


def _refused(container: containers.Container, name: str, error: Exception):
    """The error for a file whose container is whole and whose content is not."""
    return audio_error(
        name,
        "cannot be decoded",
        f"a valid {container.format} file",
        str(error),
        "It is damaged or of an unusual codec: export it again.",
    )


def _check_form(sound: soundfile.SoundFile, container: containers.Container, name: str) -> None:
    """Rate, channels and promised frames within bounds, before anything is decoded."""
    containers.check_rate_and_channels(sound.samplerate, sound.channels, name)
    if container.seconds is not None:
        containers.check_frames(container.seconds * sound.samplerate, sound.samplerate, name)


def _decode_blocks(
    sound: soundfile.SoundFile, container: containers.Container, name: str
) -> np.ndarray:
    """Decode block by block to mono, so that a false length reserves no memory."""
    blocks, total = [], 0
    try:
        while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            total += len(block)
            containers.check_frames(total, sound.samplerate, name)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _refused(container, name, error) from error
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _decode_natively(container: containers.Container, name: str) -> np.ndarray | None:
    """Decode with tensorflow-io to mono; None where it cannot."""
    try:
        samples = tfio.decode(container.data, container.format, container.bits, container.is_float)
    except ValueError as error:
        raise _refused(container, name, error) from error
    return None if samples is None else samples.mean(axis=1, dtype=np.float32)


def _check_count(
    count: int, declared: int, rate: int, container: containers.Container, name: str
) -> None:
    """Fewer frames than promised: the file is cut short or damaged inside."""
    promised = 0
    if container.format == "mp3":
        # Its duration includes the encoder's delay and padding, which some decoders take off.
        promised = int((container.seconds or 0) * rate) - 4 * 1152
    elif container.seconds is not None:
        promised = int(container.seconds * rate + 1e-6)
    elif declared < containers.MAX_SECONDS * rate:
        promised = declared
    containers.check_frames(count, rate, name)
    if count < promised:
        raise audio_error(
            name,
            "is cut short or damaged",
            f"{promised} frames, as it says",
            f"{count} frames",
            "Copy or record it again.",
        )


def _check_values(samples: np.ndarray, allow_silence: bool, name: str) -> np.ndarray:
    """Finite samples of a believable level."""
    peak = float(np.max(np.abs(samples)))
    if not np.isfinite(peak):
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise audio_error(
            name,
            "holds samples that are not finite",
            "numbers",
            f"{bad} of {len(samples)} samples NaN or infinite",
            "Export it again.",
        )
    if peak > LARGEST_PEAK:
        raise audio_error(
            name,
            "holds samples out of range",
            "-1 to 1",
            f"a peak of {peak:g}",
            "Divide by full scale (32768 for 16-bit numbers) before writing floats.",
        )
    if peak < SILENT_PEAK and not allow_silence:
        raise audio_error(
            name,
            "is silent",
            f"a peak of at least {SILENT_PEAK:g}",
            f"{peak:.2g} in {len(samples)} samples",
            "Check the microphone or the file, or allow silence.",
        )
    return samples


@functools.cache
def _say_conversion(from_hz: int, channels: int, to_hz: int) -> None:
    """Log a conversion, once for each form."""
    LOGGER.warning(
        "Audio of %d Hz with %d channel(s) is converted to %d Hz mono (said once).",
        from_hz,
        channels,
        to_hz,
    )
