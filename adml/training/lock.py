"""One process at a time trains in a run folder; reading it stays free."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adml.errors import UsageError

LOCK = ".lock"


@contextmanager
def sole_trainer(folder: str | Path, *, name: str = LOCK) -> Iterator[None]:
    """Hold a run folder for training; the lock goes with the process, however it ends.

    Args:
        folder: of the run.
        name: of the lock's file; who holds one may still take another.

    The file stays: to remove it would let two processes lock two files of one name.

    Raises:
        UsageError: another process trains in the folder.
    """
    with (Path(folder) / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process trains in {folder}. Expected: one at a time. Wait until it has "
                "ended, or choose another folder."
            ) from None
        yield
