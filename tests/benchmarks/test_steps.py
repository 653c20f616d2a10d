"""Steps of several kinds and sizes: what is asked of each process, and what is made of it."""

from __future__ import annotations

import os
import subprocess

import pytest

from adml.benchmarks import steps
from adml.benchmarks.steps import format_kinds, format_sizes, kinds_benchmark, sizes_benchmark
from adml.errors import DataError, UsageError


def answer(keywords: int, scale: float = 1.0) -> dict:
    """A step of 0.5 s, 0.01 s for a second of audio, and 2 s for a million cells."""
    audio, phonemes = 1.8 * keywords, 6.0 * keywords + 10
    taken = 0.5 + 0.01 * audio + 2 * (2 * phonemes**2 / 1e6)
    return {
        "seconds": [scale * taken, scale * taken * 1.1, scale * taken],
        "first_seconds": 9.0,
        "losses": [2.0 * scale, 1.0],
        "peak_mb": 800 + 3 * audio,
        "audio_seconds": audio,
        "text_phonemes": phonemes,
        "batch_size": 2 * keywords,
        "classes": 9,
    }


def test_the_model_is_fitted_to_three_sizes_and_foretells_the_others(monkeypatch):
    monkeypatch.setattr(steps, "_in_a_process", lambda asked, _: answer(asked["keywords"]))
    values = sizes_benchmark([64, 128, 250, 380, 500])
    assert values["fitted"] == [64, 250, 500]
    assert values["seconds_model"] == pytest.approx([0.5, 0.01, 2.0])
    assert values["mb_model"] == pytest.approx([800, 3, 0], abs=1e-6)
    for row in values["rows"]:
        assert row["predicted_seconds"] == pytest.approx(row["median_seconds"])
    table = format_sizes(values)
    assert "| 128 (not fitted) |" in table and "| 250 |" in table and len(table.splitlines()) == 7


def test_a_size_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(steps, "_in_a_process", lambda asked, _: {"error": "killed"})
    with pytest.raises(DataError, match="batch of 64 could not be measured: killed"):
        sizes_benchmark([64, 128, 250, 380, 500])


def test_kinds_are_compared_with_float32(monkeypatch):
    def run(asked, variables):
        if asked.get("xla"):
            return {"error": "does not compile"}
        made = answer(asked["keywords"], 1.5 if "autocast" in asked else 1.0)
        return made | ({"losses": [None, None]} if "encoder" in asked else {})

    monkeypatch.setattr(steps, "_in_a_process", run)
    rows = {row["kind"]: row for row in kinds_benchmark(64, rounds=2)}
    assert rows["float32"]["loss_difference"] == 0
    lowered = rows["bfloat16 (training.autocast)"]
    assert lowered["loss_difference"] == pytest.approx(0.5)
    assert lowered["seconds"] == pytest.approx(1.5 * rows["float32"]["seconds"])
    assert lowered["high"] == pytest.approx(1.1 * lowered["low"])
    assert rows["encoder alone"]["loss_difference"] is None
    table = format_kinds(list(rows.values()))
    assert "| the same, XLA | fails |" in table and "5.0e-01" in table


def test_a_process_has_its_arguments_and_environment(monkeypatch):
    seen = {}

    def run(command, env, **_):
        seen.update(command=command, env=env)
        return subprocess.CompletedProcess(command, 0, 'told\n{"seconds": [1]}\n', "")

    monkeypatch.setattr(subprocess, "run", run)
    assert steps._in_a_process({"keywords": 2}, {"A": "1"}) == {"seconds": [1]}
    assert seen["command"][-1] == '{"keywords": 2}' and seen["env"] == os.environ | {"A": "1"}
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nMemoryError: all of it\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert steps._in_a_process({}, {}) == {"error": "MemoryError: all of it"}


def test_a_small_measurement(thin_encoders, eagerly):
    with eagerly():
        found = steps.measure(2, 1)
    assert len(found["seconds"]) == 1 and len(found["losses"]) == 3
    assert found["first_seconds"] > 0 and found["seconds"][0] > 0
    assert found["batch_size"] == 4 and 1.0 < found["audio_seconds"] < 6.0
    assert found["peak_mb"] > 100 and found["classes"] > 100


@pytest.mark.parametrize("sizes", [(1, 8, 16, 32, 64), (64, 8, 64, 16, 32)])
def test_sizes_that_cannot_be_fitted_are_refused(sizes):
    with pytest.raises(UsageError, match=f"Received: {', '.join(map(str, sizes))}"):
        sizes_benchmark(sizes)
