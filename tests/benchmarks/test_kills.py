"""Killed and resumed is the straight run, and the comparison sees it where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adml.benchmarks import kills
from adml.benchmarks.kills import _compare, _same, format_kill_benchmark, kill_benchmark
from adml.benchmarks.record import read_benchmark
from adml.errors import NumericError

STAND_IN = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import numpy as np, tensorflow as tf
from adml.training.checkpoint import Checkpoints
from adml.training.log import MetricsLog
from adml.training.loop import Plan, run_loop
from adml.training.progress import Progress
folder = Path(sys.argv[2])
folder.mkdir(exist_ok=True)
module = tf.Module()
module.value, module.large = tf.Variable(1.0), tf.Variable(tf.zeros([1 << 22]))
checkpoints = Checkpoints(folder / "checkpoints", model=module)
start = checkpoints.restore_latest()
def step(batch, fraction):
    time.sleep(0.01)
    module.value.assign(module.value * 0.9 + float(batch["waveform"].sum()))
    return {"total": float(module.value)}
def dataset(first, last):
    return ({"waveform": np.random.default_rng(n).normal(size=3)} for n in range(first, last))
source = SimpleNamespace(batches_per_epoch=4, dataset=dataset)
log = MetricsLog(folder, start_step=start)
plan = Plan(STEPS, log_every_steps=1, checkpoint_every_steps=2)
progress = Progress(checkpoints.restored)
run_loop(step, source, checkpoints, log, plan, start_step=start, progress=progress)
log.close()
"""


def test_killed_twice_within_a_save(monkeypatch):
    """With a stand-in for the step; loop, log and checkpoints are those of a training."""
    monkeypatch.setattr(kills, "_TRAIN", STAND_IN.replace("STEPS", "24"))
    monkeypatch.setattr(kills, "make_noise_corpus", lambda place, seed: place)
    values = kill_benchmark(2, steps=24)
    assert (values["killed"], values["within_a_save"]) == (2, 2)
    assert (values["tensors"], values["rows"]) == (2, 24)
    assert "killed 2 times in 24 steps, 2 of them within a save" in format_kill_benchmark(values)


def test_other_bits_are_seen(monkeypatch, tmp_path):
    assert _same(np.float32(0.0), np.float32(0.0)) and not _same(np.float32(0.0), np.float32(-0.0))
    states = {"killed": {"a": np.ones(2)}, "straight": {"a": np.ones(2)}}
    monkeypatch.setattr(kills, "_state", lambda folder, step: states[folder.name])
    for name in states:
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(f"step,total,seconds\n1,2,{len(name)}\n")
    given = (tmp_path / "straight", tmp_path / "killed", 1)
    assert _compare(*given) == {"tensors": 1, "rows": 1}
    states["killed"]["a"] = np.nextafter(np.ones(2), 2)
    with pytest.raises(NumericError, match="others in 1, such as .'a'"):
        _compare(*given)
    states["killed"] = states["straight"]
    (tmp_path / "killed" / "metrics.csv").write_text("step,total,seconds\n1,3,0\n")
    with pytest.raises(NumericError, match="metrics.csv"):
        _compare(*given)


def test_a_training_that_fails_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(kills, "_TRAIN", "raise SystemExit('no speech')")
    with pytest.raises(NumericError, match="straight training ended by 1.*no speech"):
        kills._finish(tmp_path, "straight")


def test_what_is_recorded_is_what_is_claimed():
    root = Path(__file__).resolve().parents[2]
    record = read_benchmark(root / "experiments/benchmarks/kills.json")
    assert not record["dirty"]
    values = record["values"]
    within = sum(one["half_written"] for one in values["kills"])
    assert values["killed"] == len(values["kills"]) and values["within_a_save"] == within
    told = f"{values['killed']} kills, {within} of them within a save, {values['tensors']} tensors"
    assert told in (root / "README.md").read_text(encoding="utf-8")
