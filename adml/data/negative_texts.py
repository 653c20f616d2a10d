"""Texts of a batch that an utterance does not say, for losses that judge pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adml.errors import DataError
from adml.text.distance import nearest
from adml.text.phonemes import to_classes


def draw_negatives(
    rng: np.random.Generator, symbols: Sequence[Sequence[str]], count: int
) -> np.ndarray:
    """For each text of a batch, other texts of it: the nearest by sound, then random ones.

    Args:
        rng: of the random ones.
        symbols: K pronunciations.
        count: n, below K.

    Returns:
        int64 [K, n], places in the batch; those of a row differ, and none sounds as the text does
        (stress ignored).

    Raises:
        DataError: a text has fewer than n others that sound different.

    Source:
        chosen: one confusable text, which teaches detail, and random ones as in an easy trial.
    """
    nearest_place, _ = nearest(symbols, symbols, 1)
    sounds = [tuple(to_classes(text)) for text in symbols]
    chosen = np.empty((len(symbols), count), np.int64)
    for row, (first,) in enumerate(nearest_place.tolist()):
        others = [
            place
            for place in rng.permutation(len(symbols)).tolist()
            if place != first and sounds[place] != sounds[row]
        ]
        if first < 0 or len(others) < count - 1:
            raise DataError(
                f"A batch has too few different texts for its negatives. Expected: {count} that "
                f"sound unlike {' '.join(symbols[row])}. Received: {len(others) + (first >= 0)}."
            )
        chosen[row] = [first, *others[: count - 1]]
    return chosen
