"""The page of a run: drawn from what there is, without TensorFlow, and never at the run's cost."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adml import run_report
from adml.cli import main
from adml.errors import DataError, UsageError
from adml.evaluation.records import read_records, write_record
from adml.run_report import report_run, try_report

pytestmark = pytest.mark.usefixtures("thin_encoders")

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {"losses", "modality", "constants", "scales", "gradients", "speed"}


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the tiny run without records."""
    ignored = shutil.ignore_patterns("trials", "records", "export", "report", "checkpoints")
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)


def figures(folder: Path) -> set[str]:
    """Names of the figures in a report; all are whole PNG files with something in them."""
    paths = list((folder / "report").glob("*.png"))
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 8000, path
    return {path.stem for path in paths}


def test_a_run_without_records_needs_no_tensorflow(run):
    code = "import sys; from adml.cli import main; code = main(sys.argv[1:])\n"
    code += "sys.exit(code or 10 * ('tensorflow' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, "report", str(run), "--json"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert figures(run) == FIGURES
    told = json.loads(done.stdout)
    assert told["page"] == str(run / "report" / "index.html") and len(told["figures"]) == 6
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 6 and "5 of 5 steps" in page and "Not evaluated yet" in page
    assert "adml evaluate" in page and re.search(r"<td>steps</td><td>5</td>", page)


def test_what_a_run_does_not_have_is_left_out(run):
    """A run of fixed constants that was never measured, with a quickstart's figure of the model."""
    for name in ("constants.csv", "gradient_norms.csv", "cost.json", "environment.json"):
        (run / name).unlink()
    (run / "metrics.csv").write_text("step,total\n2,3.5\n4")
    page = report_run(run).read_text(encoding="utf-8")
    assert figures(run) == {"losses"} and "2 of 5 steps" in page
    shutil.copy(run / "report" / "losses.png", run / "report" / "alignment.png")
    (run / "metrics.csv").write_text("step,total\n")
    (run / "gradient_norms.csv").write_text("")
    page = report_run(run).read_text(encoding="utf-8")
    assert re.findall('alt="([^"]+)"', page) == ["Alignment"]


def test_figures_of_records_stand_on_the_page(run):
    records = sorted((ROOT / "experiments" / "records").glob("infonce*.json"))
    for path in records:
        (run / "records").mkdir(exist_ok=True)
        shutil.copy(path, run / "records")
    first = read_records(run / "records")[0]
    for name in run.glob("*.csv"):
        name.unlink()
    page = report_run(run).read_text(encoding="utf-8")
    assert "infonce" in page and "Not evaluated yet" not in page
    for test in first.metrics:
        assert f"<h2>{test.replace('_', ' ')}</h2>" in page
    (run / "records" / "bad.json").write_text("{")
    with pytest.raises(DataError, match="bad.json.*cannot be read"):
        report_run(run)


def test_the_runs_own_record_comes_first(run):
    record = read_records(ROOT / "experiments" / "records")[0]
    values = vars(record)
    for name in ("adml_sf2-untrained", "adml_sf2", "a-first-letter"):
        other = type(record)(**(values | {"name": name}))
        write_record(other, run / "records" / f"{name}.json")
    for path in run.glob("*.csv"):
        path.unlink()
    assert "<title>adml_sf2</title>" in report_run(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["metrics.csv", "constants.csv", "gradient_norms.csv"])
def test_damaged_tables_are_told(run, name, monkeypatch):
    (run / name).write_text("nothing,of,it\n1,2,3\n")
    for path in run.glob("*.csv"):
        if path.name != name:
            path.unlink()
    with pytest.raises(DataError, match=f"{name}: Expected: rows with a column step"):
        report_run(run)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run folder.*adml train"):
        report_run(tmp_path)


def test_a_run_ends_with_its_page(tiny_run, tmp_path, speech_cache, monkeypatch, capsys):
    """The last step of a run by the command line, without its work."""
    from adml.training.step import TrainingStep

    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("records"))
    shutil.rmtree(run / "checkpoints" / "step-00000005")
    monkeypatch.setattr(TrainingStep, "__call__", lambda *_: {"total": 3.5})
    drawn = []
    monkeypatch.setattr(run_report, "report_run", drawn.append)
    train = ["train", "--resume", "--out", str(run), "--cache", str(speech_cache)]
    assert main(train) == 0
    assert drawn == [run] and capsys.readouterr().out == f"{run}\n"
    assert main(train) == 0 and drawn == [run]  # It is finished: nothing is drawn anew.


def test_a_figure_that_fails_does_not_fail_the_run(run, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(run_report.plots, "loss_curves", fail)
    with caplog.at_level(logging.WARNING):
        try_report(run)
    assert "is not written (ZeroDivisionError: no such luck). The run is whole" in caplog.text
    assert not (run / "report" / "index.html").exists()
