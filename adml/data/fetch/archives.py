"""Unpack an archive that others made: nothing leaves the folder, nothing grows without end."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from adml.data.fetch.parts import beside, room_on_disk, sole_writer, write_whole
from adml.errors import DataError, UsageError

_BLOCK_BYTES = 1 << 20
_AHEAD_BYTES = 1 << 16
_END_BYTES = 1024
"""A tar ends with two empty blocks of 512 bytes; one that does not was cut."""
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_UNFIT = re.compile(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:")
_DAMAGE = (
    EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
    lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What the readers of the standard library raise on archives that are damaged or not for them."""


@dataclass(frozen=True)
class Limits:
    """What an archive of speech stays below.

    `ratio` is unpacked bytes to packed ones; `depth` counts the folders of a path and its name.
    """

    members: int = 20_000_000
    total_bytes: int = 1 << 40
    ratio: float = 100.0
    depth: int = 16
    name_bytes: int = 255


class _Unfit(Exception):
    """A member that is not written."""


def unpack(
    archive: str | Path,
    folder: str | Path,
    limits: Limits | None = None,
    notes: Mapping[str, str] | None = None,
) -> int:
    """Unpack a tar (plain, gzip, bzip2, xz) or zip archive into a new folder.

    Files and folders alone are made, with the permissions of any new file. They are written to
    `NAME.part`, which is moved to its place when all was read and the archive's own checksums
    agree, and removed where they do not.

    Args:
        archive: path; the kind is told from its first bytes.
        folder: to make.
        limits: on what comes out.
        notes: texts to put beside what comes out, by name.

    Returns:
        Number of files of the archive.

    Raises:
        UsageError: the folder is there, or another process unpacks into it.
        DataError: no archive there, it is damaged or empty, holds a member that is no file, leaves
            the folder or clashes with another, or exceeds a limit; or the disk is full.
    """
    archive, folder, limits = Path(archive), Path(folder), limits or Limits()
    with room_on_disk(folder), sole_writer(folder):
        if folder.exists() or folder.is_symlink():
            raise UsageError(
                f"{folder} is there already. Expected: a new folder. Remove it, or choose another."
            )
        part = beside(folder, ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            files = _unpack(archive, part, limits)
            if not files:
                raise DataError(f"{archive} holds no file. Remove it and fetch it anew.")
            for name, text in (notes or {}).items():
                write_whole(part / name, text)
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return files


def _unpack(archive: Path, part: Path, limits: Limits) -> int:
    if not archive.is_file():
        raise DataError(f"The archive {archive} is not there. Check the path.")
    packed_bytes = archive.stat().st_size
    bar = tqdm(
        total=packed_bytes, desc=f"unpacking {archive.name}", unit="B", unit_scale=True,
        disable=None,
    )  # fmt: skip
    with archive.open("rb") as file, bar:
        out = _Output(part, limits, packed_bytes)
        start = file.read(max(map(len, _OPENERS)))
        file.seek(0)
        try:
            (_unpack_zip if start.startswith(_ZIP) else _unpack_tar)(file, start, out, bar)
        except _Unfit as error:
            raise DataError(
                f"{archive} holds {out.member!r}, which {error}. Nothing is unpacked. Expected: an "
                "archive of files and folders. Fetch it anew from where it is published."
            ) from None
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            at = f" at or after {out.member!r}" if out.member else ""
            raise DataError(
                f"{archive} is damaged{at}: {error or type(error).__name__}. Expected: a whole tar "
                "or zip archive. Remove it and fetch it anew."
            ) from error
    return out.files


@dataclass
class _Level:
    """The names in one folder, as a file system sees them that takes a for A."""

    folders: dict[str, tuple[str, _Level]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


class _Output:
    """Where members go, and what has come so far."""

    def __init__(self, root: Path, limits: Limits, packed_bytes: int):
        self.member, self.files = "", 0
        self._root, self._limits = root, limits
        self._most_bytes = min(limits.total_bytes, int(limits.ratio * packed_bytes) + _BLOCK_BYTES)
        self._members, self._bytes, self._top = 0, 0, _Level()

    def grow(self, count: int) -> None:
        """Count unpacked bytes, and refuse more than an archive of this size may hold."""
        self._bytes += count
        if self._bytes > self._most_bytes:
            raise _Unfit(
                f"brings it to {self._bytes} bytes, above the {self._most_bytes} that an archive "
                "of its size may hold"
            )

    def make_folder(self, name: str) -> None:
        """Make the folder of a member, if its name is fit."""
        self._enter(self._parts(name))

    def write(self, name: str, source: BinaryIO, *, grow: bool) -> None:
        """Write the file of a member, if its name is fit."""
        parts = self._parts(name)
        if not parts:
            raise _Unfit("has no name")
        level, folder = self._enter(parts[:-1])
        key = _folded(parts[-1])
        if key in level.files or key in level.folders:
            raise _Unfit("is there twice, or has a name that some systems take for another's")
        level.files.add(key)
        self.files += 1
        with (folder / parts[-1]).open("xb") as file:
            while block := source.read(_BLOCK_BYTES):
                if grow:
                    self.grow(len(block))
                file.write(block)

    def _enter(self, parts: list[str]) -> tuple[_Level, Path]:
        level, folder = self._top, self._root
        for part in parts:
            key, folder = _folded(part), folder / part
            if key in level.files or level.folders.get(key, (part,))[0] != part:
                raise _Unfit(f"needs a folder {part!r}, which clashes with another name")
            if key not in level.folders:
                level.folders[key] = (part, _Level())
                folder.mkdir()
            level = level.folders[key][1]
        return level, folder

    def _parts(self, name: str) -> list[str]:
        """The folders and the name of a member.

        Raises:
            _Unfit: it leaves the folder or cannot be a name everywhere.
        """
        self.member = name
        self._members += 1
        if self._members > self._limits.members:
            raise _Unfit(f"is one more than the {self._limits.members} members allowed")
        if name.startswith("/") or _UNFIT.search(name):
            raise _Unfit("is an absolute path, or has characters that are not for names")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _Unfit("leads out of the folder")
        if len(parts) > self._limits.depth:
            raise _Unfit(f"lies deeper than {self._limits.depth} folders")
        try:
            longest = max((len(part.encode()) for part in parts), default=0)
        except UnicodeEncodeError:
            raise _Unfit("has a name that is not UTF-8") from None
        if longest > self._limits.name_bytes:
            raise _Unfit(f"has a name longer than {self._limits.name_bytes} bytes")
        return parts


def _folded(name: str) -> str:
    """A name as file systems see it that care neither for case nor for how accents are coded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class _Meter:
    """A stream of bytes, counted, of which the end is remembered."""

    def __init__(self, stream: BinaryIO, packed: BinaryIO, out: _Output, bar: tqdm):
        self._stream, self._packed, self._out, self._bar = stream, packed, out, bar
        self.end = b""

    def read(self, size: int) -> bytes:
        """The next bytes."""
        block = self._stream.read(size)
        self._out.grow(len(block))
        self._bar.update(self._packed.tell() - self._bar.n)
        self.end = (self.end + block)[-_END_BYTES:]
        return block


def _unpack_tar(file: BinaryIO, start: bytes, out: _Output, bar: tqdm) -> None:
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    meter = _Meter(opener(file) if opener else file, file, out, bar)
    with tarfile.open(fileobj=meter, mode="r|", bufsize=_AHEAD_BYTES) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # or millions of them are kept
            if member.isdir():
                out.make_folder(member.name)
            elif member.isreg() and not member.issparse():
                out.write(member.name, tar.extractfile(member), grow=False)
            else:
                out.member = member.name
                raise _Unfit("is neither a file nor a folder but a link, a device or the like")
        out.member = ""
        while meter.read(_BLOCK_BYTES):
            pass  # to the end, where the checksum of the packed stream stands
    if meter.end != bytes(_END_BYTES):
        raise EOFError("it ends before its end is marked")


def _unpack_zip(file: BinaryIO, _start: bytes, out: _Output, bar: tqdm) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.orig_filename
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir() and kind in (0, stat.S_IFDIR):
                out.make_folder(name)
            elif not member.is_dir() and kind in (0, stat.S_IFREG):
                out.member = name
                with archive.open(member) as source:
                    out.write(name, source, grow=True)
            else:
                out.member = name
                raise _Unfit("is neither a file nor a folder but a link, a device or the like")
            bar.update(member.compress_size)
