"""What a run writes beside its losses: right, without a trace in the training, resumed whole."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.errors import DataError
from adml.losses.total import TotalLoss
from adml.models.acoustic import AcousticEncoder
from adml.models.adml import ADML
from adml.text.phonemes import CONSONANTS, PHONES, VOWELS
from adml.training.checkpoint import Checkpoints
from adml.training.dynamics import MOST_ROWS, Dynamics, constants_distance
from adml.training.log import MetricsLog
from adml.training.loop import Plan, run_loop
from adml.training.progress import Progress
from adml.training.seeding import set_seeds
from adml.training.step import TrainingStep, make_groups
from adml.training.term_gradients import TermGradients, _norms_and_cosines

DIM, CLASSES = 12, 9
SOME_TERMS = ("phoneme", "keyword", "adversarial_utterance")
TIMINGS = {"seconds", "utterances_per_second", "wait_fraction", "memory_mb", "remaining_seconds"}


def make_step(strategy=None, *, seed: int = 1, **losses) -> TrainingStep:
    """A step with a thin acoustic encoder; equal seeds give equal weights."""
    set_seeds(seed)
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = ADML(embedding_dim=DIM, text_units=4)
        model.acoustic = AcousticEncoder(
            channels=8, embedding_dim=DIM, dilations=(2,), scale=4, bottleneck=4, name="acoustic"
        )
        model(
            {
                "features": tf.zeros([2, 4, 40]),
                "frame_lengths": tf.constant([4, 3]),
                "phonemes": tf.ones([2, 3], tf.int32),
                "phoneme_lengths": tf.constant([3, 2]),
            }
        )
        total = TotalLoss(num_keyword_classes=CLASSES, embedding_dim=DIM, **losses)
        rates = {"constants_learning_rate": 1e-2, "bias_learning_rate": 1e-2}
        groups = make_groups(
            model, total, learning_rate=1e-2, weight_decay=0.0, clip_norm=5.0, **rates
        )
    return TrainingStep(strategy, model, total, LogMel(), groups)


def state(step: TrainingStep) -> list[np.ndarray]:
    """Weights, moving averages, constants and all that the optimizers hold."""
    slots = [v for group in step.groups.values() for v in group.optimizer.variables]
    return [v.numpy() for v in [*step.model.variables, *step.losses.variables, *slots]]


def same(one: TrainingStep, other: TrainingStep) -> bool:
    pairs = zip(state(one), state(other), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@pytest.fixture(scope="module")
def batch(random_source):
    """Five keywords, so that one replica has two and the other three."""
    return random_source(keywords=5, classes=CLASSES).batch(0, 0)


@pytest.fixture(scope="module")
def measured(batch):
    """The rows of a measurement, and the step it left behind."""
    step = make_step()
    return {(r.term, r.encoder): r for r in TermGradients(step).measure(batch, 0.5)}, step


def test_norms_and_cosines_by_pencil():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [4.0, -3.0]])
    figures = _norms_and_cosines(vectors @ vectors.T)
    assert [norm for norm, _ in figures] == [5, 0, 5]
    assert figures[0][1] == pytest.approx(25 / (5 * np.hypot(7, 1)))
    assert figures[1][1] is None and figures[2][1] == pytest.approx(figures[0][1])
    assert _norms_and_cosines(np.array([[4.0, -4.0], [-4.0, 4.0]]))[0] == (2, None)


def test_a_norm_is_that_of_the_weighted_terms_gradient(measured, batch):
    step = make_step()
    with tf.GradientTape(persistent=True) as tape:
        terms = step.terms(step.distribute(batch), tf.constant(0.5))
        weighted = {name: terms[name] * step.losses.term_weights[name] for name in SOME_TERMS}
    for (term, value), encoder in itertools.product(weighted.items(), ("acoustic", "text")):
        found = tape.gradient(value, getattr(step.model, encoder).trainable_variables)
        reached = [tf.convert_to_tensor(gradient) for gradient in found if gradient is not None]
        norm = float(tf.linalg.global_norm(reached)) if reached else 0.0
        row = measured[0][term, encoder]
        assert row.norm == pytest.approx(norm, rel=1e-5)
        assert row.value == pytest.approx(float(terms[term]), rel=1e-6)


def test_measuring_changes_nothing(measured):
    assert same(measured[1], make_step())


def test_two_replicas_measure_one_replicas_gradients(measured, batch, two_devices):
    mirrored = tf.distribute.MirroredStrategy(
        two_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    step = make_step(mirrored)
    before = state(step)
    rows = {(r.term, r.encoder): r for r in TermGradients(step).measure(batch, 0.5)}
    assert rows.keys() == measured[0].keys()
    for key, row in rows.items():
        one = measured[0][key]
        assert row.value == pytest.approx(one.value, rel=1e-4), key
        assert row.norm == pytest.approx(one.norm, rel=2e-3, abs=1e-6), key
    for ours, theirs in zip(before, state(step), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def run(folder, source, *, seed: int = 1, resume: bool = False, stop_step=None, every: int = 1):
    """One stretch of two steps, as an experiment does it."""
    folder.mkdir(exist_ok=True)
    step = make_step(seed=seed)
    optimizers = {name: group.optimizer for name, group in step.groups.items()}
    checkpoints = Checkpoints(
        folder / "checkpoints", model=step.model, losses=step.losses, **optimizers
    )
    start = checkpoints.restore_latest() if resume else 0
    plan = Plan(
        2, stop_step=stop_step, log_every_steps=1, checkpoint_every_steps=1,
        gradient_norms_every_steps=every,
    )  # fmt: skip
    log = MetricsLog(folder, start_step=start)
    dynamics = Dynamics(folder, step, log, plan, start_step=start)
    progress = Progress(checkpoints.restored)
    run_loop(
        step, source, checkpoints, log, plan,
        start_step=start, progress=progress, dynamics=dynamics,
    )  # fmt: skip
    log.close()
    return step


def table(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        return [{name: row[name] for name in row if name not in TIMINGS} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, random_source, eagerly):
    """Two steps that nothing disturbed, measured at both."""
    folder = tmp_path_factory.mktemp("dynamics") / "whole"
    with eagerly():
        return folder, run(folder, random_source(keywords=3, classes=CLASSES))


def test_training_is_the_same_with_and_without(whole, tmp_path, random_source, eagerly):
    with eagerly():
        step = run(tmp_path / "off", random_source(keywords=3, classes=CLASSES), every=0)
    assert same(step, whole[1])
    assert table(tmp_path / "off" / "metrics.csv") == table(whole[0] / "metrics.csv")
    assert not (tmp_path / "off" / "gradient_norms.csv").exists()


def test_resumed_files_are_those_of_a_run_never_interrupted(
    whole, tmp_path, random_source, eagerly
):
    folder, source = tmp_path / "parts", random_source(keywords=3, classes=CLASSES)
    with eagerly():
        run(folder, source, stop_step=1)
        for name in ("constants.csv", "gradient_norms.csv"):
            with (folder / name).open("a") as file:
                file.write("2,left behind by a run that was killed")
                file.write("," * (2 if name == "constants.csv" else 5) + "\n2,al")
        step = run(folder, source, seed=2, resume=True)
    assert same(step, whole[1])
    for name in ("metrics.csv", "constants.csv", "gradient_norms.csv", "alignment.csv"):
        assert table(folder / name) == table(whole[0] / name), name


def test_rows_of_gradients_and_constants(whole):
    folder, step = whole
    gradients = table(folder / "gradient_norms.csv")
    assert list(gradients[0]) == ["step", "term", "encoder", "value", "weight", "norm", "cosine"]
    assert {row["step"] for row in gradients} == {"1", "2"}
    unreached = [row for row in gradients if row["encoder"] == "text" and row["term"] == "keyword"]
    assert [(float(row["norm"]), row["cosine"]) for row in unreached] == [(0, "")] * 2
    constants = table(folder / "constants.csv")
    assert list(constants[0]) == ["step", "name", "class", "value"]
    assert [row["class"] for row in constants[: len(PHONES)]] == list(PHONES)
    assert {row["step"] for row in constants} == {"0", "1", "2"}
    assert len(constants) == 3 * 3 * len(PHONES)
    first = {row["name"]: float(row["value"]) for row in constants if row["step"] == "0"}
    assert first == pytest.approx({"alpha": 0.01, "beta": 1.5, "lambda": 0.01})
    last = [float(row["value"]) for row in constants if (row["step"], row["name"]) == ("2", "beta")]
    np.testing.assert_allclose(last, step.losses.constants()["beta"], rtol=1e-7)
    alignment = table(folder / "alignment.csv")
    assert [list(row) for row in alignment] == [["step", "difference", "entropy"]] * 2
    assert all(0 < float(row["difference"]) < 1 for row in alignment)
    assert all(0.5 < float(row["entropy"]) <= 1 for row in alignment)
    metrics = table(folder / "metrics.csv")
    bias = float(step.losses.constants()["keyword_bias"])
    assert float(metrics[-1]["keyword_bias"]) == pytest.approx(bias, rel=1e-7)
    assert 0 <= float(metrics[-1]["modality_accuracy_phoneme"]) <= 1


def test_figures_reach_tensorboard(whole):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    tags = {}
    for path in (whole[0] / "tensorboard").iterdir():
        for event in summary_iterator(str(path)):
            for value in event.summary.value:
                tags.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    assert set(tags["gradient_norms/acoustic/phoneme"]) == {1, 2}
    assert "gradient_cosines/text/keyword" not in tags
    assert set(tags["constants/beta_vowels"]) == {0, 1, 2}
    beta = {
        row["class"]: float(row["value"])
        for row in table(whole[0] / "constants.csv")
        if (row["step"], row["name"]) == ("1", "beta")
    }
    for name, phones in (("vowels", VOWELS), ("consonants", CONSONANTS)):
        mean = np.mean([beta[phone] for phone in phones])
        assert tags[f"constants/beta_{name}"][1] == pytest.approx(mean, rel=1e-6)


class Bare:
    """A step whose loss has neither constants nor weighted terms."""

    model = losses = object()


def test_a_loss_without_constants_writes_nothing(tmp_path):
    log = MetricsLog(tmp_path)
    dynamics = Dynamics(tmp_path, Bare(), log, Plan(5, gradient_norms_every_steps=1))
    dynamics.before(1, {}, 1.0)
    assert dynamics.after(5) == {}
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_a_damaged_file_is_told(tmp_path):
    log = MetricsLog(tmp_path)
    (tmp_path / "constants.csv").write_text("name,value\nalpha,1\n")
    with pytest.raises(DataError, match="constants.csv is damaged.*header with step.*remove it"):
        Dynamics(tmp_path, Bare(), log, Plan(5), start_step=3)
    log.close()


@pytest.mark.parametrize(
    ("log_every", "total", "distance"),
    [(10, 640, 10), (10, 4000, 10), (10, 4010, 20), (10, 84_000, 210), (500, 5, 500), (1, 1, 1)],
)
def test_distance_of_the_constants(log_every, total, distance):
    assert constants_distance(log_every, total) == distance
    assert total / distance <= MOST_ROWS
