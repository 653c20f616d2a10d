"""A miniature of experiments/: one table of two rows, and a scale on miniature speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adml.evaluation.records import Record
from adml.reproduce.campaign import Settings

TABLES = """tables:
  - name: table1
    title: "Table 1: losses"
    measured: "Which loss."
    columns: [{key: ap, test: words, metric: average_precision, paper: "WSJ AP %"}]
    rows:
      - {config: rp, label: RP, paper: {ap: 75.10}}
      - {config: triplet, label: triplet, paper: {ap: 86.25}}
      - {config: missing, label: missing}
claims: [{text: "the triplet loss helps", table: table1, better: triplet, worse: rp}]
"""
RP = """losses:
  phoneme: {kind: none}
  monotonic: {weight: 0}
  keyword: {kind: none}
  adversarial: {phoneme: false, utterance: false}
"""
TRIPLET = RP.replace("keyword: {kind: none}", "keyword: {kind: triplet}")
SCALE = """text: five steps
tests: {words: words}
needs: [{path: train/words.tsv, what: speech to train on}]
settings:
  data: {max_words: 2}
  batches: {keywords: 4, keyword_classes: 6}
  model: {text_units: 8}
  optimizer: {learning_rate: 1e-3}
  training:
    {steps: 5, log_every_steps: 2, checkpoint_every_steps: 2, gradient_norms_every_steps: 0,
     compile: false}
  evaluation:
    resamples: 20
    trials: [{name: words, folder: test, min_seconds: 0.2, max_clips: 8, negatives: 1}]
"""


@pytest.fixture(scope="session")
def make_experiments() -> Callable[..., Path]:
    """Writes the miniature, as `tables.yaml`, `paper/` and `scale/open.yaml` of a folder."""

    def make(folder: Path, *, tables: str = TABLES, scale: str = SCALE, **rows: str) -> Path:
        for name in ("paper", "scale"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "tables.yaml").write_text(tables)
        (folder / "scale" / "open.yaml").write_text(scale)
        for name, text in ({"rp": RP, "triplet": TRIPLET} | rows).items():
            (folder / "paper" / f"{name}.yaml").write_text(text)
        return folder

    return make


@pytest.fixture
def experiments(tmp_path, make_experiments) -> Path:
    """The miniature, to be changed."""
    return make_experiments(tmp_path / "experiments")


@pytest.fixture(scope="session")
def settings_in(speech_folder, speech_cache) -> Callable[..., Settings]:
    """Settings whose runs and records are in a folder."""

    def make(folder: Path, **changes) -> Settings:
        values = {"out": folder / "runs", "records": folder / "records", "cache": speech_cache}
        return Settings(**(values | {"speech": speech_folder} | changes))

    return make


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Makes a record of the miniature's list."""

    def make(config: dict, name: str, code: dict, **changes) -> Record:
        figure = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 16}
        values = {
            "name": name, "config": config, "commit": "c" * 40, "dirty": False, "seed": 0,
            "data_hash": "d" * 64, "trials": {"words": "e" * 64},
            "metrics": {"words": {"all": {"average_precision": figure}}}, "details": {"code": code},
        }  # fmt: skip
        return Record(**(values | changes))

    return make
