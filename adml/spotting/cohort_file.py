"""The arrays of a cohort as a .npz file: small, whole or not there, and refused where it lies."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError

import numpy as np

from adml.files import write_atomically
from adml.spotting.forecast import FORECAST_PER_HOUR, Forecast
from adml.spotting.hearing import Heard, Places
from adml.text.phonemes import NUM_PHONES

MOST_MINUTES = 20
"""Of speech in a cohort, chosen: more does not tell more."""

LARGEST_BYTES = 64 << 20
"""Unpacked; `MOST_MINUTES` of 256 numbers a span take half of it."""

DAMAGED = (
    *(OSError, ValueError, ArithmeticError, LookupError, TypeError, EOFError, MemoryError),
    *(RuntimeError, SyntaxError, TokenError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What a file that is no cohort is known by."""

_LARGEST_LIST = 1 << 20
_END = "<4s4H2LH"
_MOST_FRAMES = 100 * 60 * MOST_MINUTES
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a file: arrays of finite numbers, `LARGEST_BYTES` at most; nothing in it is run.

    No more is unpacked than the file says, and what it says is added up before.

    Raises:
        one of `DAMAGED`.
    """
    with path.open("rb") as file:
        _require_short_list(file)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > LARGEST_BYTES:
                raise ValueError(f"{size:,} bytes unpacked, more than {LARGEST_BYTES:,}")
            if any(member.compress_type not in _METHODS for member in members):
                raise ValueError("another compression than deflate")
            return {member.filename.removesuffix(".npy"): _array(archive, member)
                    for member in members}  # fmt: skip


def _require_short_list(file: io.BufferedIOBase) -> None:
    """Refuse an archive whose list of members alone would fill the memory, by its last bytes."""
    last = struct.calcsize(_END)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - last - 20))
    end = file.read()
    mark, *_, listed, _, comment = struct.unpack(_END, end[-last:])
    if mark != b"PK\5\6" or comment or end.startswith(b"PK\6\7"):
        raise ValueError("no archive of arrays")
    if listed > _LARGEST_LIST or size > LARGEST_BYTES:
        raise ValueError(f"an archive of {size:,} bytes, {listed:,} of them names")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as opened:  # reading it all at once would unpack it all
        content = io.BytesIO(opened.read(member.file_size))
    if np.lib.format.read_magic(content) != (1, 0):
        raise ValueError(f"another form of the array {member.filename!r}")
    shape, by_column, kind = np.lib.format.read_array_header_1_0(content)
    if kind.kind not in "iuf":
        raise ValueError(f"{member.filename!r} of {kind}, which are no numbers")
    values = np.frombuffer(content.read(), kind).reshape(shape, order="F" if by_column else "C")
    if not np.isfinite(values).all():
        raise ValueError(f"numbers in {member.filename!r} that are not finite")
    return values


def table_of(arrays: Mapping[str, np.ndarray]) -> tuple:
    """Rates, heights, low, high, words and hours, as of `adml.spotting.cohort.Table`."""
    columns, (words, hours) = arrays["table"].astype(np.float64), arrays["size"].reshape(2)
    if columns.ndim != 2 or len(columns) != 4 or not 0 < len(columns[0]) < 1000:
        raise ValueError(f"a table of {columns.shape}")
    if not (columns[0] > 0).all() or not (np.diff(columns[0]) > 0).all():
        raise ValueError("rates that do not rise")
    return (*columns, int(words), float(hours))


def forecast_of(arrays: Mapping[str, np.ndarray]) -> Forecast | None:
    """The forecast of misses, where there is one."""
    if "forecast" not in arrays:
        return None
    told = arrays["forecast"].astype(np.float64)
    if told.shape != (len(FORECAST_PER_HOUR), 5):
        raise ValueError(f"a forecast of {told.shape}")
    return Forecast(told[:, :-1], told[:, -1], int(arrays["forecast_words"].reshape(())))


def streams_of(arrays: Mapping[str, np.ndarray]) -> tuple[Heard, ...]:
    """What was heard, each stream as a whole."""
    count = sum(name.startswith("places_") for name in arrays)
    heard = tuple(_stream(arrays, number) for number in range(count))
    if not heard or len({stream.embeddings.shape[1] for stream in heard}) > 1:
        raise ValueError("no streams, or such of several models")
    return heard


def _stream(arrays: Mapping[str, np.ndarray], number: int) -> Heard:
    starts, ends = arrays[f"places_{number}"].astype(np.int64)
    embeddings = arrays[f"embeddings_{number}"].astype(np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not len(ends) or len(embeddings) != len(ends) or not lengths.all():
        raise ValueError(f"spans of stream {number} without a direction each")
    phones = arrays.get(f"phones_{number}")
    if phones is not None and (phones.ndim != 2 or phones.shape[1] != NUM_PHONES + 1):
        raise ValueError(f"phones of {phones.shape} in stream {number}")
    last = _MOST_FRAMES if phones is None else len(phones)
    spans = (starts >= 0) & (starts < ends) & (ends - starts <= max(Places().lengths))
    if not spans.all() or (np.diff(ends) < 0).any() or ends[-1] > last:
        raise ValueError(f"spans of stream {number} that lie beyond it or in no order")
    return Heard(starts, ends, embeddings / lengths, 0,
                 None if phones is None else phones.astype(np.float32), 0)  # fmt: skip
