"""The loop: what it feeds, writes and keeps; interrupted and resumed equals uninterrupted."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal

import numpy as np
import pytest
import tensorflow as tf

from adml.errors import DataError, NumericError
from adml.training.checkpoint import Checkpoints, read_arrays
from adml.training.log import MetricsLog, read_metrics
from adml.training.loop import Interrupted, Plan, run_loop
from adml.training.progress import Progress, Window, resident_mb

TIMINGS = {"seconds", "utterances_per_second", "wait_fraction", "memory_mb", "remaining_seconds"}


class SumStep:
    """Stands in for the training step: a variable that takes in every batch and margin."""

    def __init__(self, *, at: int | None = None, event=None):
        self.module = tf.Module()
        self.module.value = tf.Variable(1.0)
        self.fractions: list[float] = []
        self.at, self.event = at, event

    def __call__(self, batch, fraction: float) -> dict[str, float]:
        self.fractions.append(fraction)
        taken = float(np.abs(batch["waveform"]).mean()) * (1 + fraction) / 3
        if not math.isfinite(taken):
            return {"phoneme": taken, "total": 1.0}
        self.module.value.assign(self.module.value * 0.9 + taken)
        total = float(self.module.value)
        if len(self.fractions) == self.at:
            total = self.event() or total
        return {"phoneme": taken, "total": total}


def run(folder, step: SumStep, source, *, resume: bool = False, total_steps: int = 9, **plan):
    """One stretch of training in a folder, as an experiment does it."""
    checkpoints = Checkpoints(folder / "checkpoints", keep=2, model=step.module)
    start = checkpoints.restore_latest() if resume else 0
    log = MetricsLog(folder, start_step=start)
    progress = Progress(checkpoints.restored)
    plan = {"log_every_steps": 4, "checkpoint_every_steps": 100, **plan}
    try:
        run_loop(
            step,
            source,
            checkpoints,
            log,
            Plan(total_steps=total_steps, **plan),
            start_step=start,
            progress=progress,
        )
    finally:
        log.close()
    return checkpoints, progress


def rows(folder) -> list[dict[str, str]]:
    """metrics.csv without the columns that measure time."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: text for name, text in row.items() if name not in TIMINGS}
            for row in csv.DictReader(file)
        ]


@pytest.fixture
def whole(tmp_path, source):
    """A run of nine steps that nothing disturbed."""
    folder, step = tmp_path / "whole", SumStep()
    folder.mkdir()
    checkpoints, progress = run(folder, step, source)
    return folder, step, checkpoints, progress


def test_rows_hold_means_and_the_end(whole, source):
    folder, step, checkpoints, _ = whole
    metrics = read_metrics(folder / "metrics.csv")
    assert metrics["step"] == [4, 8, 9]
    assert metrics["epoch"] == [1, 2, 2.25]
    assert metrics["margin_fraction"] == [1, 1, 1]
    assert metrics["total"][-1] == pytest.approx(float(step.module.value), rel=1e-6)
    taken = [np.abs(source.batch(0, place)["waveform"]).mean() * 2 / 3 for place in range(4)]
    assert metrics["phoneme"][0] == pytest.approx(np.mean(taken), rel=1e-6)
    assert checkpoints.steps() == [9]


def test_rows_tell_memory_and_the_time_that_is_left(whole, caplog, tmp_path, source):
    metrics = read_metrics(whole[0] / "metrics.csv")
    left = [steps * seconds for steps, seconds in zip((5, 1, 0), metrics["seconds"], strict=True)]
    assert metrics["remaining_seconds"] == pytest.approx(left, rel=1e-6)
    now = resident_mb()
    assert all(now / 4 < memory < 4 * now for memory in metrics["memory_mb"])
    with caplog.at_level("INFO"):
        run(tmp_path, SumStep(), source)
    assert re.search(r"step 4/9 loss .* [\d]+ MB 0:00:\d\d left", caplog.text)


def test_the_memory_of_a_window_is_its_own():
    window = Window()
    before = resident_mb()
    taken = np.ones(2**24)
    window.add({}, 0.0, 1.0, 1)
    assert window.memory_mb > before + 0.8 * taken.nbytes / 2**20
    del taken
    window.add({}, 0.0, 1.0, 1)
    assert window.means(3)["memory_mb"] == window.memory_mb > Window().memory_mb


def test_same_seed_same_curve(whole, tmp_path, source):
    other = tmp_path / "other"
    other.mkdir()
    run(other, SumStep(), source)
    assert rows(other) == rows(whole[0])


@pytest.mark.parametrize("stop_step", [1, 4, 6])
def test_stopped_and_resumed_equals_uninterrupted(whole, tmp_path, source, stop_step):
    folder = tmp_path / "parts"
    folder.mkdir()
    checkpoints, _ = run(folder, SumStep(), source, stop_step=stop_step)
    assert checkpoints.steps() == [stop_step]
    step = SumStep()
    run(folder, step, source, resume=True)
    assert step.module.value.numpy() == whole[1].module.value.numpy()
    assert rows(folder) == rows(whole[0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_step_finish(whole, tmp_path, source, number, code):
    folder = tmp_path / "signalled"
    folder.mkdir()
    before = signal.getsignal(number)
    step = SumStep(at=6, event=lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match="after step 6 of 9") as error:
        run(folder, step, source)
    assert error.value.exit_code == code
    assert signal.getsignal(number) is before
    step = SumStep()
    run(folder, step, source, resume=True)
    assert step.module.value.numpy() == whole[1].module.value.numpy()
    assert rows(folder) == rows(whole[0])


def test_a_second_interrupt_does_not_let_it_finish(whole, tmp_path, source):
    folder = tmp_path / "interrupted"
    folder.mkdir()

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(folder, SumStep(at=6, event=twice), source, checkpoint_every_steps=3)
    checkpoints, _ = run(folder, SumStep(), source, resume=True)
    assert rows(folder) == rows(whole[0])
    assert checkpoints.steps() == [3, 9]


def test_a_hard_stop_costs_the_steps_since_the_last_checkpoint_only(whole, tmp_path, source):
    def power_cut():
        raise RuntimeError("power cut")

    folder = tmp_path / "cut"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, SumStep(at=8, event=power_cut), source, checkpoint_every_steps=3)
    checkpoints, progress = run(folder, SumStep(), source, resume=True)
    assert rows(folder) == rows(whole[0])
    assert progress.cost().steps == 9


class Silent:
    """A source whose batches at some steps, counted from 1, hold a NaN."""

    def __init__(self, source, steps):
        self.source, self.steps = source, steps
        self.batches_per_epoch = source.batches_per_epoch

    def dataset(self, start_step: int, stop_step: int):
        for place, batch in enumerate(self.source.dataset(start_step, stop_step), start_step + 1):
            waveform = batch["waveform"].copy()
            waveform[3, 2] = np.nan if place in self.steps else waveform[3, 2]
            yield batch | {"waveform": waveform}


def test_steps_that_are_not_finite_are_left_out_and_told(tmp_path, source, caplog):
    rates = {"learning_rate": lambda step: step, "max_nonfinite_steps": 5}
    checkpoints, progress = run(tmp_path, SumStep(), Silent(source, (2, 5, 6, 7, 8)), **rates)
    assert progress.skipped == [2, 5, 6, 7, 8] and progress.cost().steps == 9
    assert "Step 2 is left out: not finite phoneme. Nothing was updated. That is 1" in caplog.text
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics["step"] == [4, 9], "no mean of nothing at step 8"
    assert metrics["learning_rate"] == [2, 3], "those that the optimizer, which waited, had"
    taken = [np.abs(source.batch(0, place)["waveform"]).mean() * 2 / 3 for place in (0, 2, 3)]
    assert metrics["phoneme"][0] == pytest.approx(np.mean(taken), rel=1e-6)
    assert not (tmp_path / "postmortem").exists()


@pytest.mark.parametrize("stop_step", [2, 3, 7])
def test_they_count_over_an_interruption(tmp_path, source, stop_step):
    """Stopped after the first and resumed, the run leaves out the same and ends at the same."""
    silent, parts, ends = Silent(source, (2, 7, 9)), tmp_path / "parts", []
    for folder in (tmp_path / "whole", parts):
        folder.mkdir()
        plan = {"max_nonfinite_steps": 2, "checkpoint_every_steps": 2}
        if folder == parts:
            run(folder, SumStep(), silent, stop_step=stop_step, **plan)
        step = SumStep()
        with pytest.raises(NumericError, match="steps 2, 7, 9. State and batch are kept") as error:
            run(folder, step, silent, resume=folder == parts, **plan)
        assert error.value.exit_code == 4
        ends.append(float(step.module.value))
    assert ends[0] == ends[1] and rows(parts) == rows(tmp_path / "whole")


def test_what_ended_a_run_is_kept(tmp_path, source):
    step = SumStep()
    with pytest.raises(NumericError, match="step 6: phoneme. Expected: at most 0.*postmortem"):
        run(tmp_path, step, Silent(source, (6,)), checkpoint_every_steps=4, margin=lambda _: 0.25)
    kept = SumStep()
    checkpoints = Checkpoints(tmp_path / "checkpoints", model=kept.module)
    assert checkpoints.restore_latest() == 4
    assert read_metrics(tmp_path / "metrics.csv")["step"] == [4]
    assert checkpoints.restore(tmp_path / "postmortem") == 5
    assert kept.module.value.numpy() == step.module.value.numpy()
    values = checkpoints.restored
    assert values["terms"] == {"phoneme": "nan", "total": 1.0}
    assert (values["margin_fraction"], values["skipped"]) == (0.25, [6])
    arrays = read_arrays(tmp_path / "postmortem")
    wanted = next(iter(Silent(source, (6,)).dataset(5, 6)))
    assert set(arrays) == set(wanted)
    assert all(np.array_equal(arrays[n], wanted[n], equal_nan=n == "waveform") for n in wanted)
    (tmp_path / "postmortem" / "batch.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="checksum of batch.npz"):
        checkpoints.restore(tmp_path / "postmortem")
    with pytest.raises(DataError, match="batch.npz cannot be read"):
        read_arrays(tmp_path / "postmortem")


def test_without_room_the_error_is_still_that_of_the_step(tmp_path, source):
    (tmp_path / "postmortem.part").write_text("in the way")
    with pytest.raises(NumericError, match="step 1: phoneme.*not kept: Cannot write"):
        run(tmp_path, SumStep(), Silent(source, (1,)))


def test_the_margin_follows_the_epoch(tmp_path, source):
    step = SumStep()
    run(tmp_path, step, source, margin=lambda epoch: epoch / 2, learning_rate=lambda step: step)
    assert step.fractions == [place / 8 for place in range(9)]
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics["margin_fraction"] == [3 / 8, 7 / 8, 1]
    assert metrics["learning_rate"] == [3, 7, 8]


def test_cost_counts_all_stretches(tmp_path, source):
    _, first = run(tmp_path, SumStep(), source, stop_step=5)
    _, both = run(tmp_path, SumStep(), source, resume=True)
    rows_of_a_batch = len(source.batch(0, 0)["waveform"])
    assert first.cost().steps == 5 and both.cost().steps == 9
    assert both.cost().utterances == 9 * rows_of_a_batch
    saved = json.loads((tmp_path / "checkpoints/step-00000005/manifest.json").read_text())
    assert both.cost().seconds > saved["values"]["cost"]["seconds"] > 0
    assert 0 <= both.cost().wait_fraction <= 1
    assert both.cost().peak_memory_mb > 10


def test_progress_is_shown_on_stderr_alone(tmp_path, source, capfd):
    run(tmp_path, SumStep(), source)
    assert capfd.readouterr().out == ""
