"""A table of the paper is made by one command, on a few synthetic words; a step of every row is
taken in `tests/test_experiments_configs.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adml.cli import main
from adml.evaluation.records import read_records

pytestmark = pytest.mark.usefixtures("thin_encoders")

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def test_all_rows_of_a_table_run_and_are_recorded(tmp_path, speech_cache, capsys):
    pytest.importorskip("espeakng_loader", reason="the extra synth is not installed")
    given = ["reproduce", "table4", "--scale", "smoke", "--experiments", str(EXPERIMENTS)]
    given += ["--out", str(tmp_path / "runs"), "--records", str(tmp_path / "records")]
    assert main([*given, "--cache", str(speech_cache)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n### Table") == 1 and "What the paper claims" in shown
    assert "*not run*" not in shown and "**not run**" not in shown
    assert "not comparable" not in shown and "no configuration" not in shown
    assert main([*given, "--list", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in values["rows"]] == ["done"] * 4
    assert len(values["claims"]) == 3 * 4
    records = {record.name: record for record in read_records(tmp_path / "records")}
    assert set(records) == {"cmcd", "phonmatchnet", "rp", "adml_sf2"}
    assert {record.data_hash for record in records.values()} == {records["rp"].data_hash}
    assert len({json.dumps(record.trials) for record in records.values()}) == 1
    differs = records["adml_sf2"].details["differs"]["table4"]
    assert differs["keys"]["losses.keyword.kind"][1] == "sphereface2"
    assert records["rp"].details["differs"]["table4"]["from"] == "cmcd"
    assert all(record.cost.steps == 1 for record in records.values())
