"""From a source to a folder of its files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from adml.data.fetch.archives import unpack
from adml.data.fetch.connection import Patience
from adml.data.fetch.parts import recorded_checksum
from adml.data.fetch.sources import Source
from adml.data.fetch.state import NOTE, look
from adml.data.fetch.transfer import fetch

logger = logging.getLogger(__name__)


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
    files = unpack(state.archive, state.folder, notes={NOTE: json.dumps(note, indent=2) + "\n"})
    logger.info("%s: %d files in %s", source.name, files, state.folder)
    return state.folder
