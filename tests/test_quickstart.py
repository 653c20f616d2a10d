"""The quickstart, end to end and tiny: speech, training, controls, plots, export, next steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from adml.cli import main
from adml.config import load_config
from adml.errors import DataError, UsageError
from adml.evaluation.records import read_record
from adml.quickstart import quickstart
from adml.quickstart_config import (
    KEYWORDS,
    fit_batch,
    quickstart_config,
    real_settings,
    synthetic_settings,
)
from adml.text.g2p import G2P
from adml.training.log import read_metrics
from adml.training.loop import Interrupted
from adml.training.step import TrainingStep

PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.usefixtures("thin_encoders")


@pytest.fixture(scope="module")
def real(speech_folder, speech_cache, tmp_path_factory, thin_encoders):
    """A quickstart of two steps on a folder of sets."""
    out = tmp_path_factory.mktemp("quickstart") / "run"
    return quickstart(out, speech=speech_folder, steps=2, cache=speech_cache)


def check(result, steps: int) -> None:
    """What every quickstart promises."""
    run = Path(result.values["run"])
    assert read_metrics(run / "metrics.csv")["step"] == [steps]
    table = [line.split("|")[1:4] for line in result.text.splitlines() if line.startswith("|")]
    rows = {tuple(cell.strip() for cell in row) for row in table}
    names = set(result.values["trained"])
    for model in ("trained", "untrained", "chance"):
        assert {(model, name, "all") for name in names} <= rows
    assert set(result.values["untrained"]) == names
    for label in ("run", "report", "acoustic", "text"):
        path = re.search(rf"^{label} +(\S+)$", result.text, re.MULTILINE)
        assert path and Path(path[1]).exists(), label
    assert 0 <= result.values["export"]["max_difference"] <= 1e-5
    assert "equal to the model within" in result.text
    after = result.text.split("Next:")[1].strip().splitlines()
    assert len(after) == 3 and all(re.match(r"\s*(adml|tensorboard) ", line) for line in after)
    assert Path(after[0].split()[2]).is_file()
    assert Path(after[0].split()[-1]) == run
    pictures = sorted(path.name for path in (run / "report").glob("*.png"))
    wanted = {"losses.png", "scores.png", "det.png", "alignment.png", "confusions.png"}
    wanted |= {"modality.png", "constants.png", "scales.png", "speed.png"}
    assert wanted <= set(pictures)
    for name in pictures:
        content = (run / "report" / name).read_bytes()
        assert content.startswith(PNG) and len(content) > 3000, name
    page = Path(result.values["report"]).read_text(encoding="utf-8")
    assert all(name in page or "base64" in page for name in wanted)
    records = {path.stem for path in (run / "records").iterdir()}
    assert records == {"quickstart", "quickstart-untrained"}
    assert read_record(run / "records" / "quickstart.json").metrics == result.values["trained"]
    json.dumps(result.values)


def test_on_a_folder_of_real_sets(real, speech_folder):
    check(real, steps=2)
    config = load_config(Path(real.values["run"]) / "config.yaml")
    assert config.data.train == ("noise", "train") or config.data.train == ("train",)
    assert {trials.folder for trials in config.evaluation.trials} == {"test"}
    assert config.losses.keyword.kind == "sphereface2"


def test_on_synthetic_speech(tmp_path, eagerly):
    pytest.importorskip("espeakng_loader", reason="the extra synth is not installed")
    with eagerly():
        result = quickstart(tmp_path / "run", steps=2, words=24, voices=6, cache=tmp_path / "cache")
    check(result, steps=2)
    assert {"seen", "unseen"} <= set(result.values["trained"]["held-out-voices"])
    corpus = next((tmp_path / "cache").glob("synthetic-24-6-0*"))
    voices = {}
    for part in ("train", "test"):
        lines = (corpus / part / "words.tsv").read_text(encoding="utf-8").splitlines()
        voices[part] = {line.split("\t")[2] for line in lines} - {"speaker"}
    assert voices["train"] and voices["test"] and not voices["train"] & voices["test"]


def test_nothing_is_overwritten(real, speech_folder, speech_cache):
    folder = Path(real.values["run"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UsageError, match="exists"):
        quickstart(folder, speech=speech_folder, steps=2, cache=speech_cache)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_interrupted_it_says_which_commands_do_the_rest(
    speech_folder, speech_cache, tmp_path, eagerly, monkeypatch, capsys
):
    """A real SIGTERM in the first step; the commands it names are run as they stand."""
    step = TrainingStep.__call__

    def stopped(self, *given):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *given)

    folder = tmp_path / "my run"
    with eagerly(), monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", stopped)
        with pytest.raises(Interrupted, match="step 1 of 2.*cannot be resumed itself") as caught:
            quickstart(folder, speech=speech_folder, steps=2, cache=speech_cache)
    monkeypatch.setenv("ADML_CACHE", str(speech_cache))
    commands = re.findall(r"adml (train|evaluate|export)( [^;]+)", str(caught.value))
    assert [verb for verb, _ in commands] == ["train", "evaluate", "export"]
    with eagerly():
        for verb, rest in commands:
            assert main([verb, *shlex.split(rest)]) == 0, capsys.readouterr().err
    assert read_metrics(folder / "metrics.csv")["step"] == [2]
    assert (folder / "records" / "quickstart.json").is_file()
    assert (folder / "export" / "acoustic").is_dir()


def test_what_cannot_be_tested_shows_before_the_training(
    speech_set, tmp_path, speech_cache, monkeypatch
):
    for name in ("train", "test"):
        speech_set(tmp_path / name)
    words = tmp_path / "test" / "words.tsv"
    lines = words.read_text().splitlines()
    words.write_text("\n".join([lines[0], *(row for row in lines if "\tgreen\t" in row)]) + "\n")
    monkeypatch.setattr("adml.quickstart.train", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(DataError, match="'held-out-test' cannot have negatives.*'green' only"):
        quickstart(tmp_path / "run", speech=tmp_path, steps=2, cache=speech_cache)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sets", "named", "tested", "reason"),
    [
        (["latest", "devices", "contest", "dev-clean"], (), ["dev-clean"], "part of the name"),
        (["a", "TEST2", "x_eval", "valid"], (), ["TEST2", "valid", "x_eval"], "part of the name"),
        (["latest", "devices"], (), None, "no set is called dev or test"),
        (["dev", "test"], (), None, "every set is called dev or test"),
        (["dev", "test", "b"], ("b",), ["b"], "named by --test-sets"),
        (["one", "two words"], ("two words",), ["two words"], "named by --test-sets"),
    ],
)
def test_which_sets_are_tested_on_and_why(
    speech_set, tmp_path, caplog, sets, named, tested, reason
):
    caplog.set_level("INFO")
    for name in sets:
        speech_set(tmp_path / name, speakers=8)
    _, settings = real_settings(tmp_path, named)
    lists = settings["trials"]
    assert sorted(entry["folder"] for entry in lists[:-1]) == sorted(tested or sets)
    assert settings["data.train"] == sorted(set(sets) - set(tested or ()))
    assert all(entry["held_out_only"] == (tested is None) for entry in lists)
    assert all(re.fullmatch(r"\w[\w.-]*", entry["name"]) for entry in lists)
    told = [record.getMessage() for record in caplog.records if "ing on: " in record.getMessage()]
    assert told[0] == f"training on: {', '.join(settings['data.train'])}"
    assert told[1].startswith("testing on: ") and reason in told[1]


def test_a_single_set_is_parted_by_speaker(speech_set, speech_cache, tmp_path, caplog):
    speech_set(tmp_path / "alone", speakers=8)
    root, settings = real_settings(tmp_path / "alone")
    assert root == tmp_path and settings["data.train"] == ["alone"]
    assert 0.2 <= settings["data.held_out_speakers"] <= 0.7
    assert all(trials["held_out_only"] for trials in settings["trials"])
    config = quickstart_config(root, settings, steps=3, seed=1)
    assert config.training.steps == 3 and config.seed == 1
    batches = fit_batch(config, speech_cache, G2P()).batches
    assert 2 <= batches.keywords < KEYWORDS and batches.min_utterances == 2
    assert f"a batch takes {batches.keywords} keywords, not 48, of the" in caplog.text


def test_where_nothing_is_said_twice_one_utterance_is_enough(
    speech_set, speech_cache, tmp_path, caplog
):
    for name in ("train", "test"):
        speech_set(tmp_path / name, speakers=1)
    root, settings = real_settings(tmp_path)
    config = fit_batch(quickstart_config(root, settings, 3, 0), speech_cache, G2P())
    assert config.batches.min_utterances == 1 and config.batches.keywords >= 7
    assert "said at all" in caplog.text
    one = tmp_path / "train" / "words.tsv"
    one.write_text("\n".join(one.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DataError, match=r"too few keywords.*segments\. Give more speech"):
        fit_batch(quickstart_config(root, settings, 3, 0), speech_cache, G2P())


def test_a_large_corpus_has_the_full_batch(speech_folder, monkeypatch, caplog):
    many = SimpleNamespace(num_keywords=500)
    monkeypatch.setattr("adml.quickstart_config.build_source", lambda *_: many)
    config = quickstart_config(speech_folder, synthetic_settings(), 3, 0)
    assert fit_batch(config, None, None).batches == replace(config.batches, keywords=KEYWORDS)
    assert not caplog.records


def test_speech_that_is_not_there_is_named(tmp_path, speech_set):
    with pytest.raises(UsageError, match="absent"):
        real_settings(tmp_path / "absent")
    with pytest.raises(DataError, match="words.tsv"):
        real_settings(tmp_path)
    speech_set(tmp_path / "few", speakers=1)
    with pytest.raises(DataError, match="Too few speakers"):
        real_settings(tmp_path / "few")
