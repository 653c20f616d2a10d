"""Warnings on pencil-sized series: said when they should be, once, and not before."""

from __future__ import annotations

import csv
import logging
import math

import numpy as np
import pytest

from adml.training.anomalies import (
    ROWS,
    alignment_figures,
    flat_alignment,
    idle_adversary,
    runaway_constant,
    stuck_loss,
)
from adml.training.watch import Watch


def test_a_loss_that_does_not_move():
    assert "has been 3.5 for 20 rows" in stuck_loss([9.0] + [3.5] * ROWS)
    assert stuck_loss([3.5] * (ROWS - 1)) is None, "too few to tell"
    assert stuck_loss([3.5] * (ROWS - 1) + [3.5001]) is None
    assert stuck_loss([3.5 + 0.01 * n for n in range(ROWS)]) is None


def test_an_adversary_that_hides_nothing():
    assert "99.9 % of the phoneme" in idle_adversary("phoneme", [0.5] + [0.9991] * ROWS)
    assert idle_adversary("phoneme", [1.0] * (ROWS - 1) + [0.9989]) is None
    assert idle_adversary("phoneme", [1.0] * (ROWS - 1)) is None


def test_figures_of_an_alignment_by_pencil():
    """A clip whose phonemes share no frame, one whose rows are flat, and one that has one row."""
    apart = [[1.0, 0, 0, 0], [0, 1.0, 0, 0]]
    flat = [[0.25] * 4, [0.25] * 4]
    figures = alignment_figures(np.array([apart]), np.array([2]), np.array([4]))
    assert figures == pytest.approx((0.5, 0.0))
    assert alignment_figures(np.array([flat]), [2], [4]) == pytest.approx((0.0, 1.0))
    both = alignment_figures(np.array([apart, flat]), [2, 2], [4, 4])
    assert both == pytest.approx((0.25, 0.5))
    padded = np.array([[[0.5, 0.5, 9], [1.0, 0, 9], [9, 9, 9]], [[1, 0, 0], [9, 9, 9], [9, 9, 9]]])
    entropy = (math.log(2) + 0) / 2 / math.log(2)
    assert alignment_figures(padded, [2, 1], [2, 3]) == pytest.approx((0.25, entropy))
    assert all(map(math.isnan, alignment_figures(np.array([flat]), [1], [4])))


@pytest.mark.parametrize(
    ("difference", "entropy", "words"),
    [(0.5, 0.3, None), (0.01, 0.99, "all frames alike"), (0.0, 0.0, "the same few frames"),
     (math.nan, math.nan, None)],
)  # fmt: skip
def test_an_alignment_that_has_collapsed(difference, entropy, words):
    text = flat_alignment(difference, entropy)
    assert text is None if words is None else words in text


@pytest.mark.parametrize(
    ("name", "first", "now", "said"),
    [("beta", 1.5, 149.0, False), ("beta", 1.5, 151.0, True), ("alpha", 0.01, 99.0, False),
     ("alpha", 0.01, -101.0, True), ("lambda", 0.01, 1.9, False), ("lambda", 0.01, -2.1, True)],
)  # fmt: skip
def test_constants_that_run_away(name, first, now, said):
    text = runaway_constant(name, first, now)
    assert (text is not None) == said and (not said or f"{name} has gone from" in text)


def row(step: int, total: float, accuracy: float = 1.0) -> dict[str, float]:
    return {"step": step, "total": total, "modality_accuracy_utterance": accuracy}


def kinds(folder) -> list[tuple[str, str]]:
    with (folder / "warnings.csv").open(newline="") as file:
        return [(row["step"], row["kind"]) for row in csv.DictReader(file)]


def test_each_is_said_once_a_run(tmp_path, caplog):
    watch = Watch(tmp_path, start_step=0)
    for step in range(1, 2 * ROWS + 1):
        watch.row(row(step, total=7.0 if step > 5 else step))
        watch.constants(step, {"beta": np.array([1.0, 1.0 if step < 9 else 500.0])})
    assert kinds(tmp_path) == [
        ("9", "constant_beta"), ("20", "modality_utterance"), ("25", "loss"),
    ]  # fmt: skip
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 3
    assert "Step 25: The loss has been 7" in caplog.text and "learning_rate" in caplog.text


@pytest.mark.parametrize("start_step", [10, 20, 22])
def test_a_resumed_run_says_the_same(tmp_path, start_step):
    """Killed after step 30, it goes on from a checkpoint; what was said later is said anew."""
    lines = ["step,total,modality_accuracy_utterance"]
    watch = Watch(tmp_path, start_step=0)
    for step in range(1, 31):
        watch.row(row(step, total=7.0 if step > 5 else step))
        lines += [f"{step},{7.0 if step > 5 else step},1"] if step <= start_step else []
    whole = kinds(tmp_path)
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    watch = Watch(tmp_path, start_step=start_step)
    for step in range(start_step + 1, 31):
        watch.row(row(step, total=7.0))
    assert kinds(tmp_path) == whole == [("20", "modality_utterance"), ("25", "loss")]
