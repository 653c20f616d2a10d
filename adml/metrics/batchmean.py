"""The mean of equal error rates of batches: another figure than the equal error rate of all trials.

It depends on the batches' size and order, so it stands in no record; it is here to be set beside
figures that were published of it.
"""

from __future__ import annotations

import numpy as np

from adml.errors import DataError, UsageError
from adml.metrics.verification import equal_error_rate

__all__ = ["eer_batchmean"]


def eer_batchmean(labels: np.ndarray, scores: np.ndarray, batch_size: int) -> float:
    """Mean of the equal error rates of consecutive batches, each of its own threshold.

        mean over b of EER(labels[b S : (b + 1) S], scores[b S : (b + 1) S])

    The last batch may be shorter and counts as much as the others.

    Args:
        labels: [N], 1 or true for a match, in the order the batches were made in.
        scores: [N], higher for a match.
        batch_size: S, trials of a batch.

    Returns:
        A fraction in [0, 1].

    Raises:
        UsageError: the batch size is below 2.
        DataError: a batch cannot be scored; it has one class only, for example.

    Source: what the published code of PhonMatchNet (Lee and Cho, 2023) accumulates, over shuffled
    batches of 2048 trials a device.
    """
    if batch_size < 2:
        raise UsageError(
            "A batch is too small for an error rate. Expected: 2 trials or more. "
            f"Received: {batch_size}."
        )
    labels, scores = np.asarray(labels), np.asarray(scores)
    rates = []
    for start in range(0, max(len(labels), len(scores), 1), batch_size):
        batch = slice(start, start + batch_size)
        try:
            rates.append(equal_error_rate(labels[batch], scores[batch]))
        except DataError as error:
            raise DataError(
                f"Batch {len(rates)} (from trial {start}) cannot be scored. {error} Mix the "
                "trials, or take larger batches."
            ) from None
    return float(np.mean(rates))
