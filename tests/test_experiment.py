"""Runs: what they leave, how they end early, and that resuming changes nothing."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from adml.build.data import build_source
from adml.build.initial import known_texts
from adml.config import load_config
from adml.errors import ConfigError, DataError, UsageError
from adml.evaluate import evaluate_run
from adml.evaluation.curves import read_columns
from adml.experiment import _describe, default_cache, load_run, open_run, train
from adml.text.g2p import G2P
from adml.training.log import read_metrics

pytestmark = pytest.mark.usefixtures("thin_encoders")

TIMINGS = {"seconds", "utterances_per_second", "wait_fraction", "memory_mb", "remaining_seconds"}
INTERRUPTED_SCRIPT = """
import importlib.util, sys, time
from pathlib import Path
conftest, marker, *arguments = sys.argv[1:]
spec = importlib.util.spec_from_file_location("shared", conftest)
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from adml.cli import main
from adml.training.step import TrainingStep
step, steps = TrainingStep.__call__, []

def slow_step(self, *given):
    values = step(self, *given)
    steps.append(1)
    if len(steps) == 3:
        Path(marker).write_text("in the third step")
        while Path(marker).exists():
            time.sleep(0.02)
    return values

TrainingStep.__call__ = slow_step
with shared.thin(), shared.run_eagerly():
    sys.exit(main(arguments))
"""


@pytest.fixture(scope="module")
def config(tiny_overrides):
    return load_config(None, tiny_overrides)


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the columns that measure time."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: text for name, text in row.items() if name not in TIMINGS}
            for row in csv.DictReader(file)
        ]


def state(folder: Path, step: int) -> dict[str, np.ndarray]:
    """Every number of a checkpoint: weights, averages, slots of the optimizers."""
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / f"step-{step:08d}" / "state"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_leaves_what_is_needed_to_repeat_it(tiny_run, config):
    assert load_config(tiny_run / "config.yaml") == config
    metrics = read_metrics(tiny_run / "metrics.csv")
    assert metrics["step"] == [2, 4, 5]
    assert np.isfinite(list(metrics.values())).all()
    data = json.loads((tiny_run / "data.json").read_text())
    texts = (tiny_run / "training_texts.txt").read_text().splitlines()
    assert data["keywords"] == len(texts) and data["classes"] == 6 and len(data["data_hash"]) == 64
    assert json.loads((tiny_run / "environment.json").read_text())
    cost = json.loads((tiny_run / "cost.json").read_text())
    assert (cost["steps"], cost["utterances"]) == (5, 40)
    steps = sorted(path.name for path in (tiny_run / "checkpoints").iterdir())
    assert steps == ["step-00000004", "step-00000005"]
    assert not list(tiny_run.rglob("*.part"))


def test_every_spelling_that_is_trained_on_is_kept(
    tiny_overrides, speech_set, tmp_path, speech_cache
):
    """Texts that sound alike are one keyword, and all of them are seen."""
    words = speech_set(tmp_path / "train") / "words.tsv"
    words.write_text(words.read_text().replace("right", "write").replace("write", "right", 1))
    more = [f"data.root={tmp_path}", "augmentation.noise=[]", "data.max_words=1"]
    config = load_config(None, [*tiny_overrides, *more])
    source = build_source(config, speech_cache, G2P())
    _describe(tmp_path, config, SimpleNamespace(source=source, total_steps=1))
    texts = (tmp_path / "training_texts.txt").read_text().splitlines()
    assert {"right", "write"} < set(texts) and len(set(texts)) == len(texts) == 11
    assert json.loads((tmp_path / "data.json").read_text())["keywords"] == 10


def test_terminated_and_resumed_equals_uninterrupted(
    tiny_run, tiny_overrides, config, tmp_path, speech_cache, eagerly
):
    """A real SIGTERM in the third step of five; another process goes on."""
    folder, marker = tmp_path / "run", tmp_path / "marker"
    sets = [part for item in tiny_overrides for part in ("--set", item)]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", INTERRUPTED_SCRIPT),
            *(str(Path(__file__).with_name("conftest.py")), str(marker)),
            *("train", "--out", str(folder), "--cache", str(speech_cache), *sets),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        limit = time.monotonic() + 500
        while not marker.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        marker.unlink(missing_ok=True)
        output, said = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 143, said
    assert said.splitlines()[-1].startswith("adml: Stopped after step 3 of 5")
    assert output == ""
    assert rows(folder) == rows(tiny_run)[:1]
    with eagerly():
        train(config, folder, resume=True, cache=speech_cache)
    assert rows(folder) == rows(tiny_run)
    ours, theirs = state(folder, 5), state(tiny_run, 5)
    assert set(ours) == set(theirs) and len(ours) > 100
    different = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
    assert not different
    assert json.loads((folder / "cost.json").read_text())["steps"] == 5


@pytest.fixture(scope="module")
def before(tiny_run, tmp_path_factory):
    """A run that begins with the weights of another, and learns no more, after a step."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("before") / "before")


def begun(tiny_overrides, before, *more: str):
    """The configuration of a run that begins with another's weights."""
    told = [f"training.initial={before}", "seed=7", "training.checkpoint_every_steps=1"]
    return load_config(None, [*tiny_overrides, *told, *more])


def test_a_run_begins_with_the_weights_of_another(
    tiny_run, before, tiny_overrides, tmp_path, speech_cache, eagerly
):
    """The model's alone: the losses, the optimizers and the step are new; so when resumed."""
    still = ["optimizer.learning_rate=0", "optimizer.constants_learning_rate=0"]
    fewer = ["optimizer.bias_learning_rate=0", "data.exclude_words=[left]"]
    config, after = begun(tiny_overrides, before, *still, *fewer), tmp_path / "after"
    with eagerly():
        train(config, after, cache=speech_cache, stop_step=1)
    ours, theirs = state(after, 1), state(tiny_run, 5)
    weights = [name for name in theirs if name.startswith("model/") and "moving" not in name]
    assert len(weights) > 20
    assert not [name for name in weights if not np.array_equal(ours[name], theirs[name])]
    steps = [name for name in ours if "optimizer/_iterations" in name]
    assert steps and {int(ours[name]) for name in steps} == {1}
    losses = [name for name in theirs if name.startswith("losses/") and name in ours]
    assert any(not np.array_equal(ours[name], theirs[name]) for name in losses)
    told = json.loads((after / "initial.json").read_text())
    assert told["run"] == config.name and told["step"] == 5 and told["initial"] == {}
    assert told["train"] == ["train"] and told["cost"]["steps"] == 5
    trained, known = ((after / f"{name}_texts.txt").read_text().splitlines()
                      for name in ("training", "initial"))  # fmt: skip
    assert "left" not in trained and "left" in known
    assert {*trained, "left"} <= set(known_texts(after))
    with eagerly():
        record = evaluate_run(after, only=["words"], cache=speech_cache).record
    assert record.details["initial"] == told
    assert record.details["initial_texts"] == len(known)
    (after / "initial.json").write_text("{}")
    shutil.move(before, tmp_path / "gone")  # it is needed for the first step alone
    with eagerly():
        train(config, after, cache=speech_cache, resume=True, stop_step=2)
    shutil.move(tmp_path / "gone", before)


def test_weights_to_begin_with_must_be_there_before_anything_is_prepared(
    before, tiny_overrides, tmp_path, speech_cache
):
    """The folder can be used again."""
    after = tmp_path / "after"
    (tmp_path / "none").mkdir()
    shutil.copy(before / "config.yaml", tmp_path / "none")
    for initial, message in (
        (tmp_path / "frist", "frist is no run folder"),
        (tmp_path / "none", "none has no checkpoint to begin with"),
        (after, "no run folder"),
    ):
        with pytest.raises((UsageError, DataError), match=message):
            train(begun(tiny_overrides, initial), after, cache=speech_cache)
        assert not after.exists()
    with pytest.raises(UsageError, match="is the run .* itself"):
        train(begun(tiny_overrides, before), before, cache=speech_cache)


def test_weights_of_another_shape_are_told_apart_and_leave_the_folder(
    before, tiny_overrides, tmp_path, speech_cache, eagerly
):
    after = tmp_path / "after"
    wider = begun(tiny_overrides, before, "model.text_units=16")
    with pytest.raises(DataError, match=r"model\.text_units 8 there, 16 here\. Begin"):
        train(wider, after, cache=speech_cache)
    aligned = begun(tiny_overrides, before, "model.attention_projections=qkv")
    with pytest.raises(DataError, match=r"attention_projections qk there, qkv here\. Begin"):
        train(aligned, after, cache=speech_cache)
    damaged = shutil.copytree(before, tmp_path / "damaged")
    for path in damaged.rglob("manifest.json"):
        path.write_text("{}")
    with pytest.raises(DataError, match="cannot be begun with.*damaged.*Begin with others"):
        train(begun(tiny_overrides, damaged), after, cache=speech_cache)
    with eagerly():
        train(begun(tiny_overrides, before), after, cache=speech_cache, stop_step=1)


def test_a_run_whose_beginning_has_changed_does_not_begin_again(
    before, tiny_overrides, tmp_path, speech_cache, eagerly
):
    """Killed before its first checkpoint, and the other run trained on."""
    after, config = tmp_path / "after", begun(tiny_overrides, before)
    with eagerly():
        train(config, after, cache=speech_cache, stop_step=1)
    shutil.rmtree(after / "checkpoints")
    told = json.loads((after / "initial.json").read_text())
    (after / "initial.json").write_text(json.dumps(told | {"sha256": "0" * 64}))
    with pytest.raises(DataError, match="has other weights than when"):
        train(config, after, cache=speech_cache, resume=True)


def test_validation_keeps_the_best_and_touches_nothing(
    tiny_run, tiny_overrides, tmp_path, speech_cache, eagerly
):
    """Stopped in between and resumed; the figures are those of a later evaluation."""
    listed = "{name: words, folder: test, min_seconds: 0.2, negatives: 3}"
    more = ["training.validate_every_steps=2", f"training.validation={listed}"]
    more += ["training.keep_checkpoints=1"]
    config = load_config(None, [*tiny_overrides, *more])
    with eagerly():
        train(config, tmp_path, cache=speech_cache, stop_step=3)
        train(config, tmp_path, cache=speech_cache, resume=True)
    assert rows(tmp_path) == rows(tiny_run)
    ours, theirs = state(tmp_path, 5), state(tiny_run, 5)
    assert not [name for name in theirs if not np.array_equal(ours[name], theirs[name])]
    judged = read_columns(tmp_path / "validation.csv", texts=("figure",))
    assert judged["step"].tolist() == [2, 4, 5]
    assert set(judged["figure"]) == {"average_precision"}
    best = int(judged["step"][np.argmax(judged["value"])])
    assert judged["best_step"][-1] == best
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == sorted({f"step-{best:08d}", "step-00000005"})
    for checkpoint, step in (("best", best), ("5", 5)):
        done = evaluate_run(tmp_path, only=["words"], cache=speech_cache, checkpoint=checkpoint)
        assert done.path.name == f"adml_sf2-{checkpoint}.json"
        figure = done.record.metrics["words"]["all"]["average_precision"]["value"]
        assert figure == pytest.approx(judged["value"][judged["step"] == step].item(), abs=1e-7)
        assert done.record.details["step"] == step


def test_an_existing_folder_is_left_alone(tiny_run, config, speech_cache):
    before = contents(tiny_run)
    with pytest.raises(UsageError, match="exists.*--resume"):
        train(config, tiny_run, cache=speech_cache)
    with pytest.raises(UsageError, match="another configuration"):
        other = load_config(None, ["seed=5"])
        train(other, tiny_run, cache=speech_cache, resume=True)
    assert contents(tiny_run) == before


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, config):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="file"):
            open_run(config, folder, resume=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_data_that_cannot_be_used_leave_a_folder_that_can(tmp_path, tiny_overrides, speech_cache):
    folder = tmp_path / "run"
    long = load_config(None, [*tiny_overrides, "data.min_seconds=30", "data.max_seconds=40"])
    with pytest.raises(DataError, match="No segments are left"):
        train(long, folder, cache=speech_cache)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    with pytest.raises(ConfigError, match="--speech"):
        train(load_config(), folder, cache=speech_cache)
    assert open_run(load_config(), folder, resume=False) == folder


def test_load_run_restores_or_keeps_the_initial_weights(tiny_run):
    trained, untrained = load_run(tiny_run), load_run(tiny_run, untrained=True)
    assert (trained.step, untrained.step) == (5, 0)
    weights = [run.model.acoustic.stem.convolution.kernel.numpy() for run in (trained, untrained)]
    assert 1e-5 < np.abs(weights[0] - weights[1]).max() < 0.1


def test_load_run_names_what_is_missing(tmp_path, tiny_run):
    with pytest.raises(UsageError, match="no run folder.*adml train"):
        load_run(tmp_path)
    (tmp_path / "config.yaml").write_bytes((tiny_run / "config.yaml").read_bytes())
    with pytest.raises(DataError, match="no checkpoint.*--resume"):
        load_run(tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ADML_CACHE", raising=False)
    assert default_cache() == tmp_path / "adml"
    monkeypatch.setenv("ADML_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
