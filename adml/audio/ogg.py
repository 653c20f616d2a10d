"""Pages of an Ogg file: all there, undamaged, in order, and closed by an end-of-stream flag.

Form of a page: RFC 3533. Granule positions: RFC 7845 for Opus (48 kHz ticks that include the
pre-skip), the Vorbis I specification for Vorbis (frames).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from adml.audio.faults import audio_error

HEADER_BYTES = 27
FIRST_PAGE, LAST_PAGE = 2, 4
OPUS_TICKS_HZ = 48000
ADVICE = "It is cut short or damaged: copy it again."
_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Page:
    """One page: flags, granule position, stream number, sequence number, payload."""

    flags: int
    granule: int
    stream: int
    sequence: int
    payload: bytes


def inspect(data: bytes, name: str) -> tuple[str, float]:
    """Check an Ogg file of one audio stream.

    Args:
        data: the file, beginning with a page.
        name: what messages call it.

    Returns:
        Codec, "vorbis" or "opus", and the duration in seconds.

    Raises:
        AudioError: cut short, damaged, or another codec.
    """
    last, first, lowest, count = None, None, None, 0
    for page in _pages(data, name):
        if first is None:
            first = page
        elif page.stream != first.stream or page.flags & FIRST_PAGE:
            raise audio_error(
                name,
                "is an Ogg of several streams",
                "one stream of sound",
                f"a second one at page {count}",
                "Extract one stream first.",
            )
        if page.sequence != first.sequence + count:
            raise audio_error(
                name,
                "is an Ogg with pages missing",
                f"page {first.sequence + count}",
                f"page {page.sequence}",
                ADVICE,
            )
        count += 1
        last = page
        if lowest is None and page.granule > 0:
            lowest = page.granule
    if first is None or last is None or not last.flags & LAST_PAGE:
        raise audio_error(
            name,
            "is an Ogg that is cut short",
            "a last page marked as the end of the stream",
            f"{count} pages without that mark",
            ADVICE,
        )
    return _duration(first.payload, last.granule, name)


def _pages(data: bytes, name: str) -> Iterator[Page]:
    """Yield the pages of a file; every byte belongs to one."""
    position = 0
    while position < len(data):
        header = data[position : position + HEADER_BYTES]
        if header[:4] != b"OggS" or len(header) < HEADER_BYTES:
            raise audio_error(
                name,
                "is an Ogg that is cut short or damaged",
                f"a page at byte {position}",
                f"{len(data) - position} bytes that begin with {header[:4]!r}",
                ADVICE,
            )
        _, flags, granule, stream, sequence, checksum, segments = struct.unpack_from(
            "<BBqIIIB", header, 4
        )
        sizes = data[position + HEADER_BYTES : position + HEADER_BYTES + segments]
        start = position + HEADER_BYTES + segments
        end = start + sum(sizes)
        if len(sizes) < segments or end > len(data):
            raise audio_error(
                name,
                "is an Ogg that is cut short",
                f"a page that ends at byte {end}",
                f"a file of {len(data)} bytes",
                ADVICE,
            )
        blank = data[position : position + 22] + b"\0\0\0\0" + data[position + 26 : end]
        if _checksum(blank) != checksum:
            raise audio_error(
                name,
                "is an Ogg with a damaged page",
                f"the checksum {checksum:08x} for the page at byte {position}",
                f"{_checksum(blank):08x}",
                ADVICE,
            )
        yield Page(flags, granule, stream, sequence, data[start:end])
        position = end


def _checksum(page: bytes) -> int:
    """CRC of a page: zlib's polynomial with the bits in the other order, without inversion."""
    value = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED_BITS), "big")


def _duration(identification: bytes, granule: int, name: str) -> tuple[str, float]:
    """Codec and seconds from the first packet and the last granule position."""
    if identification[:8] == b"OpusHead" and len(identification) >= 19:
        skipped = struct.unpack_from("<H", identification, 10)[0]
        return "opus", max(0, granule - skipped) / OPUS_TICKS_HZ
    if identification[:7] == b"\x01vorbis" and len(identification) >= 30:
        rate = struct.unpack_from("<I", identification, 12)[0]
        return "vorbis", max(0, granule) / max(1, rate)
    raise audio_error(
        name,
        "is an Ogg of a codec that is not supported",
        "Vorbis or Opus",
        f"a stream that begins with {identification[:8]!r}",
        "Convert it to WAV or FLAC first.",
    )
