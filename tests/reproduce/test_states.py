"""States: told from records and run folders alone, in a second, without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adml.cli import main
from adml.code_state import code_hashes, training_code
from adml.config_file import to_mapping
from adml.config_identity import digest, training_settings
from adml.evaluation.records import write_record
from adml.reproduce import states
from adml.reproduce.plan import make_plan, seeded
from adml.reproduce.states import (
    CAMPAIGN_LOCK,
    Identity,
    is_finished,
    record_path,
    run_folder,
    state_of,
)
from adml.training.lock import sole_trainer

CODE = {"losses/proxy": "1", "metrics/verification": "1", "models/cmcd": "1"}


@pytest.fixture
def plan(experiments):
    return make_plan(experiments, "table1", "open")


@pytest.fixture
def state(plan, tmp_path):
    """The state of row rp, seed 0, under some code and data."""

    def tell(code=CODE, identity=None, row="rp"):
        return state_of(
            plan, plan.row(row), 0, out=tmp_path / "runs", records=tmp_path / "records",
            code=code, identity=identity,
        )  # fmt: skip

    return tell


@pytest.fixture
def record(plan, tmp_path, make_record):
    """Writes a record of row rp."""

    def write(**changes):
        config = to_mapping(seeded(plan.row("rp").config, 0, "/elsewhere"))
        made = make_record(changes.pop("config", config), "rp", CODE, **changes)
        return write_record(made, record_path(tmp_path / "records", "rp", 0))

    return write


@pytest.fixture
def begun(plan, tmp_path) -> Path:
    """A run folder of row rp that is begun."""
    config = seeded(plan.row("rp").config, 0)
    folder = run_folder(tmp_path / "runs", "open", plan.row("rp"), 0, CODE, "d" * 64)
    folder.mkdir(parents=True)
    values = {"settings": digest(training_settings(config)), "code": training_code(CODE)}
    (folder / "reproduce.json").write_text(json.dumps(values))
    return folder


def checkpoint(folder: Path, step: int) -> None:
    (folder / "data.json").write_text(json.dumps({"total_steps": 5}))
    place = folder / "checkpoints" / f"step-{step:08d}"
    place.mkdir(parents=True)
    (place / "manifest.json").touch()


def test_nothing_was_run(state):
    assert state().kind == "not run"
    assert state(row="missing").kind == "no configuration"
    assert "missing.yaml" in state(row="missing").text


def test_done_until_something_changes(state, record, monkeypatch):
    record()
    assert state().text == "done"
    assert state({**CODE, "models/cmcd": "2", "models/new": "1"}).kind == "done"
    older = state({**CODE, "metrics/verification": "2"})
    assert older.text == "older code: metrics/verification"
    assert older.modules == ("metrics/verification",)
    monkeypatch.setattr(states, "_NAMED", 1)
    many = state(dict.fromkeys(CODE, "new"))
    assert many.text == "older code: losses/proxy and 1 more"
    assert many.modules == ("losses/proxy", "metrics/verification")
    identity = Identity("d" * 64, {"words": "e" * 64})
    assert state(identity=identity).kind == "done"
    assert state(identity=Identity("f" * 64, identity.lists)).text == "other data: training data"
    assert state(identity=Identity("d" * 64, {"words": "f" * 64})).text == "other data: words"


def test_a_record_of_other_settings_or_without_code(state, record, plan):
    config = to_mapping(plan.row("rp").config)
    record(config=config | {"training": config["training"] | {"steps": 6}})
    assert state().text == "other settings: training.steps"
    record(config=config | {"name": "x", "description": "another text"})
    assert state().kind == "done"
    record(config={"no": "configuration"})
    assert state().kind == "other settings"
    record(details={})
    assert state().kind == "older code"


def test_begun_and_trained(state, begun):
    assert state().text == "started: no step done"
    checkpoint(begun, 2)
    (begun / "checkpoints" / "step-00000004.part").mkdir()
    assert state().text == "started: step 2 of 5" and not is_finished(begun)
    with sole_trainer(begun, name=CAMPAIGN_LOCK):
        assert state().text == "running: step 2 of 5"
    checkpoint(begun, 5)
    assert state().text == "trained: not evaluated" and not is_finished(begun)
    (begun / "cost.json").write_text('{"steps": 4}')
    assert not is_finished(begun), "killed before the cost of the whole was written"
    (begun / "cost.json").write_text('{"steps": 5}')
    assert is_finished(begun)
    assert state({**CODE, "losses/proxy": "2"}).kind == "not run"
    assert state({**CODE, "metrics/verification": "2"}).kind == "trained"


def test_a_damaged_run_folder_is_told_and_hides_no_other(state, begun):
    """The rows beside it are told all the same, and so is another run of the row."""
    other = begun.with_name("seed0-00000000")
    other.mkdir()
    (other / "reproduce.json").write_text("{")
    assert state().text == "started: no step done"
    (begun / "data.json").write_text("[")
    found = state()
    assert found.kind == "damaged" and f"{other}/reproduce.json is damaged" in found.detail
    (other / "reproduce.json").unlink()
    assert f"{begun}/data.json is damaged" in state().detail
    assert state(row="triplet").kind == "not run"


def test_a_run_that_goes_on_is_told_above_a_record_of_other_settings(state, begun, record, plan):
    config = to_mapping(plan.row("rp").config)
    record(config=config | {"training": config["training"] | {"steps": 6}})
    checkpoint(begun, 2)
    assert state().kind == "started"
    record()
    assert state().kind == "done"


def test_run_folders_differ_with_settings_code_and_data(plan, tmp_path):
    row = plan.row("rp")

    def name(code=CODE, data="d", seed=0):
        return run_folder(tmp_path, "open", row, seed, code, data).name

    assert (
        name() == name({**CODE, "models/cmcd": "2"}) == name({**CODE, "metrics/verification": "2"})
    )
    others = [name({**CODE, "losses/proxy": "2"}), name(data="e"), name(seed=1)]
    assert len({name(), *others}) == 4 and others[2].startswith("seed1-")
    assert run_folder(tmp_path, "open", row, 0, CODE, "d").parent == tmp_path / "open" / "rp"


def test_listing(experiments, tmp_path, record, capsys, monkeypatch):
    record()
    monkeypatch.setattr("adml.reproduce.listing.code_hashes", lambda: CODE)
    given = ["reproduce", "table1", "--list", "--experiments", str(experiments), "--seeds", "2"]
    given += ["--out", str(tmp_path / "runs"), "--records", str(tmp_path / "records")]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "| `rp` | 1 | 0 | done | 50.00 [40.00, 60.00] |" in shown
    assert "| `rp` | 1 | 1 | not run |" in shown and shown.count("no configuration") == 2
    assert main([*given, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["row"], row["seed"], row["state"]) for row in rows[:2]] == [
        ("rp", 0, "done"), ("rp", 1, "not run"),
    ]  # fmt: skip
    assert rows[0]["figures"][0]["value"] == 0.5


def test_records_that_are_not_the_rows_are_told(experiments, tmp_path, record, capsys):
    """One that is damaged, a copy, one of a row that has other settings now."""
    record()
    folder = tmp_path / "records"
    (folder / "rp-seed0 copy.json").write_bytes((folder / "rp-seed0.json").read_bytes())
    (folder / "triplet-seed0.json").write_text("{")
    given = ["reproduce", "table1", "--experiments", str(experiments)]
    given += ["--out", str(tmp_path / "runs"), "--records", str(folder)]
    assert main([*given, "--render-only"]) == 0
    shown, told = capsys.readouterr()
    assert "| 75.10 | 50.00 [40.00, 60.00] (a) | 0 |" in shown and "other settings" not in shown
    for kept in (shown, told):
        assert "rp-seed0 copy.json: It is the record of row 'rp', seed 0: rp-seed0.json." in kept
        assert "triplet-seed0.json: the record cannot be read" in kept
    (experiments / "paper" / "rp.yaml").write_text("losses: {ctc_weight: 0.5}\n")
    assert main([*given, "--render-only"]) == 0
    shown = capsys.readouterr().out
    assert "(a) made with other settings than the row has now: " in shown
    assert "losses.ctc_weight" in shown
    assert main([*given, "--list"]) == 0
    assert "| set aside: the record cannot be read" in capsys.readouterr().out
    given[-1] = str(folder / "triplet-seed0.json")
    assert main([*given, "--list"]) == 2
    assert "is a file. Expected: --records DIR" in capsys.readouterr().err


def test_figures_of_a_trial_are_no_results(tmp_path, monkeypatch):
    """They stay with the runs, so that `adml results` never shows them."""
    asked = []
    monkeypatch.setattr("adml.reproduce.listing.render", lambda plan, folder: asked.append(folder))
    monkeypatch.setattr("adml.reproduce.listing.list_states", lambda *given, **more: [])
    monkeypatch.setattr("adml.reproduce_options.sys.stdout.write", lambda text: None)
    for scale in ("smoke", "open"):
        main(["reproduce", "table1", "--scale", scale, "--render-only", "--out", str(tmp_path)])
    assert asked == [tmp_path / "smoke" / "records", Path("experiments/records/open")]


@pytest.mark.parametrize("what", ["--list", "--render-only", "--diff"])
def test_without_tensorflow_and_in_seconds(experiments, tmp_path, record, what):
    record()
    given = ["reproduce", "all", what, "--experiments", str(experiments)]
    given += ["--out", str(tmp_path / "runs"), "--records", str(tmp_path / "records")]
    script = (
        "import sys; from adml.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'tensorflow', 'tf_keras', 'matplotlib', 'sklearn'} & set(sys.modules);"
        "sys.exit(code or (str(heavy) if heavy else 0))"
    )
    before = time.process_time()
    done = subprocess.run(
        [sys.executable, "-c", script, *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rp" in done.stdout and time.process_time() - before < 5


def test_the_real_listing_names_every_row(capsys):
    experiments = Path(__file__).resolve().parents[2] / "experiments"
    assert main(["reproduce", "--list", "--experiments", str(experiments)]) == 0
    told = capsys.readouterr().out
    assert told.count("\n| `") == 16
    assert main(["reproduce", "all", "--list", "--experiments", str(experiments)]) == 0
    assert capsys.readouterr().out == told
    assert main(["reproduce", "--experiments", str(experiments)]) == 2
    assert "Expected: one of table1, table2, table3, table4, all" in capsys.readouterr().err
    assert len(code_hashes()) > 50
