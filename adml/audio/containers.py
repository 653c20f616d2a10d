"""What an audio file declares about itself, checked before any decoder sees it.

Decoders return half a file as a shorter clip without a word, and malformed metadata has sent them
into endless loops. So the container is read here: its kind, whether all of it is there, and how
many frames it promises. What is handed on is the sound alone, without tags and comments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adml.audio import mp3, ogg
from adml.audio.faults import audio_error

RATES_HZ = (4000, 384000)
MAX_CHANNELS = 64
# Chosen: longer recordings are cut by their owner.
MAX_SECONDS = 4 * 3600
# Chosen: as long at 48 kHz. It bounds memory whatever the rate is: 2.8 GB, twice that for a moment.
MAX_FRAMES = MAX_SECONDS * 48000
# No supported codec yields more frames from a byte: an Opus packet of 2 bytes lasts 120 ms, a
# Vorbis packet of 2 bytes 4,096 frames, a FLAC frame of 10 bytes 65,535 frames.
MAX_FRAMES_PER_BYTE = 8192

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
STREAMED = 0xFFFFFFFF


@dataclass(frozen=True)
class Container:
    """A checked file.

    Attributes:
        format: "wav", "flac", "ogg vorbis", "ogg opus" or "mp3".
        data: bytes for the decoder.
        seconds: promised duration, None where the file does not say.
        bits: bits of an uncompressed WAV or a FLAC sample, 0 elsewhere.
        is_float: samples are stored as floating-point numbers.
    """

    format: str
    data: bytes
    seconds: float | None
    bits: int = 0
    is_float: bool = False


def inspect(data: bytes, name: str) -> Container:
    """Recognise the container by its first bytes and check that it is whole.

    Args:
        data: the file.
        name: what messages call it.

    Returns:
        A `Container`.

    Raises:
        AudioError: not a known container, damaged, cut short or out of bounds.
    """
    body = data[mp3.tag_size(data) :]
    if body[:4] == b"RIFF" and body[8:12] == b"WAVE":
        container = _inspect_wav(body, name)
    elif body[:4] == b"fLaC":
        container = _inspect_flac(body, name)
    elif body[:4] == b"OggS":
        codec, seconds = ogg.inspect(body, name)
        container = Container(f"ogg {codec}", body, seconds)
    elif mp3.is_stream(body):
        sound, seconds = mp3.inspect(body, name)
        container = Container("mp3", sound, seconds)
    else:
        raise audio_error(
            name,
            "is not audio of a known kind",
            "WAV, FLAC, Ogg Vorbis, Ogg Opus or MP3",
            f"{len(data)} bytes that begin with {data[:8]!r}",
            "Convert it to WAV or FLAC first.",
        )
    if container.seconds is not None:
        check_duration(container.seconds, name)
    return container


def check_duration(seconds: float, name: str) -> None:
    """Refuse a duration that is nothing or beyond the limit.

    Args:
        seconds: promised or decoded duration.
        name: what messages call the file.

    Raises:
        AudioError: out of bounds.
    """
    if seconds <= 0:
        raise audio_error(
            name, "holds no sound", "at least one sample", "0 samples", "Record it again."
        )
    if seconds > MAX_SECONDS:
        raise audio_error(
            name,
            "is too long",
            f"at most {MAX_SECONDS} s",
            f"{seconds:.0f} s",
            "Cut it into shorter files.",
        )


def check_frames(frames: float, sample_rate_hz: int, name: str) -> None:
    """Refuse a number of frames that is nothing, too long, or more than memory is meant for.

    Args:
        frames: promised or decoded.
        sample_rate_hz: their rate.
        name: what messages call the file.

    Raises:
        AudioError: out of bounds.
    """
    check_duration(frames / sample_rate_hz, name)
    if frames > MAX_FRAMES:
        raise audio_error(
            name,
            "is too long for its sampling rate",
            f"at most {MAX_FRAMES} frames",
            f"{frames:.0f} frames",
            "Cut it into shorter files, or lower its rate.",
        )


def check_rate_and_channels(sample_rate_hz: int, channels: int, name: str) -> None:
    """Refuse a header with an impossible sampling rate or number of channels.

    Args:
        sample_rate_hz: declared sampling rate.
        channels: declared channels.
        name: what messages call the file.

    Raises:
        AudioError: out of bounds.
    """
    if not RATES_HZ[0] <= sample_rate_hz <= RATES_HZ[1] or not 1 <= channels <= MAX_CHANNELS:
        raise audio_error(
            name,
            "declares an impossible form",
            f"{RATES_HZ[0]} to {RATES_HZ[1]} Hz and 1 to {MAX_CHANNELS} channels",
            f"{sample_rate_hz} Hz and {channels} channels",
            "Export it again.",
        )


def _wav_chunks(data: bytes, name: str) -> tuple[bytes, bytes, memoryview, int]:
    """The chunks `fmt `, `fact` and `data` of a WAV, and the size that `data` declares."""
    form, fact, position = b"", b"", 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        start = position + 8
        if kind == b"data":
            return form, fact, memoryview(data)[start : start + size], size
        if kind == b"fmt ":
            form = data[start : start + size]
        elif kind == b"fact":
            fact = data[start : start + size]
        position = start + size + size % 2
    raise audio_error(
        name,
        "is a WAV without samples",
        "a data chunk",
        f"a file that ends after {len(data)} bytes",
        "It is cut short or damaged: copy it again.",
    )


def _inspect_wav(data: bytes, name: str) -> Container:
    """Check a WAV; its decoder gets format and samples only, never its lists of comments."""
    form, fact, samples, declared = _wav_chunks(data, name)
    if len(form) < 16:
        raise audio_error(
            name,
            "is a WAV without a format",
            "a format chunk of at least 16 bytes before the samples",
            f"{len(form)} bytes",
            "Export it again.",
        )
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and len(form) >= 26:
        tag = struct.unpack_from("<H", form, 24)[0]
    check_rate_and_channels(rate, channels, name)
    if declared not in (len(samples), STREAMED):
        raise audio_error(
            name,
            "is a WAV that is cut short",
            f"{declared} bytes of samples, as its header says",
            f"{len(samples)} bytes",
            "Copy or record it again.",
        )
    if declared == 0:
        raise audio_error(
            name,
            "is a WAV without samples",
            "at least one sample",
            "a header that declares 0 bytes",
            "The recording was perhaps never finished: record it again.",
        )
    seconds = None
    if tag in (PCM, FLOAT, A_LAW, MU_LAW):
        if bits % 8 or not bits or block != channels * bits // 8:
            raise audio_error(
                name,
                "is a WAV whose header contradicts itself",
                "a block of channels x bits / 8 bytes",
                f"{channels} channels, {bits} bits, a block of {block} bytes",
                "Export it again.",
            )
        seconds = len(samples) // block / rate
    chunks = [(b"fmt ", form), (b"fact", fact), (b"data", samples)]
    parts = []
    for kind, content in chunks:
        if len(content):
            parts += [struct.pack("<4sI", kind, len(content)), content, b"\0" * (len(content) % 2)]
    body = b"".join(parts)
    whole = struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body
    return Container("wav", whole, seconds, bits if tag in (PCM, FLOAT) else 0, tag == FLOAT)


def _inspect_flac(data: bytes, name: str) -> Container:
    """Check the stream information of a FLAC and that its promise is in proportion to its size."""
    if len(data) < 42 or data[4] & 0x7F != 0:
        raise audio_error(
            name,
            "is a FLAC without its first block",
            "42 bytes of stream information",
            f"{len(data)} bytes",
            "It is cut short or damaged: copy it again.",
        )
    packed = int.from_bytes(data[18:26], "big")
    rate, channels = packed >> 44, (packed >> 41 & 7) + 1
    bits, frames = (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    check_rate_and_channels(rate, channels, name)
    check_proportion(frames, len(data), name)
    if frames == 0:
        # libsndfile cannot read to the end of such a file, and nobody can tell whether it is whole.
        raise audio_error(
            name,
            "is a FLAC that does not say how long it is",
            "the number of frames in its first block",
            "0, as an encoder leaves it that writes to a pipe",
            "Encode it to a file instead.",
        )
    return Container("flac", data, frames / rate, bits)


def check_proportion(frames: int, size: int, name: str) -> None:
    """Refuse a promise of more sound than the bytes of the file could hold.

    Args:
        frames: promised frames.
        size: bytes of the file.
        name: what messages call the file.

    Raises:
        AudioError: out of proportion.
    """
    if frames > size * MAX_FRAMES_PER_BYTE:
        raise audio_error(
            name,
            "promises more sound than it can hold",
            f"at most {MAX_FRAMES_PER_BYTE} frames a byte",
            f"{frames} frames in {size} bytes",
            "It is damaged: copy it again.",
        )
