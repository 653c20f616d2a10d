"""What is there of a source and what can be had, told without opening a connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adml.data.fetch.parts import Part
from adml.data.fetch.sources import Source
from adml.errors import DataError

_ARCHIVES = "archives"
NOTE = "source.json"
"""In a folder that was unpacked whole: what it is and whose."""


@dataclass(frozen=True)
class State:
    """How far a source is.

    `folder` holds its files when it is unpacked, `archive` is what they come from; `missing` says
    whether the net is needed, `text` what is there.
    """

    folder: Path
    archive: Path
    unpacked: bool
    missing: bool
    text: str


def look(source: Source, out: str | Path) -> State:
    """Say how far a source is, without asking anybody.

    Raises:
        DataError: another folder or file stands where it belongs.
    """
    folder, archive = Path(out) / source.name, Path(out) / _ARCHIVES / source.file_name
    expected, begun = source.known.size_bytes, Part(archive).size_bytes
    unpacked, missing = folder.exists(), False
    if unpacked:
        text = f"unpacked in {folder}"
        if not (folder / NOTE).is_file():
            raise DataError(
                f"{folder} is there, and no {NOTE} in it says that it was unpacked whole. "
                "Move it away, or choose another folder."
            )
    elif archive.exists():
        size_bytes = archive.stat().st_size
        missing = size_bytes != (expected or max(1, size_bytes))
        text = f"fetched, to be unpacked: {archive}"
        if missing:
            text = f"another file: {archive} has {size_bytes} of {expected or '?'} bytes"
    else:
        missing, text = True, "missing"
        if begun:
            text = f"begun: {begun} of {'?' if expected is None else expected} bytes"
    return State(folder, archive, unpacked, missing, text)


def sources_table(sources: tuple[Source, ...]) -> str:
    """Name, size, kind of checksum, licence and title of each source, a line each."""
    rows = [("name", "GB", "checked by", "licence", "archive", "title")]
    for source in sources:
        size_bytes = source.known.size_bytes
        gigabytes = "?" if size_bytes is None else f"{size_bytes / 1e9:.1f}"
        rows.append(
            (source.name, gigabytes, source.checked_by, source.licence, source.file_name,
             source.title)
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in rows
    )
