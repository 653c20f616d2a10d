"""Figures of a benchmark, kept with what they were measured on."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from adml.errors import DataError
from adml.evaluation.records import environment, now
from adml.files import write_atomically


def write_benchmark(path: str | Path, values: dict | list) -> Path:
    """Write figures with the command, the time, the machine and the versions.

    Args:
        path: of the JSON file.
        values: of a benchmark.
    """
    command = shlex.join(["adml", *sys.argv[1:]])
    record = {"command": command, "created": now(), **environment(), "values": values}
    return write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def read_benchmark(path: str | Path) -> dict:
    """Read what `write_benchmark` wrote.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["values"], record["command"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no benchmark. Expected: JSON with values and command. Received: {error!r}."
        ) from None
    return record
