"""The benchmark runs, and says what it measured."""

from __future__ import annotations

import functools

import pytest

from adml.benchmarks.encoder import drawn_benchmark, encoder_benchmark, format_benchmark
from adml.config import load_config
from adml.models.acoustic import AcousticEncoder


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    small = functools.partial(AcousticEncoder, channels=8, dilations=(2,), scale=2, bottleneck=4)
    monkeypatch.setattr("adml.benchmarks.encoder.AcousticEncoder", small)


def test_a_small_run():
    values = encoder_benchmark(4, num_frames=20, lengths="mixed", rounds=1, steps=1)
    assert values["ratio"] == pytest.approx(values["fast"] / values["plain"])
    assert values["batch_size"] == 4 and 0.2 < values["padding"] < 0.35
    assert {name: len(row) for name, row in values["rounds"].items()} == {"fast": 1, "plain": 1}
    table = format_benchmark({"mixed": values})
    assert "mixed" in table and f"{values['fast']:.1f}" in table


def test_unknown_lengths():
    with pytest.raises(ValueError, match="Expected: one of .* Received: 'long'"):
        encoder_benchmark(4, lengths="long")


def test_batches_of_a_configuration(tiny_overrides, speech_cache):
    config = load_config(None, tiny_overrides)
    values = drawn_benchmark(config, speech_cache, batch_size=6, rounds=1, batches=2)
    assert values["batch_size"] == 6 and len(values["ratios"]) == len(values["num_frames"]) == 2
    assert 0.0 < values["padding"] < 0.7
    assert values["ratio"] == pytest.approx(values["fast"] / values["plain"])
    assert "drawn" in format_benchmark({"drawn": values})
