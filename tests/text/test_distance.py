"""Phone distance against a table of the textbook recursion, and neighbours against brute force."""

from __future__ import annotations

import time

import numpy as np
import pytest

from adml.errors import TextError
from adml.text.distance import PhoneIndex, nearest, phone_distance
from adml.text.phonemes import PHONES, SYMBOLS, strip_stress


def edit_distance(a, b):
    """The textbook table, in plain loops."""
    table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
            )
    return table[-1][-1]


def random_pool(size, rng, syllables=60):
    """Phrases of a few syllables each, so that many of them are alike."""
    parts = [list(rng.choice(SYMBOLS, rng.integers(2, 5))) for _ in range(syllables)]
    return [
        sum((parts[index] for index in rng.integers(0, syllables, rng.integers(1, 6))), [])
        for _ in range(size)
    ]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("K AE1 T", "K AE1 T", 0.0),
        ("K AE1 T", "K AE0 T", 0.0),  # stress does not count
        ("K AE1 T", "B AE1 T", 1 / 3),
        ("K AE1 T", "K AE1 T S", 1 / 4),
        ("K AE1 T", "SH OW1", 1.0),
        ("K AE1 T", "", 1.0),
        ("", "", 0.0),
    ],
)
def test_pencil_cases(a, b, expected):
    assert phone_distance(a.split(), b.split()) == pytest.approx(expected)
    assert phone_distance(b.split(), a.split()) == pytest.approx(expected)


def test_word_boundaries_do_not_count():
    assert phone_distance(["K", " ", "AE1"], ["K", "AE1"]) == 0.0


def test_equals_the_textbook_recursion():
    rng = np.random.default_rng(0)
    pool = random_pool(40, rng)
    for a, b in zip(pool[::2], pool[1::2], strict=True):
        stripped = [[strip_stress(symbol) for symbol in entry] for entry in (a, b)]
        expected = edit_distance(*stripped) / max(len(a), len(b))
        assert phone_distance(a, b) == pytest.approx(expected)


def test_an_unknown_phoneme_is_named():
    with pytest.raises(TextError, match="'XX'"):
        phone_distance(["XX"], ["K"])


def test_nearest_is_brute_force_without_the_zeros():
    rng = np.random.default_rng(1)
    pool = random_pool(120, rng)
    pool.append(list(pool[0]))  # a homophone must not come back either
    indices, distances = nearest(pool[:10], pool, 5, workers=2)
    assert indices.shape == distances.shape == (10, 5)
    for row in range(10):
        every = np.float32([phone_distance(pool[row], entry) for entry in pool])
        ranked = sorted((value, index) for index, value in enumerate(every) if value > 0)[:5]
        np.testing.assert_allclose(distances[row], [value for value, _ in ranked], atol=1e-6)
        assert indices[row].tolist() == [index for _, index in ranked]


def test_too_small_a_pool_is_padded():
    indices, distances = nearest([["K"]], [["K"], ["T"]], 3)
    assert indices.tolist() == [[1, -1, -1]]
    assert distances[0].tolist() == [1.0, np.inf, np.inf]
    indices, _ = nearest([["K"]], [], 2)
    assert indices.tolist() == [[-1, -1]]
    indices, _ = PhoneIndex([["K"], ["T"]]).nearest([0], 2)
    assert indices.tolist() == [[1, -1]]


def test_the_index_is_exact_on_a_small_pool():
    pool = random_pool(300, np.random.default_rng(2))
    rows = [5, 0, 299, 5]
    exact = nearest([pool[row] for row in rows], pool, 7)
    found = PhoneIndex(pool).nearest(rows, 7)
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_array_equal(found[1], exact[1])


def test_the_index_is_near_exact_and_fast_on_a_big_pool():
    rng = np.random.default_rng(3)
    pool = random_pool(20_000, rng, syllables=400)
    index = PhoneIndex(pool)
    rows = rng.choice(len(pool), 64, replace=False)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        indices, distances = index.nearest(rows, 4)
        seconds.append(time.perf_counter() - start)
    exact_indices, exact = nearest([pool[row] for row in rows], pool, 4)
    assert len(index) == len(pool)
    assert np.all(distances > 0) and np.all(np.diff(distances, axis=1) >= 0)
    assert np.mean(distances[:, 0] == exact[:, 0]) > 0.85
    assert distances.mean() < exact.mean() + 0.03
    best = zip(rows, indices[:, 0], strict=True)
    recomputed = [phone_distance(pool[row], pool[near]) for row, near in best]
    np.testing.assert_allclose(distances[:, 0], recomputed, atol=1e-6)
    assert min(seconds) < 1.0  # generous: tens of milliseconds on an idle core


def test_the_index_answers_the_same_each_time_and_query_by_query():
    pool = random_pool(3000, np.random.default_rng(4))
    rows = np.arange(12)
    first = PhoneIndex(pool, candidates=200).nearest(rows, 6)
    second = PhoneIndex(pool, candidates=200)
    np.testing.assert_array_equal(first[0], second.nearest(rows, 6)[0])
    for row in rows:
        np.testing.assert_array_equal(first[0][row], second.nearest([row], 6)[0][0])


def test_an_empty_pronunciation_does_no_harm():
    pool = [[], ["K", "AE1"], ["K"], []]
    indices, _ = PhoneIndex(pool).nearest([2, 0], 2)
    assert indices[0].tolist() == [1, 0]
    assert indices[1].tolist() == [1, 2]


def test_wrong_calls_are_clear():
    index = PhoneIndex([[phone] for phone in PHONES if phone not in ("AA",)])
    with pytest.raises(TextError, match="outside the pool. Expected: 0 to 37. Received: 38 to 38"):
        index.nearest([38], 1)
    with pytest.raises(TextError, match="Expected: 1 or more. Received: 0"):
        index.nearest([0], 0)
    with pytest.raises(TextError, match="Expected: 1 or more"):
        nearest([["K"]], [["K"]], 0)
    assert index.nearest([], 3)[0].shape == (0, 3)
