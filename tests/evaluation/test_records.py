import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from adml.errors import DataError
from adml.evaluation.records import (
    Cost,
    Record,
    environment,
    git_state,
    package_versions,
    read_record,
    read_records,
    write_record,
)


def figure(value, low=None, high=None, n=10):
    return {"value": value, "low": low, "high": high, "n": n}


@pytest.fixture
def record() -> Record:
    return Record(
        name="adml_sf2", config={"seed": 3, "losses": {"weight": 0.1}}, commit="c" * 40,
        dirty=False, seed=3, data_hash="d" * 64, trials={"words": "e" * 64},
        metrics={"words": {"all": {"roc_auc": figure(0.9, 0.8, 0.95)}}},
        cost=Cost(60.0, 110.0, 100, 50_000, 1500.0, 0.02), versions={"numpy": "1"},
        command="adml train --set a=b", created="2026-01-02T03:04:05+00:00",
    )  # fmt: skip


def test_what_is_written_is_read_back(record, tmp_path):
    path = write_record(record, tmp_path / "deep" / "run.json")
    assert read_record(path) == record
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]
    assert read_records(path.parent) == [record]
    assert record.to_dict()["cost"]["steps"] == 100


def test_numpy_values_become_json(record, tmp_path):
    details = {"confusions": np.eye(2, dtype=np.int64), "accuracy": np.float32(0.5)}
    read = read_record(write_record(replace(record, details=details), tmp_path / "r.json"))
    assert read.details == {"confusions": [[1, 0], [0, 1]], "accuracy": 0.5}
    with pytest.raises(TypeError, match="object cannot stand in a record"):
        write_record(replace(record, details={"x": object()}), tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "3"}, "seed is wrong. Expected: int. Received: str"),
        ({"seed": True}, "seed is wrong"),
        ({"colour": 1}, "unknown field colour"),
        ({"cost": {"euros": 1}}, "unknown field cost.euros"),
        ({"cost": {"seconds": "long"}}, "cost.seconds is wrong. Expected: a number"),
        ({"cost": {"seconds": 10**400}}, "cost.seconds is wrong. Expected: a number"),
        ({"metrics": {"words": {"all": {"roc_auc": figure(10**400)}}}}, "finite number or null"),
        ({"cost": {"steps": float("nan")}}, "cost.steps is wrong. Expected: a number"),
        ({"trials": {}}, "'words' have no hash"),
        ({"metrics": {"words": {"all": {"roc_auc": 0.9}}}}, r"roc_auc is wrong. Expected: dict"),
        ({"metrics": {"words": {"all": {"roc_auc": {"value": 1}}}}}, "value, low, high and n"),
        ({"metrics": {"words": {"all": {"roc_auc": figure("1")}}}}, "finite number or null"),
        ({"metrics": {"words": {"all": {"roc_auc": figure(1.0, n=-1)}}}}, "Expected: a count"),
        ({"metrics": {"words": 3}}, "metrics.words is wrong"),
    ],
)
def test_a_wrong_record_is_refused_with_its_file(record, tmp_path, change, message):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(record.to_dict() | change))
    with pytest.raises(DataError, match=message) as caught:
        read_record(path)
    assert "r.json" in str(caught.value)


def test_missing_damaged_and_incomplete_files(record, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_record(tmp_path / "none.json")
    (tmp_path / "half.json").write_text(json.dumps(record.to_dict())[:50])
    with pytest.raises(DataError, match="cannot be read"):
        read_record(tmp_path / "half.json")
    (tmp_path / "half.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read: maximum recursion depth"):
        read_record(tmp_path / "half.json")
    (tmp_path / "half.json").write_text("[1]")
    with pytest.raises(DataError, match="JSON object"):
        read_record(tmp_path / "half.json")
    values = record.to_dict()
    del values["commit"]
    (tmp_path / "half.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="field commit is missing"):
        read_record(tmp_path / "half.json")
    with pytest.raises(DataError, match="no such folder"):
        read_records(tmp_path / "none")


def test_a_value_that_is_not_finite_is_refused(record):
    with pytest.raises(DataError, match="finite number"):
        replace(record, metrics={"words": {"all": {"roc_auc": figure(float("nan"))}}})


def test_git_state(tmp_path):
    assert git_state(tmp_path / "none") == ("unknown", False)

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "--no-verify", "-m", "first")
    commit, dirty = git_state(tmp_path)
    assert len(commit) == 40 and not dirty
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == (commit, True)


def test_environment_names_what_decides_a_figure():
    assert package_versions()["tensorflow"]
    found = environment()
    assert {"python", "platform", "versions", "commit", "dirty", "processors"} <= set(found)
    json.dumps(found)
