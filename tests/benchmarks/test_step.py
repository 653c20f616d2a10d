"""The benchmark of the whole step measures what it says, on a small batch."""

from __future__ import annotations

import pytest

from adml.benchmarks.step import format_step_benchmark, step_benchmark


def test_the_share_is_that_of_the_two_rates(thin_encoders):
    values = step_benchmark(4, rounds=1, steps=1)
    assert values["batch_size"] == 8
    assert values["share"] == pytest.approx(values["step"] / values["encoder"])
    assert 0.3 < values["seconds"] < 1.5
    assert values["step_per_second"] > 0
    assert 0 <= values["wait_fraction"] <= 1
    assert f"{values['share']:.0%}" in format_step_benchmark(values)
