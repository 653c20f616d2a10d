"""The benchmark of the input measures batches as they are configured."""

from __future__ import annotations

import pytest

from adml.benchmarks.batches import format_input_benchmark, input_benchmark
from adml.config import load_config


def test_clean_and_configured_batches_are_made(tiny_overrides, speech_cache):
    slowed = ["augmentation.speed_probability=1", "augmentation.speed_range=[0.5, 0.5]"]
    config = load_config(None, [*tiny_overrides, *slowed])
    values = input_benchmark(config, speech_cache, batches=4)
    assert set(values) == {"clean", "configured"}
    for row in values.values():
        assert row["per_second"] > 0 and row["per_cpu_second"] > 0
    # what is configured was done: at half the speed an utterance is twice as long
    ratio = values["configured"]["seconds"] / values["clean"]["seconds"]
    assert ratio == pytest.approx(2.0, rel=0.02)


def test_the_line_tells_how_many_times_the_step():
    row = {"per_second": 1000.0, "per_cpu_second": 600.0, "seconds": 0.5}
    line = format_input_benchmark({"clean": row}, 125.0)
    assert "1000 utterances of 0.50 s" in line and "8.0 times" in line
