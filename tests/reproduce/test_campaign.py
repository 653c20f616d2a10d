"""Campaigns: each row once, what is done is skipped, what was begun goes on bit by bit."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adml.code_state import code_hashes
from adml.config import load_config
from adml.errors import DataError, NumericError, UsageError
from adml.evaluation.records import read_record, write_record
from adml.experiment import train
from adml.reproduce import campaign as module
from adml.reproduce.campaign import run_campaign
from adml.reproduce.plan import make_plan
from adml.reproduce.states import CAMPAIGN_LOCK
from adml.training.lock import sole_trainer
from adml.training.loop import Interrupted

pytestmark = pytest.mark.usefixtures("thin_encoders")

ROOT = Path(__file__).resolve().parents[2]
KILLED_SCRIPT = """
import importlib.util, os, signal, sys
conftest, *arguments = sys.argv[1:]
spec = importlib.util.spec_from_file_location("shared", conftest)
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from adml.cli import main
from adml.training.step import TrainingStep
step, steps = TrainingStep.__call__, []

def deadly_step(self, *given):
    steps.append(1)
    if len(steps) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *given)

TrainingStep.__call__ = deadly_step
with shared.thin():
    sys.exit(main(arguments))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, make_experiments, settings_in):
    """Both rows of the miniature, run without a break: plan, settings, outcome."""
    folder = tmp_path_factory.mktemp("campaign")
    plan = make_plan(make_experiments(folder / "experiments"), "table1", "open")
    settings = settings_in(folder)
    return plan, settings, run_campaign(plan, settings)


@pytest.fixture
def no_training(monkeypatch):
    """Nothing may train."""

    def refuse(*given, **more):
        raise DataError("trained")

    monkeypatch.setattr(module, "train", refuse)


@pytest.fixture
def copied(done, tmp_path):
    """The same records in another folder, to be changed; runs are still those of `done`."""
    settings = replace(done[1], records=tmp_path / "records")
    for path in done[1].records.iterdir():
        write_record(read_record(path), settings.records / path.name)
    return settings


def run_of(settings, row: str) -> Path:
    (folder,) = (settings.out / "open" / row).iterdir()
    return folder


def state(folder: Path) -> dict[str, np.ndarray]:
    """Every number of the last checkpoint."""
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-00000005" / "state"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


def assert_same_weights(ours: Path, theirs: Path) -> None:
    ours, theirs = state(ours), state(theirs)
    assert set(ours) == set(theirs) and len(ours) > 80
    assert not [name for name in ours if not np.array_equal(ours[name], theirs[name])]


def test_rows_are_trained_evaluated_and_recorded(done):
    plan, settings, outcome = done
    assert outcome.done == [("rp", 0), ("triplet", 0)] and not outcome.skipped
    ((name, seed, error),) = outcome.failed
    assert (name, seed) == ("missing", 0) and "missing.yaml" in str(error)
    assert outcome.exit_code == 2
    record = read_record(settings.records / "triplet-seed0.json")
    assert record.name == "triplet" and record.config["data"]["root"] == ""
    assert record.metrics["words"]["all"]["average_precision"]["n"] == 16
    assert (record.cost.steps, record.cost.utterances) == (5, 40)
    assert record.details["code"] == code_hashes() and record.details["scale"] == "open"
    assert record.details["differs"] == {
        "table1": {"from": "rp", "keys": {"losses.keyword.kind": ["none", "triplet"]}}
    }
    assert record.command == "adml reproduce table1 --scale open --rows triplet --speech DIR"
    assert (settings.out / "open" / "trials" / "words.tsv").is_file()


def test_a_row_after_another_is_the_row_alone(done, tmp_path, speech_cache):
    """What ran before in the process leaves no trace in the weights."""
    folder = run_of(done[1], "triplet")
    train(load_config(folder / "config.yaml"), tmp_path / "alone", cache=speech_cache)
    assert_same_weights(tmp_path / "alone", folder)


@pytest.mark.usefixtures("no_training")
def test_what_is_done_is_skipped(done, copied, caplog):
    with caplog.at_level(logging.INFO):
        outcome = run_campaign(done[0], copied)
    assert outcome.skipped == [("rp", 0), ("triplet", 0)] and not outcome.done
    assert "== rp, seed 0: done before" in caplog.text


@pytest.mark.usefixtures("no_training")
def test_other_code_of_the_judgement_evaluates_anew_and_trains_nothing(done, copied):
    path = copied.records / "rp-seed0.json"
    record = read_record(path)
    code = record.details["code"] | {"evaluation/suites": "0" * 16}
    write_record(replace(record, details=record.details | {"code": code}), path)
    accepted = run_campaign(done[0], replace(copied, accept_older_code=True))
    assert accepted.skipped == [("rp", 0), ("triplet", 0)]
    outcome = run_campaign(done[0], copied)
    assert (outcome.done, outcome.skipped) == ([("rp", 0)], [("triplet", 0)])
    again = read_record(path)
    assert again.details["code"] == code_hashes() and again.metrics == record.metrics


def test_other_code_of_the_training_trains_anew(done, copied, monkeypatch, tmp_path):
    now = code_hashes() | {"losses/proxy": "0" * 16}
    monkeypatch.setattr(module, "code_hashes", lambda: now)
    asked = []

    def stop(config, folder, **more):
        asked.append(folder)
        raise NumericError("Not finite at step 3")

    monkeypatch.setattr(module, "train", stop)
    outcome = run_campaign(done[0], replace(copied, out=tmp_path / "runs"))
    assert [name for name, _, _ in outcome.failed] == ["rp", "triplet", "missing"]
    assert outcome.exit_code == 4
    names = [run_of(done[1], row).name for row in ("rp", "triplet")]
    assert len(asked) == 2 and not {folder.name for folder in asked} & set(names)


def test_a_row_that_is_stopped_stops_the_campaign(done, copied, monkeypatch, tmp_path):
    def stop(*given, **more):
        raise Interrupted("Stopped after step 3 of 5; the state is saved. Resume to go on.")

    monkeypatch.setattr(module, "train", stop)
    settings = replace(copied, records=tmp_path / "none", out=tmp_path / "runs")
    with pytest.raises(Interrupted, match="after step 3.*The same command goes on with rp"):
        run_campaign(done[0], settings)


@pytest.mark.usefixtures("no_training")
def test_a_row_of_another_process_is_passed_over(done, copied, tmp_path, caplog):
    settings = replace(copied, records=tmp_path / "none")
    with sole_trainer(run_of(done[1], "rp"), name=CAMPAIGN_LOCK):
        outcome = run_campaign(make_plan_of(done, ["rp"]), settings)
    assert outcome.busy == [("rp", 0)] and outcome.exit_code == 0
    assert "another process is at it" in caplog.text and not list(settings.records.iterdir())


def make_plan_of(done, rows):
    return replace(done[0], chosen=tuple(rows))


def test_unfair_rows_or_missing_speech_stop_before_anything(
    tmp_path, make_experiments, settings_in
):
    folder = make_experiments(tmp_path / "experiments", triplet="data: {max_seconds: 1.0}")
    settings = settings_in(tmp_path)
    odd = make_experiments(tmp_path / "odd", triplet="training: {replicas: 2}")
    with pytest.raises(UsageError, match="training.replicas"):
        run_campaign(make_plan(odd, "table1", "open"), settings)
    del folder
    plan = make_plan(make_experiments(tmp_path / "fair"), "table1", "open")
    with pytest.raises(UsageError, match="lacks.*\n  train/words.tsv: speech to train on"):
        run_campaign(plan, replace(settings, speech=tmp_path))
    assert not settings.out.exists()


@pytest.fixture
def moved(done, tmp_path):
    """The finished runs in another folder, to be changed, and no records."""
    shutil.copytree(done[1].out, tmp_path / "runs")
    return replace(done[1], out=tmp_path / "runs", records=tmp_path / "records")


@pytest.mark.usefixtures("no_training")
def test_a_run_whose_configuration_was_changed_is_refused(done, moved):
    """Its weights would stand in the record of settings that they were not made with."""
    path = run_of(moved, "rp") / "config.yaml"
    assert "  steps: 5\n" in path.read_text()
    path.write_text(path.read_text().replace("  steps: 5\n", "  steps: 4\n"))
    ((_, _, error),) = run_campaign(make_plan_of(done, ["rp"]), moved).failed
    assert "config.yaml is not what the row began with" in str(error)
    assert "training.steps 4, not 5." in str(error) and not list(moved.records.iterdir())


def test_a_run_whose_last_checkpoint_is_damaged_goes_on(done, moved, monkeypatch):
    """The checkpoint before it is of fewer steps than the record would tell."""
    (run_of(moved, "rp") / "checkpoints" / "step-00000005" / "state.index").write_bytes(b"x")
    asked = []

    def go_on(config, folder, *, resume, cache):
        asked.append((config.training.steps, folder, resume))
        raise NumericError("enough")

    monkeypatch.setattr(module, "train", go_on)
    run_campaign(make_plan_of(done, ["rp"]), moved)
    assert asked == [(5, run_of(moved, "rp"), True)] and not list(moved.records.iterdir())


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (None, "the record cannot be read"),
        ({"seed": 1}, "It is the record of row 'rp', seed 1: rp-seed1.json."),
        ({"details": {"scale": "paper"}}, "It is of the scale 'paper', not 'open'."),
    ],
)
def test_a_record_of_something_else_is_not_replaced(done, copied, changes, told):
    path = copied.records / "rp-seed0.json"
    if changes is None:
        path.write_bytes(path.read_bytes()[:300])
    else:
        write_record(replace(read_record(path), **changes), path)
    before = path.read_bytes()
    ((_, _, error),) = run_campaign(make_plan_of(done, ["rp"]), copied).failed
    assert told in str(error) and str(path) in str(error) and "Remove it" in str(error)
    assert error.exit_code == 3 and path.read_bytes() == before


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("what", ["out", "records"])
def test_folders_that_cannot_be_written_are_told_before_anything_is_trained(done, tmp_path, what):
    (tmp_path / "file").touch()
    settings = replace(done[1], **{"records": tmp_path, what: tmp_path / "file" / "below"})
    with pytest.raises(UsageError, match=f"Cannot write in .*Choose another one by --{what} DIR"):
        run_campaign(done[0], settings)


def test_no_row_that_can_be_read(tmp_path, make_experiments, settings_in):
    odd = "losses: {lost: 1}"
    plan = make_plan(make_experiments(tmp_path / "e", rp=odd, triplet=odd), "table1", "open")
    with pytest.raises(UsageError, match="No row of these tables can be read.*losses.lost"):
        run_campaign(plan, settings_in(tmp_path))


def test_killed_and_called_again_equals_uninterrupted(
    done, tmp_path, make_experiments, settings_in
):
    """A real kill -9 in the fourth step of five; the checkpoint of step two is gone on from."""
    settings = settings_in(tmp_path)
    experiments = make_experiments(tmp_path / "experiments")
    given = ["reproduce", "table1", "--rows", "rp", "--experiments", experiments]
    given += ["--out", settings.out, "--records", settings.records]
    given += ["--speech", settings.speech, "--cache", settings.cache]
    conftest = ROOT / "tests" / "conftest.py"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_SCRIPT, str(conftest), *map(str, given)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    folder = run_of(settings, "rp")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000002"]
    outcome = run_campaign(make_plan(experiments, "table1", "open", ["rp"]), settings)
    assert outcome.done == [("rp", 0)] and run_of(settings, "rp") == folder
    assert folder.name == run_of(done[1], "rp").name
    assert_same_weights(folder, run_of(done[1], "rp"))
    ours, theirs = (read_record(s.records / "rp-seed0.json") for s in (settings, done[1]))
    assert ours.metrics == theirs.metrics and ours.cost.steps == theirs.cost.steps == 5


@pytest.mark.parametrize("left", [(), ("environment.json",), (".config.yaml.77.part",)])
def test_killed_before_the_first_step(done, tmp_path, left, monkeypatch):
    """Files that a run writes before its configuration do not make a folder another's."""
    plan, settings, _ = done
    settings = replace(settings, out=tmp_path / "runs", records=tmp_path / "records")
    name = run_of(done[1], "rp").name
    folder = settings.out / "open" / "rp" / name
    folder.mkdir(parents=True)
    for file in left:
        (folder / file).write_text("{}")
    begun = []

    def start(config, folder, *, resume, cache):
        from adml.run_folder import open_run

        begun.append((open_run(config, folder, resume=resume), resume))
        raise NumericError("enough")

    monkeypatch.setattr(module, "train", start)
    outcome = run_campaign(make_plan_of(done, ["rp"]), settings)
    assert str(outcome.failed[0][2]) == "enough" and begun == [(folder, False)]
    assert os.path.isfile(folder / "reproduce.json")
