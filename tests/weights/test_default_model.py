"""Where no model is named, the weights in the package are used; a small model stands for them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from adml import KeywordSpotter
from adml.cli import _parser, main
from adml.errors import UsageError
from adml.spotting import spotter as spotting
from adml.spotting.cohort import COHORT, Cohort, Table, hear_cohort, read_cohort
from adml.spotting.forecast import Forecast
from adml.spotting.keyword_file import KeywordFile

RATE_HZ = 16000
TABLE = Table(*np.array([[0.5, 20], [4, 2], [0.5, 0.8], [2, 1.2]], float), 200, 5.0)
FORECAST = Forecast(np.array([[6.0, -10.0, 0, 0], [5.0, -10.0, 0, 0]]), np.array([0.1, 0.05]), 99)
DEFAULT = "the weights in the package"


@pytest.fixture(scope="module")
def folder(tiny_export, tmp_path_factory):
    """A small model with a cohort, as a package has it."""
    folder = tmp_path_factory.mktemp("weights") / "export"
    shutil.copytree(tiny_export / "export", folder)
    noise = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    heard = hear_cohort(KeywordSpotter.load(folder), [noise]).heard
    Cohort(heard, TABLE, FORECAST).write(folder / COHORT)
    return folder


@pytest.fixture
def packaged(folder, monkeypatch):
    monkeypatch.setattr(spotting, "PACKAGED", folder)
    return folder


def test_python_names_take_none(packaged):
    assert spotting.find_export() == spotting.find_export(None) == packaged
    assert KeywordSpotter.load().model == KeywordSpotter.load(packaged).model != ""
    assert read_cohort().table.words == 200


def test_a_path_that_is_named_is_taken(packaged, tmp_path):
    with pytest.raises(UsageError, match=f"no export at {tmp_path}"):
        KeywordSpotter.load(tmp_path)


def test_a_package_without_weights_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spotting, "PACKAGED", tmp_path / "export")
    (tmp_path / "export" / "acoustic").mkdir(parents=True)
    for call in (KeywordSpotter.load, spotting.find_export, read_cohort):
        with pytest.raises(UsageError, match="no weights in the package.*--model"):
            call()
    assert main(["enroll", "computer", "-o", str(tmp_path / "kw.json")]) == 2
    assert "Install the package again" in capsys.readouterr().err


def test_damaged_weights_of_the_package_are_to_be_installed_again(folder, tmp_path, monkeypatch):
    damaged = tmp_path / "export"
    shutil.copytree(folder, damaged)
    (damaged / "text" / "saved_model.pb").write_bytes(b"no model")
    monkeypatch.setattr(spotting, "PACKAGED", damaged)
    with pytest.raises(UsageError, match="is damaged.*Install the package again"):
        KeywordSpotter.load()


def test_from_a_text_to_detections(packaged, tmp_path, capsys):
    keywords, clip = str(tmp_path / "kw.json"), str(tmp_path / "clip.wav")
    soundfile.write(clip, np.random.default_rng(1).normal(0, 0.1, 2 * RATE_HZ), RATE_HZ)
    assert main(["enroll", "hey bixby", "-o", keywords]) == 0
    assert KeywordFile.read(keywords).model == KeywordSpotter.load().model
    assert main(["calibrate", keywords]) == 0
    assert main(["calibrate", keywords, "--background", clip]) == 0
    capsys.readouterr()
    KeywordFile.read(keywords).with_thresholds({"hey bixby": (-2.0, {})}).write(keywords)
    assert main(["detect", "-k", keywords, clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["keyword"] == "hey bixby"
    assert main(["score", clip, "-k", "hey bixby", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["audio"] == clip
    assert main(["advise", "tomorrow"]) == 0
    assert capsys.readouterr().out.startswith("tomorrow: poor")


@pytest.mark.parametrize(
    "verb",
    ["enroll", "calibrate", "detect", "score", "advise", "demo", "evaluate spotting", "cohort"],
)
def test_the_help_names_the_default(verb, capsys):
    verbs = _parser()._subparsers._group_actions[0].choices
    model = next(action for action in verbs[verb]._actions if action.dest == "model")
    changes_it = verb == "cohort"
    assert model.required == changes_it and model.default is None
    assert (DEFAULT in model.help) != changes_it


def test_evaluation_names_its_sets(packaged, speech_folder, tmp_path, speech_cache):
    clips, noise = tmp_path / "clips", speech_folder / "noise"
    (clips / "audio").mkdir(parents=True)
    soundfile.write(
        clips / "audio/0.wav", np.random.default_rng(1).normal(0, 0.1, RATE_HZ), RATE_HZ
    )
    rows = "path\ttext\tspeaker\tduration\naudio/0.wav\tcomputer\ts\t1\n"
    (clips / "manifest.tsv").write_text(rows)
    record = tmp_path / "record.json"
    given = ["--clips", clips, "--background", speech_folder / "test", "--limit", "1", "--record",
             record, "--cache", speech_cache]  # fmt: skip
    assert main(["evaluate", "spotting", *map(str, given)]) == 0
    told = json.loads(record.read_text())
    assert told["model"] == KeywordSpotter.load().model
    assert told["sets"] == {"clips": "clips", "background": "test", "noise": None}
    given += ["--noise", noise, "--snr", "5", "--overwrite"]
    assert main(["evaluate", "spotting", *map(str, given)]) == 0
    assert json.loads(record.read_text())["sets"]["noise"] == "noise"


def test_export_for_other_runtimes(packaged, tmp_path, monkeypatch, capsys):
    from adml import runtime_export

    asked = []

    def made(model, *, out, **given):
        asked.append((model, out))
        return runtime_export.RuntimeExports((), (), None, packaged)

    monkeypatch.setattr(runtime_export, "export_for_runtimes", made)
    assert main(["export", "--format", "litert", "--out", str(tmp_path)]) == 0
    assert asked == [(None, tmp_path)]
    for given in (["--format", "litert"], ["--out", str(tmp_path)],
                  ["--format", "onnx", "--out", str(tmp_path), "--checkpoint", "5"]):  # fmt: skip
        assert main(["export", *given]) == 2
        assert "There is no run to export" in capsys.readouterr().err
    assert len(asked) == 1


def test_export_for_other_runtimes_begins_with_the_package(packaged, tmp_path, monkeypatch):
    from adml import runtime_export

    seen = []
    monkeypatch.setattr(runtime_export, "require_runtime", lambda kind: None)
    monkeypatch.setattr(
        runtime_export, "make_speech", lambda acoustic, *rest, **more: seen.append(acoustic)
    )
    monkeypatch.setattr(runtime_export, "_described", lambda *given: {})
    made = runtime_export.export_for_runtimes(None, formats=(), out=tmp_path)
    assert made.source == packaged and seen == [packaged / "acoustic"]
