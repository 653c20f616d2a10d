"""Frames of an MP3 file: counted to the last one, and compared with the count it promises.

Form of a frame: ISO 11172-3 and 13818-3; the Xing/Info and VBRI headers as encoders write them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adml.audio.faults import audio_error

ADVICE = "It is cut short or damaged: copy it again."
# kbit/s of layer III by index 1..14, for MPEG 1 and for MPEG 2 / 2.5.
BITRATES = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
# Hz by version bits: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5.
RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
SEARCHED_BYTES = 4096


@dataclass(frozen=True)
class Frame:
    """Header of one frame: bytes of the whole frame, sound in it, and where its data begins."""

    size: int
    samples: int
    sample_rate_hz: int
    side_bytes: int


def tag_size(data: bytes) -> int:
    """Bytes of the ID3v2 tags at the beginning of a file.

    Args:
        data: the file.

    Returns:
        0 where there is none.
    """
    total = 0
    while data[total : total + 3] == b"ID3" and len(data) >= total + 10:
        size = 0
        for byte in data[total + 6 : total + 10]:
            size = size << 7 | byte & 0x7F
        total += 10 + size + (10 if data[total + 5] & 0x10 else 0)
    return total


def is_stream(data: bytes) -> bool:
    """Whether two frames in a row, or one frame and the end, stand at the beginning.

    Args:
        data: the file without its tags.

    Returns:
        True for MP3.
    """
    return _first_frame(data) is not None


def inspect(data: bytes, name: str) -> tuple[bytes, float]:
    """Walk all frames of an MP3.

    Args:
        data: the file without its leading tags.
        name: what messages call it.

    Returns:
        The frames without what stands around them, and the duration in seconds, which includes the
        encoder's delay and padding.

    Raises:
        AudioError: cut short or damaged.
    """
    start = _first_frame(data) or 0
    first = _frame(data, start)
    position, count = start, 0
    while first is not None and (frame := _frame(data, position)) is not None:
        if position + frame.size > len(data):
            raise audio_error(
                name,
                "is an MP3 that is cut short",
                f"a frame that ends at byte {position + frame.size}",
                f"a file of {len(data)} bytes",
                ADVICE,
            )
        position += frame.size
        count += 1
    _check_rest(data, position, name)
    if first is None or count == 0:
        raise audio_error(name, "is an MP3 without frames", "at least one", "none", ADVICE)
    has_header = _check_promise(data, start, first, count, position - start, name)
    seconds = (count - has_header) * first.samples / first.sample_rate_hz
    return data[start:position], seconds


def _frame(data: bytes, position: int) -> Frame | None:
    """The frame at a position, or None."""
    head = data[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, rate, bitrate = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or bitrate in (0, 15):
        return None
    first_version = version == 3
    kilobits = BITRATES[0 if first_version else 1][bitrate - 1]
    samples = 1152 if first_version else 576
    rate_hz = RATES_HZ[version][rate]
    size = samples // 8 * kilobits * 1000 // rate_hz + (head[2] >> 1 & 1)
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    return Frame(size, samples, rate_hz, side)


def _first_frame(data: bytes) -> int | None:
    """Position of the first frame that another frame or the end of the file follows."""
    for position in range(min(len(data), SEARCHED_BYTES)):
        frame = _frame(data, position)
        if frame is None:
            continue
        following = position + frame.size
        if following >= len(data) and position == 0 or _frame(data, following) is not None:
            return position
        if len(data) - following < 4 or data[following : following + 3] in (b"TAG", b"APE"):
            return position
    return None


def _check_rest(data: bytes, position: int, name: str) -> None:
    """After the last frame there may be tags or filling, but no more frames."""
    rest = data[position:]
    if rest[:3] == b"TAG" or rest[:8] == b"APETAGEX" or rest[:11] == b"LYRICSBEGIN":
        return
    again = _first_frame(rest[1:]) if rest.strip(b"\0") else None
    if again is not None or 0 < len(rest) < 4:
        raise audio_error(
            name,
            "is an MP3 that is damaged or cut short",
            f"a frame at byte {position} of {len(data)}",
            f"bytes that begin with {rest[:4]!r}",
            ADVICE,
        )


def _check_promise(data: bytes, start: int, first: Frame, count: int, size: int, name: str) -> bool:
    """Compare with the frames and bytes that the first frame promises; True if it has a promise."""
    place = start + 4 + first.side_bytes
    frames = total = 0
    if data[place : place + 4] in (b"Xing", b"Info") and len(data) >= place + 16:
        flags, *values = struct.unpack_from(">III", data, place + 4)
        if flags & 1:
            frames = values.pop(0)
        if flags & 2:
            total = values.pop(0)
    elif data[start + 36 : start + 40] == b"VBRI" and len(data) >= start + 54:
        total, frames = struct.unpack_from(">II", data, start + 46)
    else:
        return False
    if count < frames or size < total:
        raise audio_error(
            name,
            "is an MP3 that is cut short",
            f"{frames} frames in {total} bytes, as its first frame says",
            f"{count} frames in {size} bytes",
            ADVICE,
        )
    return True
