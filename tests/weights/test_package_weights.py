"""A run is put into a folder as into the package, whole, and only with what is of that run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from adml import package_weights as module
from adml.build.initial import require_initial
from adml.config import load_config
from adml.errors import DataError, UsageError
from adml.evaluation.records import write_record
from adml.experiment import export_run, load_run, train
from adml.export import saved_model
from adml.model_card import render_card
from adml.package_weights import LARGEST_MB, package_weights, read_told, size_mb
from adml.spotting.cohort import Cohort, Table, read_cohort
from adml.spotting.hearing import Heard
from adml.spotting.spotter import KeywordSpotter

pytestmark = pytest.mark.usefixtures("thin_encoders")
TABLE = Table(*np.arange(1.0, 25.0).reshape(4, 6), 40, 2.5)
HEARD = Heard(np.arange(3), np.arange(3) + 9, np.eye(3, dtype=np.float32), 0, None, 0)


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory, thin_encoders):
    """A copy of the tiny run with an export that has a cohort; its data have licences."""
    run = tmp_path_factory.mktemp("packaged") / "run"
    shutil.copytree(tiny_run, run)
    with pytest.MonkeyPatch.context() as patch:  # tests/export checks the check
        patch.setattr(saved_model, "verify", lambda folder, *, tolerance: 0.0)
        export_run(run)
    model = KeywordSpotter.load(run, to_phonemes=str.split).model
    Cohort((HEARD,), TABLE, model=model).write(run / "export" / "cohort.npz")
    return run


@pytest.fixture
def run(exported, tmp_path, monkeypatch, record, spotting):
    """The same with forged records of that model."""
    sources = dict.fromkeys(("train", "noise"), ("words", "free", "nobody"))
    monkeypatch.setattr("adml.model_card.SOURCES", sources)
    run = tmp_path / "run"
    shutil.copytree(exported, run)
    forged = record(load_config(run / "config.yaml"), details={"step": 5})
    write_record(forged, run / "card" / "evaluation.json")
    told = spotting(model=KeywordSpotter.load(run, to_phonemes=str.split).model)
    (run / "card" / "spotting.json").write_text(json.dumps(told))
    return run


def test_all_of_a_run_is_in_the_package_and_the_card_is_made_of_it(run, tmp_path):
    folder = tmp_path / "weights"
    (folder / "old").mkdir(parents=True)
    card = package_weights(run, folder=folder)
    assert card == folder / "MODEL_CARD.md" and not (folder / "old").exists()
    assert {path.name for path in folder.iterdir()} == {
        "MODEL_CARD.md", "model.json", "evaluation.json", "spotting.json", "export",
    }  # fmt: skip
    assert {path.name for path in (folder / "export").iterdir()} == {
        "acoustic", "text", "cohort.npz",
    }  # fmt: skip
    told = read_told(folder)
    assert card.read_text() == render_card(told)
    assert told.model["model"] == KeywordSpotter.load(folder, to_phonemes=str.split).model
    assert f"`{told.model['model']}`" in card.read_text()
    assert told.model["environment"] == json.loads((run / "environment.json").read_text())
    assert told.model["parameters"]["text encoder"] > 1000
    assert read_cohort(folder).table.words == 40
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_another_checkpoint_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="acoustic is not of this run and checkpoint.*step 4"):
        package_weights(run, "4", folder=tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_records_of_others_are_refused(run, tmp_path, record, spotting):
    config = load_config(run / "config.yaml")
    for changes in ({"details": {"step": 4}}, {"seed": 9}):
        other = record(config, **{"details": {"step": 5}} | changes)
        write_record(other, run / "card" / "evaluation-other.json")
        with pytest.raises(DataError, match="not of this run"):
            package_weights(run, folder=tmp_path / "weights")
    (run / "card" / "evaluation-other.json").unlink()
    (run / "card" / "spotting-b.json").write_text(json.dumps(spotting(model="f" * 64)))
    with pytest.raises(DataError, match="is of another model.*ffffffffffff"):
        package_weights(run, folder=tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(("model", "told"), [("", "none"), ("ab" * 32, "abababababab")])
def test_the_cohort_of_others_is_refused(run, tmp_path, model, told):
    Cohort((HEARD,), TABLE, model=model).write(run / "export" / "cohort.npz")
    with pytest.raises(DataError, match=f"cohort.npz is of another model.*Received: {told}"):
        package_weights(run, folder=tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_what_is_missing_is_told(run, tmp_path):
    (run / "card" / "spotting.json").unlink()
    with pytest.raises(DataError, match="too few records.*1 and 0"):
        package_weights(run, folder=tmp_path / "weights")
    (run / "card" / "spotting.json").write_text("[]")
    with pytest.raises(DataError, match="Expected: a JSON object. Received: a list"):
        package_weights(run, folder=tmp_path / "weights")
    (run / "export" / "cohort.npz").unlink()
    with pytest.raises(UsageError, match="has no cohort"):
        package_weights(run, folder=tmp_path / "weights")


def test_what_is_too_large_leaves_the_package_as_it_was(run, tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "old").write_bytes(bytes(1_500_000))
    assert size_mb(folder) == 1.5 and LARGEST_MB == 20
    monkeypatch.setattr(module, "LARGEST_MB", 0.01)
    with pytest.raises(UsageError, match=r"at most 0.01 MB"):
        package_weights(run, folder=folder)
    assert (folder / "old").exists()


def test_the_records_are_in_the_order_of_their_names(tmp_path, record, spotting):
    for name in ("evaluation-ctc0.1", "evaluation"):
        write_record(record(name=name), tmp_path / f"{name}.json")
    (tmp_path / "spotting.json").write_text(json.dumps(spotting()))
    names = [one.name for one in read_told(tmp_path).evaluations]
    assert names == ["evaluation", "evaluation-ctc0.1"]


@pytest.fixture
def begun(run, tmp_path, monkeypatch, tiny_overrides):
    """The configuration of a run that begins with what is in the package, and learns nothing."""
    package_weights(run, folder=tmp_path / "weights")
    for place in ("adml.build.initial", "adml.spotting.spotter"):
        monkeypatch.setattr(f"{place}.PACKAGED", tmp_path / "weights" / "export")
    still = ("learning_rate", "constants_learning_rate", "bias_learning_rate")
    sets = ["training.initial=package", "seed=7", *(f"optimizer.{name}=0" for name in still)]
    return lambda *more: load_config(None, [*tiny_overrides, *sets, *more])


def test_a_run_begins_with_what_is_in_the_package(run, begun, tmp_path, speech_cache, eagerly):
    """With both encoders, and what it tells of them is what the run in the package tells."""
    after = tmp_path / "after"
    with eagerly():
        train(begun(), after, cache=speech_cache, stop_step=1)
    theirs, ours = load_run(run).model, load_run(after).model
    for part in ("acoustic", "text"):
        pairs = zip(getattr(theirs, part).weights, getattr(ours, part).weights, strict=True)
        for one, other in pairs:
            assert "moving" in one.name or np.array_equal(one, other), one.name
    told, model = (json.loads(path.read_text()) for path in (
        after / "initial.json", tmp_path / "weights" / "model.json"))  # fmt: skip
    config = load_config(run / "config.yaml")
    assert (told["run"], told["step"], told["sha256"]) == (config.name, 5, model["model"])
    assert told["train"] == ["train"] and told["initial"] == {}
    assert (after / "initial_texts.txt").read_text() == ""


def test_what_changes_no_weight_of_the_encoders_may_differ(begun, tmp_path):
    """And a record that is older than a setting has its default."""
    for sets in ("model.fast=false", "model.attention_projections=qkv"):
        require_initial(begun(sets), tmp_path / "after")
    path = tmp_path / "weights" / "evaluation.json"
    record = json.loads(path.read_text())
    del record["config"]["model"]["speech_embedding"]
    path.write_text(json.dumps(record))
    require_initial(begun(), tmp_path / "after")


def test_a_damaged_record_in_the_package_is_told(begun, tmp_path):
    path = tmp_path / "weights" / "evaluation.json"
    whole = path.read_text()
    for change in (
        lambda record: record["config"].update(losses=[]),
        lambda record: record["config"].update(data={"train": 3}),
        lambda record: record["config"].update(nobody=1),
        lambda record: record["details"].pop("step"),
        lambda record: record["details"].update(initial=[1]),
        lambda record: record.clear(),
    ):
        change(record := json.loads(whole))
        path.write_text(json.dumps(record))
        with pytest.raises(DataError, match="cannot be read: .*Install the package again"):
            require_initial(begun(), tmp_path / "after")


def test_what_is_in_the_package_must_fit_before_anything_is_prepared(
    begun, tmp_path, speech_cache
):
    after, weights = tmp_path / "after", tmp_path / "weights"
    with pytest.raises(DataError, match=r"The package cannot.*text_units 8 there, 16 here"):
        train(begun("model.text_units=16"), after, cache=speech_cache)
    assert not after.exists()
    for path in (weights / "export" / "text" / "variables").iterdir():
        path.write_bytes(path.read_bytes()[: 100])
    with pytest.raises(DataError, match="text cannot be read.*Install the package again"):
        train(begun(), after, cache=speech_cache)
    (weights / "evaluation.json").unlink()
    with pytest.raises(DataError, match="no record of the weights .*Install the package again"):
        train(begun(), after, cache=speech_cache)
    shutil.rmtree(weights)
    with pytest.raises(UsageError, match="There are no weights in the package to begin with"):
        train(begun(), after, cache=speech_cache)
    assert not (after / "checkpoints").exists()
