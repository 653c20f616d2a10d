"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from adml.errors import UsageError


def write_atomically(path: str | os.PathLike, content: bytes) -> Path:
    """Write `content` beside `path` and move it there, so that no reader sees half a file.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}. Make room, or choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
