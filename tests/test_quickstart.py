"""The quickstart, end to end and tiny: speech, training, controls, plots, export, next steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adml.config import load_config
from adml.errors import DataError, UsageError
from adml.evaluation.records import read_record
from adml.quickstart import quickstart
from adml.quickstart_config import quickstart_config, real_settings, synthetic_settings
from adml.training.log import read_metrics

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
    assert Path(after[0].split()[3]).is_file()
    pictures = sorted(path.name for path in (run / "report").glob("*.png"))
    wanted = {"losses.png", "scores.png", "det.png", "alignment.png", "confusions.png"}
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


def test_a_single_set_is_parted_by_speaker(speech_set, tmp_path):
    speech_set(tmp_path / "alone", speakers=8)
    root, settings = real_settings(tmp_path / "alone")
    assert root == tmp_path and settings["data.train"] == ["alone"]
    assert 0.2 <= settings["data.held_out_speakers"] <= 0.7
    assert all(trials["held_out_only"] for trials in settings["trials"])
    config = quickstart_config(root, settings, steps=3, seed=1)
    assert config.training.steps == 3 and config.seed == 1
    assert 2 <= config.batches.keywords < 48


def test_a_large_corpus_has_the_full_batch(speech_folder, monkeypatch):
    import adml.quickstart_config as module

    class Many:
        texts = range(500)
        text = [number // 2 for number in range(1000)]

    monkeypatch.setattr(module, "build_segments_of", lambda config: Many())
    settings = synthetic_settings()
    assert quickstart_config(speech_folder, settings, 3, 0).batches.keywords == module.KEYWORDS


def test_speech_that_is_not_there_is_named(tmp_path, speech_set):
    with pytest.raises(UsageError, match="absent"):
        real_settings(tmp_path / "absent")
    with pytest.raises(DataError, match="words.tsv"):
        real_settings(tmp_path)
    speech_set(tmp_path / "few", speakers=1)
    with pytest.raises(DataError, match="Too few speakers"):
        real_settings(tmp_path / "few")
