"""From a source to a folder of files: what is there, what is missing, and how it gets there."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from adml.data.fetch.archives import unpack
from adml.data.fetch.connection import Patience
from adml.data.fetch.parts import Part, recorded_checksum
from adml.data.fetch.sources import Source
from adml.data.fetch.transfer import fetch
from adml.errors import DataError

logger = logging.getLogger(__name__)

_ARCHIVES = "archives"
_NOTE = "source.json"
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
        if not (folder / _NOTE).is_file():
            raise DataError(
                f"{folder} is there, and no {_NOTE} in it says that it was unpacked whole. "
                "Move it away, or choose another folder."
            )
    elif archive.exists():
        text = f"fetched, to be unpacked: {archive}"
    else:
        missing, text = True, "missing"
        if begun:
            text = f"begun: {begun} of {'?' if expected is None else expected} bytes"
    return State(folder, archive, unpacked, missing, text)


def download(
    source: Source, out: str | Path, *, mirror: str | None = None, patience: Patience | None = None
) -> Path:
    """Bring a source to its folder below `out`, from wherever it stopped.

    The archive is kept in `out`/archives, its files come to be in `out`/NAME, with `source.json`,
    which says whose they are.

    Args:
        source: of `find_source`.
        out: folder of the sets.
        mirror: address of a folder that has the archive under its name here; asked first.
        patience: timeouts and tries.

    Returns:
        The folder of its files.

    Raises:
        UsageError, DataError: as `fetch` and `unpack` do.
    """
    state = look(source, out)
    if state.unpacked:
        logger.info("%s: %s; nothing to do", source.name, state.text)
        return state.folder
    logger.info(
        "%s: %s. Licence: %s, see %s", source.name, source.title, source.licence, source.page
    )
    urls = source.urls
    if mirror is not None:
        urls = (f"{mirror.rstrip('/')}/{source.file_name}", *urls)
    fetch(urls, state.archive, source.known, patience)
    note = {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "page": source.page,
        "urls": source.urls,
        "checksum": source.known.checksum or recorded_checksum(state.archive),
    }
    files = unpack(state.archive, state.folder, notes={_NOTE: json.dumps(note, indent=2) + "\n"})
    logger.info("%s: %d files in %s", source.name, files, state.folder)
    return state.folder


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
