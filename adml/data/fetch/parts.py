"""What stands beside a target while it is made: its lock, its `.part` file, its checksum."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from adml.errors import DataError, UsageError

_BLOCK_BYTES = 1 << 20


def beside(target: Path, ending: str) -> Path:
    """The path of a helper of `target`: its whole name and an ending."""
    return target.with_name(target.name + ending)


@contextmanager
def sole_writer(target: Path) -> Iterator[None]:
    """Hold a target for writing; the lock goes with the process, however it ends.

    The lock's file stays: to remove it would let two processes lock two files of one name.

    Raises:
        UsageError: another process writes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with beside(target, ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process writes {target}. Expected: one at a time. Wait until it has "
                "ended, or choose another folder."
            ) from None
        yield


@contextmanager
def room_on_disk(target: Path) -> Iterator[None]:
    """Turn the system's refusal to take more bytes into an error that says where and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DataError(
            f"The disk of {target} takes no more: {error.strerror}. Make room and type the same "
            "again, or choose another folder."
        ) from error


def write_whole(path: Path, content: str) -> None:
    """Write a small text beside `path` and move it there, so that no reader sees half of it."""
    temporary = beside(path, ".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file, with a bar where it takes long."""
    sums = hashlib.new(algorithm)
    size_bytes = path.stat().st_size
    bar = tqdm(
        total=size_bytes, desc=f"checking {path.name}", unit="B", unit_scale=True, disable=None
    )
    with path.open("rb") as file, bar:
        while block := file.read(_BLOCK_BYTES):
            sums.update(block)
            bar.update(len(block))
    return sums.hexdigest()


def recorded_checksum(target: Path) -> str | None:
    """What `NAME.sha256` says of a target, as "sha256:..."; None where there is none.

    Raises:
        DataError: the file is there and holds no checksum.
    """
    path = beside(target, ".sha256")
    try:
        words = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        words = []
    if not words or len(words[0]) != 64 or set(words[0].lower()) - set("0123456789abcdef"):
        raise DataError(
            f"{path} holds no checksum. Expected: 64 hexadecimal digits and a name, as "
            "`sha256sum` writes them. Remove it."
        )
    return f"sha256:{words[0].lower()}"


def record_checksum(target: Path, sha256: str) -> None:
    """Write `NAME.sha256`, in the form that `sha256sum -c` reads."""
    write_whole(beside(target, ".sha256"), f"{sha256}  {target.name}\n")


@dataclass(frozen=True)
class Known:
    """What is published of a file: its length, and "sha256:..." or "md5:...", or None."""

    size_bytes: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Origin:
    """Of which version of which file a `.part` is the beginning.

    `validator` is a strong ETag or a Last-Modified, None where the server tells none; `total_bytes`
    is the length of the whole file, None where it is not known.
    """

    url: str
    validator: str | None
    total_bytes: int | None


class Part:
    """The beginning of a file, and a note beside it of what it is the beginning of."""

    def __init__(self, target: Path):
        self.path = beside(target, ".part")
        self._note = beside(target, ".part.json")

    @property
    def size_bytes(self) -> int:
        """How much is there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> Origin | None:
        """What the part is the beginning of; None without part or readable note."""
        try:
            values = json.loads(self._note.read_text(encoding="utf-8"))
            origin = Origin(**values)
        except (OSError, ValueError, TypeError):
            return None
        return origin if self.size_bytes else None

    def begin(self, origin: Origin) -> None:
        """Start anew: an empty part first, then the note, so that none tells of other bytes."""
        with self.path.open("wb") as file:
            os.fsync(file.fileno())
        write_whole(self._note, json.dumps(asdict(origin)) + "\n")

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Move the whole, checked part to where it belongs."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)
