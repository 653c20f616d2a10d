"""The nearest pronunciations of every word of a large vocabulary, exactly and block by block.

`adml.text.distance.nearest` compares each query with the whole pool. Here the pool lies by length:
a pronunciation of m phones is at least |m - n| / max(m, n) from one of n, so a query leaves off as
soon as no other length can come nearer than what it has. The answers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from adml.errors import TextError
from adml.text.phonemes import to_classes

_QUERIES_AT_ONCE = 8192
_CELLS_AT_ONCE = 16_000_000
_FIRST_CHARACTER = ord("A")


@dataclass(frozen=True)
class _Group:
    """Pool entries of one length: their places in the pool, ascending, and themselves."""

    length: int
    places: np.ndarray
    strings: list[str]


def neighbour_blocks(
    queries: Sequence[Sequence[str]],
    pool: Sequence[Sequence[str]],
    count: int,
    *,
    workers: int = 1,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Finds what `adml.text.distance.nearest` finds, for one block of queries after the other.

    Memory: the pool and 16 MB for the block at hand.

    Args:
        queries: Q pronunciations (ARPAbet symbols).
        pool: N pronunciations.
        count: how many neighbours to find for each query, >= 1.
        workers: threads for the comparison, -1 for all cores; the result is the same.

    Yields:
        (indices int64 [B, count] into the pool, distances float32 [B, count]), nearest first,
        ties by place in the pool, for the next B queries; index -1 and distance infinite where
        the pool has fewer to offer.

    Raises:
        TextError: `count` is below 1 or a symbol is not in the phoneme inventory.
    """
    if count < 1:
        raise TextError(f"Too few neighbours asked for. Expected: 1 or more. Received: {count}.")
    groups = _by_length([_encode(entry) for entry in pool])
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = _by_length([_encode(query) for query in queries[start : start + _QUERIES_AT_ONCE]])
        size = sum(len(group.places) for group in block)
        indices = np.full((size, count), -1, np.int64)
        distances = np.full((size, count), np.inf, np.float32)
        for group in block:
            found = _search(group, groups, count, workers)
            indices[group.places], distances[group.places] = found
        yield indices, distances


def _encode(symbols: Sequence[str]) -> str:
    return "".join(chr(_FIRST_CHARACTER + phone) for phone in to_classes(symbols))


def _by_length(strings: Sequence[str]) -> list[_Group]:
    lengths = np.array([len(string) for string in strings], np.int64)
    groups = []
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        groups.append(_Group(length, places, [strings[place] for place in places]))
    return groups


def _search(
    queries: _Group, pool: Sequence[_Group], count: int, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of queries of one length: (indices int64, distances float32) [Q, count]."""
    size = len(queries.strings)
    indices = np.full((size, count), -1, np.int64)
    distances = np.full((size, count), np.inf, np.float32)
    bounds = [_share(abs(queries.length - g.length), queries.length, g.length) for g in pool]
    for place in np.argsort(bounds, kind="stable").tolist():
        group = pool[place]
        active = np.flatnonzero(distances[:, -1] >= bounds[place])
        step = max(1, _CELLS_AT_ONCE // len(group.strings))
        for start in range(0, len(active), step):
            rows = active[start : start + step]
            _improve(rows, queries, group, indices, distances, workers)
        if not len(active):
            break
    return indices, distances


def _share(edits, first: int, second: int) -> np.float32 | np.ndarray:
    """Edits over the length of the longer one, as rapidfuzz rounds it."""
    return np.float32(np.asarray(edits) / max(first, second, 1))


def _improve(
    rows: np.ndarray,
    queries: _Group,
    group: _Group,
    indices: np.ndarray,
    distances: np.ndarray,
    workers: int,
) -> None:
    """Put what a group has to offer among the neighbours of some of the queries."""
    longest, count = max(queries.length, group.length), distances.shape[1]
    kind = np.uint8 if longest < 255 else np.uint16
    edits = process.cdist(
        group.strings, [queries.strings[row] for row in rows],
        scorer=Levenshtein.distance, dtype=kind, workers=workers,
    )  # fmt: skip
    if queries.length == group.length:
        edits[edits == 0] = np.iinfo(kind).max
    shares = _share(np.arange(longest + 1), queries.length, group.length)
    limits = np.searchsorted(shares, distances[rows, -1], side="right") - 1
    empty = np.flatnonzero(np.isinf(distances[rows, -1]))
    if len(empty) and len(edits) > count:
        least = np.partition(edits[:, empty], count - 1, axis=0)[count - 1]
        limits[empty] = np.minimum(limits[empty], least)
    offered, asking = np.nonzero(edits <= limits.astype(kind))
    touched = np.unique(asking)
    owner = np.concatenate([asking, np.repeat(touched, count)])
    share = np.concatenate([shares[edits[offered, asking]], distances[rows[touched]].ravel()])
    place = np.concatenate([group.places[offered], indices[rows[touched]].ravel()])
    order = np.lexsort((place, share, owner))
    owner, share, place = owner[order], share[order], place[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    best = rank < count
    indices[rows[owner[best]], rank[best]] = place[best]
    distances[rows[owner[best]], rank[best]] = share[best]
