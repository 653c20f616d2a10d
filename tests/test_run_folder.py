"""Run folders: nothing is lost silently, one process trains, data may move, damage is told."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from adml import commands, evaluate, experiment
from adml.cli import main
from adml.config import dump_config, load_config
from adml.data.trial_list import TrialList
from adml.errors import DataError, UsageError
from adml.evaluate import evaluate_run
from adml.experiment import export_run, load_run, open_run, train
from adml.training.lock import LOCK, sole_trainer

pytestmark = pytest.mark.usefixtures("thin_encoders")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the tiny run, to be changed."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("trials", "records", "export"))
    return folder


@pytest.fixture
def clean(monkeypatch):
    """The code has no changes that are in no commit."""
    monkeypatch.setattr(evaluate, "git_state", lambda folder: ("c" * 40, False))


@pytest.fixture
def call(capsys):
    """Runs a command; gives its exit code and stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments) -> tuple[int, str]:
        capsys.readouterr()
        return main([str(argument) for argument in arguments]), capsys.readouterr().err

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def untraced(eagerly):
    """What is evaluated is not traced before."""
    with eagerly():
        yield


def lists_file(path: Path, **changes) -> Path:
    """A configuration of one list, `words`."""
    trials = {"name": "words", "folder": "test", "min_seconds": 0.2, "negatives": 3} | changes
    path.write_text(json.dumps({"evaluation": {"resamples": 20, "trials": [trials]}}))
    return path


@pytest.mark.usefixtures("clean", "untraced")
def test_a_list_or_record_of_another_evaluation_is_kept(run, tmp_path, speech_cache, speech_folder):
    def again(config: Path, **more):
        return evaluate_run(
            run, config_path=config, speech=speech_folder, cache=speech_cache, **more
        )

    first = lists_file(tmp_path / "first.yaml")
    done = again(first)
    file, stamp = run / "trials" / "words.tsv", (run / "trials" / "words.tsv").stat()
    assert again(first).record.metrics == done.record.metrics
    assert file.stat().st_mtime_ns == stamp.st_mtime_ns
    before = contents(run)
    other = lists_file(tmp_path / "other.yaml", negatives=2)
    with pytest.raises(UsageError, match="words.tsv is another list.*another name.*--overwrite"):
        again(other)
    more = lists_file(tmp_path / "more.yaml", name="more")
    with pytest.raises(
        UsageError, match="another evaluation.*other lists. .*--record.*--overwrite"
    ):
        again(more)
    assert {name: before[name] for name in before} == {
        name: text for name, text in contents(run).items() if name != "trials/more.tsv"
    }
    apart = again(more, record_path=tmp_path / "more.json")
    assert list(apart.record.trials) == ["more"] and apart.path.is_file()
    replaced = again(other, overwrite=True)
    assert TrialList.read(file).sha256 == replaced.record.trials["words"]
    assert replaced.record.trials["words"] != done.record.trials["words"]


@pytest.mark.usefixtures("clean", "untraced")
def test_what_another_evaluation_is(run, tmp_path, speech_cache, monkeypatch):
    """Other weights, another bootstrap, or code that may have changed; nothing is evaluated."""
    record = evaluate_run(run, only=["words"], cache=speech_cache)
    monkeypatch.setattr(evaluate, "evaluate", None)
    told = "record of another evaluation.*Received: other {}. Write the new one"

    def refused(what: str, **changes):
        path = tmp_path / f"{what}.json"
        path.write_text(json.dumps(record.record.to_dict() | changes))
        with pytest.raises(UsageError, match=told.format(what)):
            evaluate_run(run, only=["words"], cache=speech_cache, record_path=path)

    details = record.record.details
    refused("step", details=details | {"step": 4})
    refused("resamples", details=details | {"resamples": 7})
    refused("configuration", config={})
    refused("code", commit="d" * 40)
    refused("code", dirty=True)
    with pytest.raises(UsageError, match=told.format("lists")):
        evaluate_run(run, only=["choice"], cache=speech_cache)
    record.path.write_text("{")
    with pytest.raises(DataError, match="cannot be read.*--record FILE.*--overwrite"):
        evaluate_run(run, only=["words"], cache=speech_cache)


def moved_run(run: Path, speech_folder: Path, place: Path) -> Path:
    """Speech at a new place; the run knows only the old one, where nothing is."""
    config = load_config(run / "config.yaml")
    gone = replace(config, data=replace(config.data, root=str(place.with_name("gone"))))
    (run / "config.yaml").write_text(dump_config(gone))
    return shutil.copytree(speech_folder, place)


def test_data_may_move(run, speech_folder, speech_cache, tmp_path, call):
    moved = moved_run(run, speech_folder, tmp_path / "moved")
    resume = ["train", "--resume", "--out", run, "--cache", speech_cache]
    code, said = call(*resume)
    assert code == 3 and "gone" in said
    code, said = call(*resume, "--speech", moved)
    assert code == 0, said
    assert load_config(run / "config.yaml").data.root == str(moved)
    assert call(*resume)[0] == 0
    code, said = call(*resume, "--speech", moved, "--set", "seed=4")
    assert code == 2 and "another configuration" in said


def test_other_data_are_refused(run, speech_folder, speech_cache, tmp_path, call):
    moved = moved_run(run, speech_folder, tmp_path / "moved")
    words = moved / "train" / "words.tsv"
    words.write_text(words.read_text().replace("0.75", "0.74"))
    before = contents(run)
    code, said = call(
        *("train", "--resume", "--out", run, "--cache", speech_cache, "--speech", moved)
    )
    (message,) = [line for line in said.splitlines() if line.startswith("adml: ")]
    assert code == 3 and "Expected: data_hash" in message and "--speech DIR" in message
    assert contents(run) == before


def test_one_process_trains_and_others_read(run, speech_cache, tiny_overrides, call):
    with sole_trainer(run):
        code, said = call("train", "--resume", "--out", run, "--cache", speech_cache)
        assert code == 2 and f"Another process trains in {run}" in said
        assert load_run(run).step == 5
    new = run.with_name("new")
    config = load_config(None, tiny_overrides)
    open_run(config, new, resume=False)
    with sole_trainer(new), pytest.raises(UsageError, match="Another process"):
        train(config, new, cache=speech_cache)
    assert open_run(config, new, resume=False) == new
    assert [path.name for path in new.iterdir()] == [LOCK]


def test_a_finished_run_says_so(run, speech_cache, call):
    before = contents(run)
    code, said = call("train", "--resume", "--out", run, "--cache", speech_cache)
    (message,) = [line for line in said.splitlines() if "finished" in line]
    assert code == 0 and f"{run} is finished: 5 of 5 steps" in message
    assert "metrics.csv" in message and f"adml evaluate {run}" in message
    assert contents(run) == before
    (run / "cost.json").unlink()
    assert call("train", "--resume", "--out", run, "--cache", speech_cache)[0] == 0
    assert json.loads((run / "cost.json").read_text())["steps"] == 5


@pytest.mark.parametrize("damage", [b"", b'{"data_hash": "', b"[1]", b"\xff\xfe"])
def test_a_damaged_data_file_is_told(run, speech_cache, call, damage):
    (run / "data.json").write_bytes(damage)
    code, said = call("train", "--resume", "--out", run, "--cache", speech_cache)
    message = said.splitlines()[-1]
    assert code == 3 and f"{run / 'data.json'} is damaged" in message and "remove it" in message


@pytest.mark.parametrize("name", ["data.json", "cost.json", "training_texts.txt"])
def test_damaged_files_of_an_evaluated_run_are_told(run, speech_cache, name):
    (run / name).write_bytes(b"\xff{")
    with pytest.raises(DataError, match=f"{name} is damaged.*whole copy"):
        evaluate_run(run, only=["words"], cache=speech_cache)


def test_a_damaged_log_is_told(run, speech_cache, call):
    shutil.rmtree(run / "checkpoints" / "step-00000005")
    (run / "metrics.csv").write_text("\0\0\0\n")
    code, said = call("train", "--resume", "--out", run, "--cache", speech_cache)
    message = said.splitlines()[-1]
    assert code == 3 and f"{run / 'metrics.csv'} is damaged" in message and "remove it" in message


def test_what_the_system_refuses_is_one_line(call, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device", "runs/first/x")
    monkeypatch.setattr(commands, "g2p", lambda arguments: (_ for _ in ()).throw(full))
    code, said = call("g2p", "yes")
    assert code == 3 and said.count("\n") == 1
    assert said.startswith("adml: runs/first/x: No space left on device. Expected")
    code, said = call("g2p", "yes", "--verbose")
    assert code == 3 and "Traceback" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stdout_that_is_full_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "adml", "g2p", "yes"],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("adml: No space left on device") and done.stderr.count("\n") == 1


def test_an_export_that_cannot_be_written_is_told(tiny_run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(experiment, "export", full)
    with pytest.raises(UsageError, match="Cannot write the export folder.*No space left"):
        export_run(tiny_run, tmp_path / "export")


class Spotter:
    """Stands in for a loaded export; counts the clips it is asked for."""

    clips = 0

    def embed_text(self, text: str) -> np.ndarray:
        from adml.text.g2p import G2P

        return np.full(4, len(G2P().phonemes(text)) / 8.0)

    def embed_audio(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        type(self).clips += 1
        return np.full(4, 0.5)


@pytest.fixture
def spotter(monkeypatch) -> type[Spotter]:
    from adml.spotting.spotter import KeywordSpotter

    monkeypatch.setattr(Spotter, "clips", 0)
    monkeypatch.setattr(KeywordSpotter, "load", lambda path: Spotter())
    return Spotter


def test_score_checks_all_keywords_first(spotter, speech_folder, tmp_path, capsys):
    clip = str(speech_folder / "test" / "audio" / "train" / "0.wav")
    model = ["--model", str(tmp_path)]
    assert main(["score", clip, "-k", "yes", "-k", "привет", *model]) == 3
    assert "'привет'" in capsys.readouterr().err and spotter.clips == 0
    assert main(["score", clip, "-k", "yes", "-k", "no", *model]) == 0
    assert capsys.readouterr().out == f" 0.7500  yes  {clip}\n 0.5000  no  {clip}\n"
    assert spotter.clips == 1
    assert main(["score", str(tmp_path), clip, "-k", "yes"]) == 2
    assert "--model" in capsys.readouterr().err and spotter.clips == 1


def test_score_names_a_clip_below_one_window(spotter, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for samples in (399, 400):
        noise = rng.normal(0, 0.1, samples)
        soundfile.write(tmp_path / f"{samples}.wav", noise, 16000, subtype="PCM_16")
    short, whole = str(tmp_path / "399.wav"), str(tmp_path / "400.wav")
    assert main(["score", short, whole, "-k", "yes", "--model", str(tmp_path)]) == 3
    said = capsys.readouterr()
    assert f"{short} is too short" in said.err and "0.025 s" in said.err
    assert said.out == f" 0.7500  yes  {whole}\n"


def test_a_run_folder_that_cannot_be_written_is_told(run, speech_cache, call, monkeypatch):
    opened = Path.open

    def refuse(path, mode="r", *given, **more):
        if "w" in mode and path.parent == run:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, mode, *given, **more)

    monkeypatch.setattr(Path, "open", refuse)
    code, said = call("train", "--resume", "--out", run, "--cache", speech_cache)
    assert code == 3 and said.splitlines()[-1].startswith(f"adml: {run / LOCK}: Permission denied")
