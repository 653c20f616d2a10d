"""From a run to a record: figures, lists, controls, and what is asked for and is not there."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from adml.config import load_config
from adml.data.trial_list import TrialList
from adml.errors import ConfigError, UsageError
from adml.evaluate import evaluate, evaluate_run, results_table
from adml.evaluation.records import read_record

pytestmark = pytest.mark.usefixtures("thin_encoders")


@pytest.fixture(scope="module")
def evaluated(tiny_run, speech_cache):
    return evaluate_run(tiny_run, cache=speech_cache)


@pytest.fixture(scope="module")
def untrained(tiny_run, speech_cache, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "control.json"
    return evaluate_run(
        tiny_run, cache=speech_cache, untrained=True, only=["words"], record_path=path
    )


def test_record_tells_all_that_made_the_figures(evaluated, tiny_run):
    record = evaluated.record
    assert evaluated.path == tiny_run / "records" / f"{record.name}.json"
    assert read_record(evaluated.path) == record
    assert record.config["training"]["steps"] == 5
    assert record.config["data"]["root"] == "", "a record can be given to others"
    assert record.data_hash == json.loads((tiny_run / "data.json").read_text())["data_hash"]
    assert set(record.trials) == set(record.metrics) == {"words", "choice"}
    for name, sha256 in record.trials.items():
        assert TrialList.read(tiny_run / "trials" / f"{name}.tsv").sha256 == sha256
    assert record.cost.steps == 5 and record.cost.seconds > 0
    assert record.details["step"] == 5
    trained = json.loads((tiny_run / "environment.json").read_text())
    assert record.details["trained_commit"] == trained["commit"]
    assert {"tensorflow", "numpy"} <= set(record.versions)


def test_figures_are_figures(evaluated):
    words = evaluated.record.metrics["words"]
    assert {"all", "seen"} <= set(words)
    for figures in words.values():
        for name in ("average_precision", "equal_error_rate", "roc_auc"):
            assert 0 <= figures[name]["value"] <= 1
    choice = evaluated.record.metrics["choice"]["all"]
    assert choice["chance_accuracy"]["value"] == pytest.approx(0.25)
    assert 0 <= choice["accuracy"]["value"] <= 1
    result = evaluated.results["words"]
    assert len(result.scores) == len(result.labels)
    assert np.abs(result.scores).max() <= 1 + 1e-5


def test_untrained_control_is_of_the_same_trials(evaluated, untrained):
    assert untrained.record.name.endswith("-untrained")
    assert untrained.path.name == "control.json"
    assert list(untrained.record.trials) == ["words"]
    assert untrained.record.trials["words"] == evaluated.record.trials["words"]
    assert untrained.record.cost.steps == 0
    assert not np.array_equal(untrained.results["words"].scores, evaluated.results["words"].scores)
    assert "seen" not in untrained.record.metrics["words"]


def test_second_stage_needs_a_frame_classifier(tiny_run, speech_cache, tmp_path):
    with pytest.raises(UsageError, match="no frame classifier.*Evaluate without --ctc-weight"):
        evaluate_run(
            tiny_run,
            cache=speech_cache,
            only=["words"],
            record_path=tmp_path / "two.json",
            ctc_weight=0.05,
        )
    assert not (tmp_path / "two.json").exists()


def test_second_stage_needs_two_encoders(tiny_run, speech_cache, monkeypatch):
    monkeypatch.setattr("adml.models.adml.ADML.pairwise", True, raising=False)
    with pytest.raises(UsageError, match="fuses pairs.*Evaluate without --ctc-weight"):
        evaluate_run(tiny_run, cache=speech_cache, only=["words"], ctc_weight=0.05)


def test_modalities_are_measured_at_both_levels(tiny_run, tmp_path, speech_cache):
    (tmp_path / "lists.yaml").write_text(
        "evaluation: {resamples: 20, trials: [{name: gap, kind: modality, folder: test, seed: 4}]}"
    )
    done = evaluate_run(
        tiny_run,
        config_path=tmp_path / "lists.yaml",
        cache=speech_cache,
        record_path=tmp_path / "record.json",
    )
    figures = done.record.metrics["gap"]
    assert set(figures) == {"utterance", "phoneme"}
    assert 0 <= figures["phoneme"]["probe_accuracy"]["value"] <= 1
    assert figures["utterance"]["centroid_gap"]["low"] is not None
    written = TrialList.read(tiny_run / "trials" / "gap.tsv")
    assert written.sha256 == done.record.trials["gap"]
    assert written.settings == {"seed": 4} and written.pair_label.all()
    said = [written.clips[clip].text for clip in written.pair_clip]
    assert said == [written.texts[text] for text in written.pair_text]
    assert "| gap | phoneme |" in done.table and "centroid gap / spread" in done.table


def test_modalities_need_two_encoders():
    trained = SimpleNamespace(model=SimpleNamespace(pairwise=True), folder="runs/cmcd")
    trials = TrialList("gap", "modality", (), (), [], [], [])
    with pytest.raises(UsageError, match="no space in which the modalities of 'gap'.*--trials"):
        evaluate(trained, [trials], "speech")


def test_table_has_a_row_for_every_model_list_and_part(evaluated, untrained):
    assert evaluated.table.count("\n") == 2 + sum(map(len, evaluated.record.metrics.values()))
    table = results_table([("trained", evaluated.record), ("before", untrained.record)])
    assert table.splitlines()[0].startswith("| model | trials | part | AP %")
    assert table.count("| before | words |") == len(untrained.record.metrics["words"])


def test_what_is_not_there_is_named(tiny_run, tmp_path, speech_cache):
    with pytest.raises(UsageError, match="no run folder"):
        evaluate_run(tmp_path)
    with pytest.raises(UsageError, match="No speech folder"):
        evaluate_run(tiny_run, speech=tmp_path / "absent")
    with pytest.raises(ConfigError, match="Cannot read configuration"):
        evaluate_run(tiny_run, config_path=tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="'nothing'"):
        evaluate_run(tiny_run, only=["nothing"], cache=speech_cache)


def test_lists_may_come_from_another_file(tiny_run, tmp_path, speech_cache, speech_folder):
    (tmp_path / "lists.yaml").write_text(
        "evaluation: {resamples: 0, trials: [{name: whole, kind: classification, folder: test,"
        " whole_file: true, min_seconds: 0}]}"
    )
    assert load_config(tmp_path / "lists.yaml").evaluation.resamples == 0
    done = evaluate_run(
        tiny_run,
        config_path=tmp_path / "lists.yaml",
        speech=speech_folder,
        cache=speech_cache,
        record_path=tmp_path / "record.json",
    )
    assert done.record.metrics["whole"]["all"]["accuracy"]["low"] is None
