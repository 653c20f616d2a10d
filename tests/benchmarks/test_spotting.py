"""The benchmark of detection, on a small model and a few seconds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from adml.benchmarks import spotting
from adml.cli import main
from adml.errors import UsageError


def test_counts_are_measured_in_processes_of_one_core(tiny_export):
    before = os.sched_getaffinity(0)
    rows = spotting.spotting_benchmark(tiny_export, counts=(1, 20), seconds=3.0)
    assert [row["keywords"] for row in rows] == [1, 20]
    for row in rows:
        assert row["times_real_time"] == pytest.approx(3.0 / row["cpu_seconds"])
        assert row["clip_ms"] > 0 and row["peak_mb"] > row["audio_mb"] >= 0
    table = spotting.format_spotting(rows).splitlines()
    assert len(table) == 4 and table[3].startswith("| 20 | ")
    assert os.sched_getaffinity(0) == before  # this process was left alone


def test_the_command(monkeypatch, capsys, tmp_path):
    asked = []
    rows = [{"keywords": 1, "times_real_time": 50.2, "peak_mb": 500.4, "audio_mb": 1.0,
             "clip_ms": 6.25}]  # fmt: skip
    monkeypatch.setattr(
        spotting, "spotting_benchmark",
        lambda model, *, seconds: asked.append((model, seconds)) or rows,
    )  # fmt: skip
    record = tmp_path / "spotting.json"
    given = ["benchmark", "--spotting", "model", "--minutes", "2", "--record", str(record)]
    assert main(given) == 0
    assert "| 1 | 50 | 500 | 1 | 6.2 |" in capsys.readouterr().out
    assert asked == [(Path("model"), 120.0)]
    assert json.loads(record.read_text())["values"] == rows
    assert main(["benchmark", "--spotting"]) == 0 and asked[1] == (None, 3600.0)


def test_what_cannot_be_measured_is_told(tmp_path):
    with pytest.raises(UsageError, match="There is no export"):
        spotting.spotting_benchmark(tmp_path, counts=(1,), seconds=1.0)
    for name in ("acoustic", "text"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="1 keywords could not be measured: .*is damaged"):
        spotting.spotting_benchmark(tmp_path, counts=(1,), seconds=1.0)
