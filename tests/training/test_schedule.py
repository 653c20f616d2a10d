"""Learning rate and margin at steps that can be checked by hand."""

from __future__ import annotations

import math

import pytest

from adml.training.schedule import learning_rate_schedule, margin_fraction


def test_the_papers_rate_is_halved_every_twenty_epochs():
    rate = learning_rate_schedule(
        "halving", learning_rate=1e-4, total_steps=1000, steps_per_epoch=10
    )
    assert float(rate(0)) == pytest.approx(1e-4)
    assert float(rate(199)) == pytest.approx(1e-4)
    assert float(rate(200)) == pytest.approx(0.5e-4)
    assert float(rate(999)) == pytest.approx(1e-4 / 16)


def test_cosine_ends_at_zero():
    rate = learning_rate_schedule("cosine", learning_rate=2e-3, total_steps=100, steps_per_epoch=7)
    assert float(rate(0)) == pytest.approx(2e-3)
    assert float(rate(50)) == pytest.approx(1e-3, rel=1e-5)
    assert float(rate(25)) == pytest.approx(1e-3 * (1 + math.cos(math.pi / 4)), rel=1e-5)
    assert float(rate(100)) == pytest.approx(0.0, abs=1e-9)


def test_warmup_rises_linearly():
    rate = learning_rate_schedule(
        "halving", learning_rate=1.0, total_steps=100, steps_per_epoch=100, warmup_steps=4
    )
    assert [float(rate(step)) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_an_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="halving or cosine.*'step'"):
        learning_rate_schedule("step", learning_rate=1.0, total_steps=1, steps_per_epoch=1)


@pytest.mark.parametrize(
    "epoch, expected", [(0, 0), (10, 0), (15, 0.25), (20, 0.5), (30, 1), (99, 1)]
)
def test_the_margin_rises_from_epoch_10_to_30(epoch, expected):
    assert margin_fraction(epoch, start_epoch=10, end_epoch=30) == expected


def test_a_ramp_of_no_length_is_a_step():
    assert [margin_fraction(e, start_epoch=2, end_epoch=2) for e in (1.9, 2.0)] == [0.0, 1.0]
