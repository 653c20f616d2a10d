"""The most memory that this process has held."""

from __future__ import annotations

import re
from pathlib import Path

from adml.errors import UsageError


def peak_mb() -> float:
    """Largest resident memory in MiB; getrusage would count its parent's before it ran.

    Raises:
        UsageError: the system does not tell.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        raise UsageError("Peak memory is read from /proc, which this system has not. Use Linux.")
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
    return int(line) / 1024
