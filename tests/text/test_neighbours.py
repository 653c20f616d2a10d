"""Neighbours of a whole vocabulary against a comparison of each with each."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import TextError
from adml.text import neighbours
from adml.text.distance import nearest
from adml.text.neighbours import neighbour_blocks
from adml.text.phonemes import PHONES


def edits(first, second) -> int:
    """Edit distance by the table."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        above, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def by_hand(query, pool, count):
    """Places and distances of the nearest, ties by place, sorted in full."""
    shares = [np.float32(edits(query, entry) / max(len(query), len(entry), 1)) for entry in pool]
    ranked = sorted((share, place) for place, share in enumerate(shares) if share > 0)[:count]
    ranked += [(np.inf, -1)] * (count - len(ranked))
    return [place for _, place in ranked], [share for share, _ in ranked]


def random_pool(seed, size, longest, phones=4):
    """Few phones, so that distances tie and words sound alike."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, size)
    return [tuple(PHONES[phone] for phone in rng.integers(0, phones, n)) for n in lengths]


def joined(blocks):
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


@pytest.mark.parametrize(("seed", "count", "longest"), [(0, 3, 5), (1, 10, 9), (2, 60, 4)])
def test_equals_a_full_table_with_ties(monkeypatch, seed, count, longest):
    monkeypatch.setattr(neighbours, "_QUERIES_AT_ONCE", 16)
    monkeypatch.setattr(neighbours, "_CELLS_AT_ONCE", 40)
    pool = random_pool(seed, 50, longest)
    queries = [*pool[:30], *random_pool(seed + 9, 12, longest + 6)]
    indices, distances = joined(neighbour_blocks(queries, pool, count))
    assert indices.dtype == np.int64 and distances.dtype == np.float32
    for row, query in enumerate(queries):
        places, shares = by_hand(query, pool, count)
        assert indices[row].tolist() == places, query
        assert distances[row].tolist() == shares
    assert len(set(distances[0].tolist())) < count, "nothing tied"


@pytest.mark.parametrize("workers", [1, 2])
def test_equals_the_exhaustive_search(workers):
    pool = random_pool(5, 700, 24, phones=39)
    expected = nearest(pool[:200], pool, 10)
    found = joined(neighbour_blocks(pool[:200], pool, 10, workers=workers))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_most_of_the_pool_is_passed_over(monkeypatch):
    pool = random_pool(6, 40, 3) + random_pool(7, 60, 40)[:60]
    pool = [entry for entry in pool if len(entry) <= 3 or len(entry) >= 20]
    compared = []
    improve = neighbours._improve

    def watch(rows, queries, group, *rest):
        compared.append((queries.length, group.length))
        improve(rows, queries, group, *rest)

    monkeypatch.setattr(neighbours, "_improve", watch)
    list(neighbour_blocks([entry for entry in pool if len(entry) == 3], pool, 2))
    assert compared and {length for _, length in compared} <= {1, 2, 3}


def test_very_long_and_empty_pronunciations():
    long = [("AA",) * 300, ("AA",) * 299 + ("B",), ("B",) * 300, ()]
    indices, distances = joined(neighbour_blocks(long, long, 3))
    assert indices.tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [0, 1, 2]]
    assert distances[0].tolist() == [np.float32(1 / 300), 1, 1] and set(distances[3]) == {1}


def test_small_pools_and_bad_input():
    (block,) = neighbour_blocks([("AA",)], [], 2)
    assert block[0].tolist() == [[-1, -1]] and np.isinf(block[1]).all()
    assert list(neighbour_blocks([], [("AA",)], 2)) == []
    with pytest.raises(TextError, match="1 or more"):
        next(neighbour_blocks([("AA",)], [("AA",)], 0))
    with pytest.raises(TextError):
        next(neighbour_blocks([("QQ",)], [("AA",)], 1))
