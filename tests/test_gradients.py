"""The pull of each loss term on the encoders."""

from __future__ import annotations

import json
import shutil

import pytest
import tensorflow as tf

from adml import gradients
from adml.cli import main
from adml.config import dump_config, load_config
from adml.errors import UsageError
from adml.experiment import require_encoders

pytestmark = pytest.mark.usefixtures("thin_encoders")


@pytest.fixture(scope="module")
def rows(tiny_run, speech_cache):
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    measured = gradients.term_gradients(tiny_run, cache=speech_cache, batches=1)
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    return {(row.term, row.encoder): row for row in measured}


def test_every_weighted_term_pulls_on_the_encoders_it_can_reach(rows):
    terms = {term for term, _ in rows}
    assert {"utterance_asyp", "phoneme", "keyword", "monotonic", "rpl_angle"} <= terms
    assert {"adversarial_phoneme", "adversarial_utterance"} <= terms
    assert not {"total", "phoneme_centred", "utterance_infonce"} & terms
    for (term, encoder), row in rows.items():
        if encoder == "text" and term in ("keyword", "rpl_distance", "rpl_angle"):
            assert row.norm == 0 and row.cosine is None, f"{term} moves audio alone"
        else:
            assert row.norm > 0 and -1 <= row.cosine <= 1
    assert rows["phoneme", "acoustic"].weight == pytest.approx(0.1)


def test_every_row_agrees_with_the_gradient_of_the_total(rows, tiny_run, speech_cache):
    """The projections of the terms on the total's gradient add up to its norm."""
    training, step = gradients.open_training(tiny_run, speech_cache)
    epoch, place = divmod(step, training.source.batches_per_epoch)
    fraction = training.margin(step / training.source.batches_per_epoch)
    with tf.GradientTape() as tape:
        batch = training.step.distribute(training.source.batch(epoch, place))
        total = training.step.terms(batch, tf.constant(fraction, tf.float32))["total"]
    variables = training.step.model.text.trainable_variables
    # Rows of an embedding that occur twice are one gradient, so it is made dense first.
    dense = [tf.convert_to_tensor(one) for one in tape.gradient(total, variables)]
    wanted = float(tf.linalg.global_norm(dense))
    reached = [row for (_, encoder), row in rows.items() if encoder == "text" and row.norm]
    assert sum(row.norm * row.cosine for row in reached) == pytest.approx(wanted, rel=1e-3)


def test_mean_is_over_what_is_known():
    assert gradients._mean([None, 1.0, 2.0]) == 1.5 and gradients._mean([None]) is None


def test_table_puts_the_strongest_pull_first():
    weak = gradients.TermGradient("ctc", "text", 2.0, 0.15, 0.1, 0.5)
    strong = gradients.TermGradient("phoneme", "text", 100.0, 0.1, 9.0, -0.25)
    lines = gradients.format_gradients([weak, strong]).splitlines()
    assert [line.split()[0] for line in lines] == ["term", "phoneme", "ctc"]
    assert "-0.250" in lines[1]
    unreached = gradients.TermGradient("keyword", "text", 2.0, 1.0, 0.0, None)
    assert gradients.format_gradients([unreached]).endswith("–")


def test_speech_that_has_moved_is_given(rows, tiny_run, speech_folder, tmp_path, capsys):
    ignored = shutil.ignore_patterns("trials", "records", "export")
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)
    moved = shutil.copytree(speech_folder, tmp_path / "moved")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(speech_folder), str(tmp_path / "gone")))
    given = ["gradients", str(run), "--cache", str(tmp_path / "cache"), "--batches", "1", "--json"]
    assert main(given) == 3
    assert "gone" in capsys.readouterr().err
    assert main([*given, "--speech", str(moved)]) == 0
    told = {(row["term"], row["encoder"]): row for row in json.loads(capsys.readouterr().out)}
    assert told.keys() == rows.keys()
    assert all(told[key]["norm"] == row.norm for key, row in rows.items())


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run folder"):
        gradients.term_gradients(tmp_path)


def test_a_baseline_is_refused(tmp_path):
    """It has no two encoders; that is told before any data is read."""
    baseline = ["model.kind=cmcd", "losses.phoneme.kind=none", "losses.keyword.kind=none"]
    config = load_config(None, [*baseline, "losses.adversarial.utterance=false"])
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    with pytest.raises(UsageError, match="baseline cmcd, which scores pairs.*model.kind adml"):
        gradients.term_gradients(tmp_path)
    with pytest.raises(UsageError, match="baseline cmcd"):
        require_encoders(config, tmp_path)
