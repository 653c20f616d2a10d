"""A file of the words of a vocabulary that sound nearest to each of its words."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from adml.errors import DataError, TextError, UsageError
from adml.text.neighbours import neighbour_blocks

logger = logging.getLogger(__name__)

COLUMNS = ("word", "phonemes", "neighbour", "distance")


def write_neighbours(
    words: Iterable[str],
    path: str | Path,
    pronounce: Callable[[str], Sequence[str]],
    *,
    count: int = 10,
    workers: int = -1,
) -> int:
    """Write, for each word, the words at the least phone distance above 0; whole or not at all.

    A row a neighbour, nearest first, in the order of the words. Words without a pronunciation are
    set aside and told. Memory holds the words, not the neighbours.

    Args:
        words: words or phrases; repeated ones count once.
        path: the file, tab-separated with a header; must not be there.
        pronounce: text -> ARPAbet symbols without boundaries, such as `G2P.phonemes`.
        count: neighbours of each word, where there are as many.
        workers: threads of the search, -1 for all cores; the file is the same.

    Returns:
        Number of words in the file.

    Raises:
        DataError: fewer than two words can be pronounced.
        TextError: `count` is below 1.
        UsageError: the file is there, or cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise UsageError(f"{path} is there already. Expected: a new file. Choose another place.")
    texts, symbols = _pronounced(words, pronounce)
    count = min(count, len(texts))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\t".join(COLUMNS) + "\n")
            _write_rows(file, texts, symbols, count, workers)
        os.replace(part, path)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}. Make room, or choose another place."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return len(texts)


def _pronounced(
    words: Iterable[str], pronounce: Callable[[str], Sequence[str]]
) -> tuple[list[str], list[tuple[str, ...]]]:
    """The words that can be said, each once and in order, and how."""
    found, problems = {}, []
    unique = dict.fromkeys(" ".join(word.lower().split()) for word in words)
    for text in tqdm([text for text in unique if text], desc="pronounce", disable=None):
        try:
            found[text] = tuple(pronounce(text))
        except TextError as error:
            problems.append(str(error))
    if problems:
        logger.warning("%d words set aside. First: %s", len(problems), problems[0])
    if len(found) < 2:
        raise DataError(
            "There are too few words. Expected: two or more that can be pronounced, one a line. "
            f"Received: {len(found)}, and {len(problems)} that cannot."
        )
    return list(found), list(found.values())


def _write_rows(
    file, texts: Sequence[str], symbols: Sequence[Sequence[str]], count: int, workers: int
) -> None:
    done = 0
    with tqdm(total=len(texts), desc="compare", unit="word", disable=None) as bar:
        for indices, distances in neighbour_blocks(symbols, symbols, count, workers=workers):
            for places, shares in zip(indices.tolist(), distances.tolist(), strict=True):
                head = f"{texts[done]}\t{' '.join(symbols[done])}"
                file.writelines(
                    f"{head}\t{texts[place]}\t{share:.4f}\n"
                    for place, share in zip(places, shares, strict=True)
                    if place >= 0
                )
                done += 1
            bar.update(len(indices))
