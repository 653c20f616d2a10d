"""TFRecord frames and tf.train.Example messages, written without TensorFlow in every worker.

A record is its length (uint64), the masked CRC-32C of these eight bytes, the message, and the
masked CRC-32C of the message, all little endian (tensorflow/core/lib/io/record_writer.h). A message
is Example{features: {feature: map of name to BytesList, FloatList or Int64List}}
(tensorflow/core/example/feature.proto), its names sorted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import google_crc32c

FRAME_BYTES = 12
"""Bytes of a record before its message."""


def frame(message: bytes) -> bytes:
    """A record with its length and checksums."""
    length = struct.pack("<Q", len(message))
    return b"".join((length, _checksum(length), message, _checksum(message)))


def _checksum(data: bytes) -> bytes:
    value = google_crc32c.value(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def example(features: Mapping[str, Sequence[bytes] | Sequence[float] | Sequence[int]]) -> bytes:
    """A serialised tf.train.Example.

    Args:
        features: name -> bytes, floats (kept as float32) or whole numbers (int64), of one kind
            each; where there are none, the name is left out.
    """
    entries = (
        _field(1, _field(1, name.encode()) + _field(2, _feature(features[name])))
        for name in sorted(features)
        if features[name]
    )
    return _field(1, b"".join(entries))


def _feature(values: Sequence[bytes] | Sequence[float] | Sequence[int]) -> bytes:
    if isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(_varint(value % 2**64) for value in values)))


def _field(number: int, content: bytes) -> bytes:
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the eighth set where more follow."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
