"""What a classification confuses: the worst words and the most frequent confusions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def count_confusions(truth: np.ndarray, chosen: np.ndarray, num_words: int) -> np.ndarray:
    """Confusion matrix, int64 [C, C]: true word by chosen word.

    Args:
        truth: [n] index of each clip's word.
        chosen: [n] index of the word it was given.
        num_words: C.
    """
    confusions = np.zeros((num_words, num_words), dtype=np.int64)
    np.add.at(confusions, (truth, chosen), 1)
    return confusions


def mean_word_accuracy(confusions: np.ndarray) -> float:
    """Mean over the words that occur of each word's accuracy."""
    sizes = confusions.sum(axis=1)
    present = sizes > 0
    return float((np.diag(confusions)[present] / sizes[present]).mean())


def worst_words(confusions: np.ndarray, words: Sequence[str], count: int) -> list[dict]:
    """The words with the lowest accuracy, worst first.

    Args:
        confusions: [C, C] counts, true word by chosen word.
        words: the C words.
        count: how many.

    Returns:
        One {"word", "accuracy", "n", "taken_for"} each.
    """
    sizes = confusions.sum(axis=1)
    present = np.flatnonzero(sizes)
    accuracy = np.diag(confusions)[present] / sizes[present]
    found = []
    for index in np.argsort(accuracy, kind="stable")[:count]:
        row = confusions[present[index]].copy()
        row[present[index]] = 0
        found.append(
            {
                "word": words[present[index]],
                "accuracy": float(accuracy[index]),
                "n": int(sizes[present[index]]),
                "taken_for": words[int(row.argmax())] if row.any() else None,
            }
        )
    return found


def top_confusions(confusions: np.ndarray, words: Sequence[str], count: int) -> list[dict]:
    """The most frequent confusions: one {"word", "taken_for", "n"} each, most frequent first."""
    wrong = confusions.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(index, wrong.shape) for index in order]
    return [
        {"word": words[true], "taken_for": words[chosen], "n": int(wrong[true, chosen])}
        for true, chosen in pairs
        if wrong[true, chosen] > 0
    ]
