"""The benchmark of the keyword classifier: two ways, one loss, memory of each its own."""

from __future__ import annotations

import pytest

from adml.benchmarks import classifier
from adml.benchmarks.classifier import (
    classifier_benchmark,
    format_classifier_benchmark,
)
from adml.errors import NumericError


@pytest.fixture(scope="module")
def rows():
    return classifier_benchmark([6000], batch_size=300, chunk=500, steps=1)


def test_chunks_take_less_memory_for_the_same_loss(rows):
    (row,) = rows
    assert row["chunked"]["loss"] == pytest.approx(row["whole"]["loss"], rel=1e-4)
    assert 0 < row["chunked"]["peak_mb"] < 0.7 * row["whole"]["peak_mb"]
    assert row["whole"]["seconds"] > 0
    assert "6,000" in format_classifier_benchmark(rows)


def test_a_size_that_does_not_fit_is_told(monkeypatch):
    made = {"seconds": 1.0, "peak_mb": 5.0, "loss": 2.0}
    monkeypatch.setattr(
        classifier, "_in_a_process", lambda count, size, chunk, steps: None if chunk > 10 else made
    )
    rows = classifier_benchmark([20], chunk=10)
    assert rows[0]["whole"] is None and rows[0]["chunked"] == made
    assert "out of memory" in format_classifier_benchmark(rows)


def test_losses_that_differ_are_an_error(monkeypatch):
    monkeypatch.setattr(
        classifier, "_in_a_process", lambda count, size, chunk, steps: {"loss": float(chunk)}
    )
    with pytest.raises(NumericError, match="losses differ"):
        classifier_benchmark([20], chunk=10)
