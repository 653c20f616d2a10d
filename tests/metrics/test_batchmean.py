"""The mean of the batches' equal error rates against loops over thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import DataError, UsageError
from adml.metrics import equal_error_rate
from adml.metrics.batchmean import eer_batchmean


def eer_of_loops(labels, scores) -> float:
    """(FPR + FNR) / 2 at the highest threshold where the two are nearest."""
    best = None
    for threshold in [max(scores) + 1, *sorted(set(scores), reverse=True)]:
        false = sum(s >= threshold and not y for s, y in zip(scores, labels, strict=True))
        missed = sum(s < threshold and y for s, y in zip(scores, labels, strict=True))
        rates = false / (len(labels) - sum(labels)), missed / sum(labels)
        if best is None or abs(rates[0] - rates[1]) < abs(best[0] - best[1]) - 1e-12:
            best = rates
    return sum(best) / 2


@pytest.mark.parametrize("batch_size", [7, 20, 64, 1000])
def test_equals_loops(batch_size):
    generator = np.random.default_rng(batch_size)
    labels = np.tile([1, 0, 0], 50)
    scores = np.round(labels + generator.normal(size=150), 1)
    expected = []
    for start in range(0, 150, batch_size):
        batch = slice(start, start + batch_size)
        expected.append(eer_of_loops(labels[batch].tolist(), scores[batch].tolist()))
    made = eer_batchmean(labels, scores, batch_size)
    assert made == pytest.approx(sum(expected) / len(expected), abs=1e-12)


def test_is_another_figure_than_the_pooled_one():
    labels, scores = [1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]
    assert eer_batchmean(labels, scores, 2) == 0
    assert equal_error_rate(labels, scores) == 0.5
    assert eer_batchmean(labels, scores, 4) == 0.5


def test_what_cannot_be_scored_is_told():
    with pytest.raises(DataError, match=r"Batch 1 \(from trial 2\).*both classes"):
        eer_batchmean([1, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], 2)
    with pytest.raises(DataError, match="one length"):
        eer_batchmean([1, 0, 1], [1.0, 2.0], 2)
    with pytest.raises(DataError, match="Batch 0"):
        eer_batchmean([], [], 2)
    with pytest.raises(UsageError, match="2 trials or more"):
        eer_batchmean([1, 0], [1.0, 0.0], 1)
