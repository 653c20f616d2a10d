"""Plans: the rows of the paper's tables, what a scale lays over them, and whether that is fair."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from adml.cli import main
from adml.config import load_config
from adml.config_file import to_mapping
from adml.config_identity import (
    differences,
    digest,
    settings_of,
    training_settings,
    without,
)
from adml.data.trial_list import Clip, TrialList
from adml.errors import ConfigError, DataError, UsageError
from adml.reproduce.plan import laid_over, make_plan, refuse_unfair, seeded, table_differences
from adml.reproduce.speech import draw_lists, speech_root

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
ROWS = {
    "table1": "rp proxy_bd proxy_ms clat asyp asyp_adams",
    "table2": "rp rp_utterance_mal asyp_adams phoneme_mal adml cmcd cmcd_mal phonmatchnet "
    "phonmatchnet_mal",
    "table3": "adml adml_triplet adml_aam_softmax adml_sf2",
    "table4": "cmcd phonmatchnet rp adml_sf2",
}
AVERAGE_PRECISION = {
    "rp": 75.10, "proxy_bd": 83.72, "proxy_ms": 84.32, "clat": 83.59, "asyp": 84.42,
    "asyp_adams": 85.54, "rp_utterance_mal": 81.41, "phoneme_mal": 86.12, "adml": 86.23,
    "adml_triplet": 86.25, "adml_aam_softmax": 87.44, "adml_sf2": 90.24, "cmcd": 46.17,
    "cmcd_mal": 49.60, "phonmatchnet": 69.97, "phonmatchnet_mal": 72.45,
}  # fmt: skip
LIBRIPHRASE = {
    "cmcd": [4.20, 25.94, 99.12, 81.14],
    "phonmatchnet": [2.33, 24.11, 99.70, 83.39],
    "rp": [1.54, 22.45, 99.84, 85.31],
    "adml_sf2": [1.33, 20.09, 99.86, 88.71],
}


@pytest.mark.parametrize("table", ROWS)
def test_rows_and_figures_are_the_papers(table):
    (found,) = make_plan(EXPERIMENTS, table, "smoke").tables
    assert [row.config for row in found.rows] == ROWS[table].split()
    for row in found.rows:
        told = list(row.paper.values())
        wanted = [AVERAGE_PRECISION[row.config]]
        assert told == (LIBRIPHRASE[row.config] if table == "table4" else wanted), row.config
    columns = [(column.test, column.metric) for column in found.columns]
    phrases = [
        (f"phrases_{level}", metric)
        for metric in ("equal_error_rate", "roc_auc")
        for level in ("easy", "hard")
    ]
    assert columns == (phrases if table == "table4" else [("words", "average_precision")])


def test_the_rows_headers_agree_with_the_tables():
    """Which table, what is active, what it costs, and the paper's figures."""
    for table in make_plan(EXPERIMENTS, "all", "smoke").tables:
        for row in table.rows:
            text = (EXPERIMENTS / "paper" / f"{row.config}.yaml").read_text(encoding="utf-8")
            head = " ".join(line for line in text.splitlines() if line.startswith("#"))
            wanted = [table.name.replace("table", "Table "), "Active: ", "Cost in the paper: "]
            wanted += [f"{figure:.2f}" for figure in row.paper.values()]
            assert not [told for told in wanted if told not in head], row.config


def test_all_tables_have_sixteen_rows_each_once():
    plan = make_plan(EXPERIMENTS, "all", "smoke")
    assert len(plan.rows) == len(set(plan.chosen)) == 16
    assert plan.row("rp").tables == ("table1", "table2", "table4")
    files = {path.stem for path in (EXPERIMENTS / "paper").glob("*.yaml")}
    assert files == set(plan.chosen)
    assert not [row.problem for row in plan.rows if row.problem]


@pytest.mark.parametrize("scale", ["paper", "open", "smoke"])
def test_the_scales_are_fair_and_play_their_roles(scale):
    plan = make_plan(EXPERIMENTS, "all", scale)
    refuse_unfair(plan)
    lists = {trials.name for trials in plan.rows[0].config.evaluation.trials}
    assert set(plan.scale.tests.values()) <= lists
    rows = [row for t in plan.tables for row in table_differences(plan, t).values()]
    odd = {key for row in rows for key in row if not key.startswith("losses.")}
    rates = {"optimizer.learning_rate", "optimizer.weight_decay"} if scale == "paper" else set()
    assert odd == {"model.kind", *rates}


def test_the_open_scale_asks_for_every_file_that_it_reads():
    """All lists are drawn whatever the table, so each table needs the files of all."""
    plan = make_plan(EXPERIMENTS, "table1", "open")
    config = plan.row("rp").config
    read = {f"{name.split(':')[0]}/words.tsv" for name in config.data.train}
    for trials in config.evaluation.trials:
        read.add(f"{trials.folder}/{trials.words_file}")
    assert len(read) == 5
    assert read <= {need.path for need in plan.scale.needs if not need.tables}


def test_the_scale_is_laid_over_the_row():
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    above = {"a": {"y": [3], "z": {"q": 4}}, "c": 5}
    assert laid_over(below, above) == {"a": {"x": 1, "y": [3], "z": {"q": 4}}, "b": 2, "c": 5}
    assert below == {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    config = make_plan(EXPERIMENTS, "table4", "open").row("cmcd").config
    assert config.name == "cmcd" and config.model.kind == "cmcd" and config.training.steps == 640
    assert config.optimizer.weight_decay == 1e-5


def test_differences_by_pencil():
    first = {"a": {"x": 1, "y": 2}, "b": [1], "c": 0}
    second = {"a": {"x": 1, "y": 3}, "b": [1, 2], "d": 0}
    assert differences(first, second) == {
        "a.y": (2, 3), "b": ([1], [1, 2]), "c": (0, None), "d": (None, 0),
    }  # fmt: skip
    assert differences(first, first) == {}


def test_what_is_left_without_some_keys():
    values = {"a": {"x": 1, "y": {"z": 2}}, "ab": 3, "c": 4}
    assert without(values, ["a.y.z", "c", "a.w"]) == {"a": {"x": 1, "y": {}}, "ab": 3}
    assert without(values, ["a", "ab.x"]) == {"ab": 3, "c": 4}


def test_what_tells_experiments_apart():
    config = load_config(None, ["name=a", "description=b", "data.root=/here"])
    other = load_config(None, ["name=c", "data.root=/there"])
    assert settings_of(config) == settings_of(other) == settings_of(to_mapping(config))
    assert settings_of(seeded(config, 1)) != settings_of(config)
    lists = load_config(None, ["evaluation.resamples=7"])
    assert settings_of(lists) != settings_of(config)
    assert digest(training_settings(lists)) == digest(training_settings(config))
    old = to_mapping(config)
    del old["training"]["compile"]
    assert settings_of(old) == settings_of(config), "a younger field has its default"


def test_rows_that_differ_in_more_are_refused(tmp_path, make_experiments):
    odd = "losses: {phoneme: {kind: none}}\ntraining: {replicas: 2}\ncut: {jitter_ms: 7}\n"
    plan = make_plan(make_experiments(tmp_path, triplet=odd), "table1", "open")
    with pytest.raises(UsageError, match="not be comparable.*table1: triplet has") as caught:
        refuse_unfair(plan)
    told = str(caught.value)
    assert "cut.jitter_ms 7.0, not 20.0" in told and "training.replicas 2, not 0, of rp" in told
    assert "losses.phoneme.kind" not in told and "experiments/scale/open.yaml" in told
    other = "model: {attention_projections: none}\n"
    plan = make_plan(make_experiments(tmp_path, triplet=other), "table1", "open")
    with pytest.raises(UsageError, match="triplet has model.attention_projections 'none'"):
        refuse_unfair(plan)


def test_what_the_scale_overrules_in_a_row_is_told(tmp_path, make_experiments, capsys):
    """A setting of the row's own file that does nothing; one that is the scale's is not told."""
    own = "training: {steps: 7, checkpoint_every_steps: 2}\noptimizer: {weight_decay: 0.5}\n"
    folder = make_experiments(tmp_path, triplet=own.partition("opt")[0])
    plan = make_plan(folder, "table1", "open")
    assert plan.row("triplet").overruled == {"training.steps": (7, 5)}
    assert plan.row("triplet").config.training.steps == 5 and not plan.row("rp").overruled
    given = ["reproduce", "table1", "--diff", "--experiments", str(folder)]
    assert main(given) == 0
    assert "\ntriplet: the scale overrules training.steps 7 by 5.\n" in capsys.readouterr().out
    assert main([*given, "--rows", "rp"]) == 0 and "overrules" not in capsys.readouterr().out
    make_experiments(tmp_path, triplet=own)
    assert main(given) == 2, "the difference is shown, and that no such row is run"
    shown, told = capsys.readouterr()
    assert "| `triplet` | optimizer.weight_decay | 1e-05 | 0.5 |" in shown
    assert "not be comparable. table1: triplet has optimizer.weight_decay 0.5" in told


def test_mistakes_are_told(experiments, make_experiments):
    with pytest.raises(UsageError, match="No row 'asyp' in table1.*rp, triplet, missing"):
        make_plan(experiments, "table1", "open", ["asyp"])
    with pytest.raises(UsageError, match="No row 'tripplet'.*Nearest: 'triplet'"):
        make_plan(experiments, "table1", "open", ["tripplet"])
    with pytest.raises(UsageError, match="No row 'cmcd' in table1. It is in table2, table4."):
        make_plan(EXPERIMENTS, "table1", "smoke", ["rp", "cmcd"])
    with pytest.raises(ConfigError, match="scale/smoke.yaml"):
        make_plan(experiments, "table1", "smoke")
    plan = make_plan(experiments, "all", "open", ["triplet"])
    assert plan.chosen == ("triplet",) and len(plan.rows) == 3
    assert "missing.yaml" in plan.row("missing").problem
    make_experiments(experiments, scale="settings: {training: {stepz: 5}}")
    with pytest.raises(ConfigError, match="training.stepz.*Nearest: 'steps'"):
        make_plan(experiments, "table1", "open")


def test_the_papers_corpora_are_asked_for_in_one_message(tmp_path, capsys):
    given = ["reproduce", "all", "--scale", "paper", "--out", str(tmp_path / "runs")]
    assert main(given) == 2
    told = capsys.readouterr().err
    for path in ("king_asr_066/words.tsv", "wsj/manifest.tsv", "musan/manifest.tsv", "rir:"):
        assert f"\n  {path}" in told
    for subset in ("easy", "hard"):
        assert f"\n  libriphrase/libriphrase-csv-{subset}.tsv: " in told
    assert "`adml trials libriphrase --csv DIR/" in told and "Expected: --speech DIR" in told
    assert "Columns: path, word, speaker, start, end, index." in told
    assert "210,000 words" in told and "11 GB" in told and "135,342" in told
    assert "`adml data doctor --speech DIR`" in told
    (tmp_path / "king_asr_066").mkdir()
    (tmp_path / "rir").mkdir()
    (tmp_path / "king_asr_066" / "words.tsv").touch()
    assert main([*given, "--speech", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path} lacks" in told and "king_asr_066/manifest.tsv" in told
    assert "king_asr_066/words.tsv" not in told and f"doctor --speech {tmp_path}`" in told
    assert "\n  rir: " in told, "an empty folder is no room"
    (tmp_path / "rir" / "ROOM.WAV").touch()
    main([*given, "--speech", str(tmp_path)])
    assert "\n  rir: " not in capsys.readouterr().err
    main(["reproduce", "table3", "--scale", "paper"])
    assert "libriphrase" not in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_lists_that_no_chosen_table_needs_may_be_missing(tmp_path, make_experiments):
    scale = (
        "tests: {words: words}\nsettings: {evaluation: {trials: ["
        "{name: words, kind: file, folder: words.tsv}, {name: lp, kind: file, folder: lp/lp.tsv}]}}"
    )
    plan = make_plan(make_experiments(tmp_path / "experiments", scale=scale), "table1", "open")
    clips = [Clip("a.wav", 0.0, 1.0, "a", "a")]
    lists = [TrialList(name, "wsj", clips, ["a", "b"], [0, 0], [0, 1], [1, 0]) for name in
             ("words", "lp")]  # fmt: skip
    given = (plan, tmp_path, None, tmp_path / "drawn")
    with pytest.raises(DataError, match="words.tsv"):
        draw_lists(*given)
    lists[0].write(tmp_path / "words.tsv")
    assert [trials.name for trials in draw_lists(*given)] == ["words"]
    lists[1].write(tmp_path / "lp" / "lp.tsv")
    drawn = draw_lists(*given)
    assert [trials.sha256 for trials in drawn] == [trials.sha256 for trials in lists]
    assert (tmp_path / "drawn" / "lp.tsv").read_bytes() == lists[1].to_bytes()


def test_a_role_without_a_list_is_told(tmp_path, make_experiments):
    plan = make_plan(make_experiments(tmp_path, scale="text: nothing"), "table1", "open")
    with pytest.raises(UsageError, match="No list of trials of this scale plays the role 'words'"):
        speech_root(plan, tmp_path, tmp_path)


def test_the_trial_scale_makes_its_speech(tmp_path, monkeypatch):
    plan = make_plan(EXPERIMENTS, "table1", "smoke")
    asked = []

    def make(folder, **given):
        lock = folder.parent / f".{folder.name}.lock"
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        asked.append((folder.parent, given))
        return folder

    monkeypatch.setattr("adml.reproduce.speech.make_corpus", make)
    speech_root(plan, None, tmp_path)
    assert asked == [(tmp_path, plan.scale.synthetic)]
    assert speech_root(plan, tmp_path, tmp_path) == tmp_path.resolve()


def test_differences_are_shown(capsys):
    assert main(["reproduce", "table3", "--diff", "--experiments", str(EXPERIMENTS)]) == 0
    shown = capsys.readouterr().out
    assert "| `adml_sf2` | losses.keyword.kind | 'none' | 'sphereface2' |" in shown
    assert shown.count("\n| `") == 3
    given = ["reproduce", "table3", "--diff", "--json", "--experiments", str(EXPERIMENTS)]
    assert main([*given, "--rows", "adml", "--rows", "adml_triplet,adml_sf2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["row"], one["own"]) for one in told] == [
        ("adml_triplet", "triplet"), ("adml_sf2", "sphereface2"),
    ]  # fmt: skip
