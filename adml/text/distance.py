"""How far apart two pronunciations sound, and which of a pool are nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from adml.errors import TextError
from adml.text.phonemes import NUM_PHONES, to_classes

_FIRST_CHARACTER = ord("A")
_CELLS_AT_ONCE = 8_000_000
_TEXTS_AT_ONCE = 4096
_SAMPLE_FRACTION = 16


def _encode(symbols: Sequence[str]) -> str:
    """One character a phone: the form in which rapidfuzz is fastest."""
    return "".join(chr(_FIRST_CHARACTER + phone) for phone in to_classes(symbols))


def phone_distance(a: Sequence[str], b: Sequence[str]) -> float:
    """Returns the edit distance between two pronunciations over the length of the longer one.

    Insertions, deletions and substitutions cost 1; stress and word boundaries are ignored.

    Args:
        a: ARPAbet symbols, for example from `G2P.__call__`.
        b: ARPAbet symbols.

    Returns:
        A number from 0 (the same phones) to 1 (nothing in common); 0 for two empty sequences.

    Raises:
        TextError: a symbol is not in the phoneme inventory.
    """
    return float(Levenshtein.normalized_distance(_encode(a), _encode(b)))


def nearest(
    queries: Sequence[Sequence[str]],
    pool: Sequence[Sequence[str]],
    count: int,
    *,
    workers: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds, for each query, the `count` pool entries at the least phone distance above 0.

    Exact: every query is compared with the whole pool. Entries that sound the same as the query
    (distance 0, itself included) are never returned. Ties go to the earlier pool entry.

    Args:
        queries: Q pronunciations.
        pool: N pronunciations.
        count: how many neighbours to return, >= 1.
        workers: threads for the comparison, -1 for all cores.

    Returns:
        (indices int64 [Q, count] into the pool, distances float32 [Q, count]), nearest first.
        Where the pool has fewer entries to offer, the index is -1 and the distance infinite.

    Raises:
        TextError: `count` is below 1 or a symbol is not in the phoneme inventory.
    """
    _check_count(count)
    query_strings = [_encode(query) for query in queries]
    pool_strings = [_encode(entry) for entry in pool]
    indices = np.full((len(query_strings), count), -1, np.int64)
    distances = np.full((len(query_strings), count), np.inf, np.float32)
    if not pool_strings:
        return indices, distances
    step = max(1, _CELLS_AT_ONCE // len(pool_strings))
    for start in range(0, len(query_strings), step):
        block = _distances(query_strings[start : start + step], pool_strings, workers)
        for row, row_distances in enumerate(block, start):
            _keep_nearest(row_distances, None, indices[row], distances[row])
    return indices, distances


class PhoneIndex:
    """Nearest neighbours by phone distance inside one big pool, fast.

    Each pronunciation becomes its counts of phones and phone pairs (word ends included), projected
    by a fixed random +-1 matrix to 64 numbers; one matrix product finds some hundred candidates for
    a query, and their exact phone distance ranks them. All numbers before the ranking are small
    integers, so the answer does not depend on the number of threads.

    Args:
        pool: N pronunciations (ARPAbet symbols).
        candidates: how many entries a query is compared with exactly; more is slower and nearer to
            the exact answer.
        dimensions: size of the projection.
        seed: seed of the projection; a fixed default, so that every run ranks alike.

    Raises:
        TextError: a symbol is not in the phoneme inventory.

    Source: random projection of n-gram profiles, chosen.
    """

    def __init__(
        self,
        pool: Sequence[Sequence[str]],
        *,
        candidates: int = 512,
        dimensions: int = 64,
        seed: int = 20240229,
    ) -> None:
        self._strings = [_encode(entry) for entry in pool]
        self._candidates = candidates
        rng = np.random.default_rng(seed)
        pairs = (NUM_PHONES + 1) ** 2
        projection = rng.choice(np.float32([-1, 1]), size=(NUM_PHONES + pairs, dimensions))
        # A shuffled order, so that the first columns are a fair sample of all scores.
        self._order = rng.permutation(len(self._strings))
        self._rank = np.argsort(self._order)
        vectors = _project([self._strings[row] for row in self._order], projection)
        half_norms = 0.5 * np.sum(vectors * vectors, axis=1, keepdims=True)
        self._vectors = vectors
        self._keys = np.ascontiguousarray(np.concatenate([vectors, -half_norms], axis=1).T)

    def __len__(self) -> int:
        """Returns the number of pronunciations in the pool."""
        return len(self._strings)

    def nearest(self, query_rows: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the nearest pool entries of some rows of the pool, never at distance 0.

        Args:
            query_rows: integers [Q], rows of the pool.
            count: how many neighbours to return, >= 1.

        Returns:
            (indices int64 [Q, count] into the pool, distances float32 [Q, count]), nearest first;
            the index is -1 and the distance infinite where fewer were found.

        Raises:
            TextError: `count` is below 1 or a row is outside the pool.
        """
        _check_count(count)
        rows = np.asarray(query_rows, np.int64).reshape(-1)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise TextError(
                f"A query row is outside the pool. Expected: 0 to {len(self) - 1}. "
                f"Received: {rows.min()} to {rows.max()}."
            )
        indices = np.full((len(rows), count), -1, np.int64)
        distances = np.full((len(rows), count), np.inf, np.float32)
        wanted = max(self._candidates, 4 * count)
        step = max(1, _CELLS_AT_ONCE // max(1, len(self)))
        for start in range(0, len(rows), step):
            queries = self._vectors[self._rank[rows[start : start + step]]]
            ones = np.ones((len(queries), 1), np.float32)
            scores = np.concatenate([queries, ones], axis=1) @ self._keys
            for offset, row_scores in enumerate(scores):
                row = start + offset
                near = np.sort(self._order[_best(row_scores, wanted)])
                exact = _distances(
                    [self._strings[rows[row]]], [self._strings[index] for index in near], 1
                )
                _keep_nearest(exact[0], near, indices[row], distances[row])
        return indices, distances


def _check_count(count: int) -> None:
    if count < 1:
        raise TextError(f"Too few neighbours asked for. Expected: 1 or more. Received: {count}.")


def _distances(queries: list[str], pool: list[str], workers: int) -> np.ndarray:
    """Phone distances float32 [Q, N] between encoded pronunciations."""
    return process.cdist(
        queries, pool, scorer=Levenshtein.normalized_distance, dtype=np.float32, workers=workers
    )


def _keep_nearest(
    row_distances: np.ndarray, labels: np.ndarray | None, indices: np.ndarray, distances: np.ndarray
) -> None:
    """Writes the least distances above 0 and their labels (else positions) into the outputs."""
    usable = np.flatnonzero(row_distances > 0)
    count = len(indices)
    if len(usable) > count:
        limit = np.partition(row_distances[usable], count - 1)[count - 1]
        usable = usable[row_distances[usable] <= limit]
    best = usable[np.argsort(row_distances[usable], kind="stable")[:count]]
    indices[: len(best)] = best if labels is None else labels[best]
    distances[: len(best)] = row_distances[best]


def _best(scores: np.ndarray, wanted: int) -> np.ndarray:
    """Positions of about the `wanted` highest scores, by a threshold read off a sample."""
    if len(scores) <= 2 * wanted:
        return np.arange(len(scores))
    sample = scores[: max(len(scores) // _SAMPLE_FRACTION, 1)]
    # Half as many again, so that the sample's luck seldom leaves too few.
    place = min(len(sample) - 1, max(1, 3 * wanted * len(sample) // (2 * len(scores))))
    threshold = np.partition(sample, len(sample) - place - 1)[len(sample) - place - 1]
    best = np.flatnonzero(scores >= threshold)
    if wanted <= len(best) <= 4 * wanted:
        return best
    return np.argpartition(scores, len(scores) - wanted)[len(scores) - wanted :]


def _project(strings: list[str], projection: np.ndarray) -> np.ndarray:
    """Sums the projection rows of each pronunciation's phones and phone pairs: float32 [N, d]."""
    vectors = np.zeros((len(strings), projection.shape[1]), np.float32)
    for start in range(0, len(strings), _TEXTS_AT_ONCE):
        block = strings[start : start + _TEXTS_AT_ONCE]
        lengths = np.array([len(text) for text in block])
        # Every text is followed by one boundary mark, which also opens the next text's first pair.
        mark = chr(_FIRST_CHARACTER + NUM_PHONES)
        joined = mark + mark.join(block) + mark
        codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32).astype(np.int64)
        codes = codes - _FIRST_CHARACTER
        pairs = NUM_PHONES + codes[:-1] * (NUM_PHONES + 1) + codes[1:]
        owners = np.repeat(np.arange(len(block)), lengths + 1)
        phones = codes[1:] < NUM_PHONES
        flat = np.concatenate([pairs, codes[1:][phones]])
        rows = np.concatenate([owners, owners[phones]])
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], np.arange(len(block)))
        vectors[start : start + len(block)] = np.add.reduceat(projection[flat[order]], starts)
    return vectors
