"""The training step: groups of variables, clipping, margin, and two replicas as one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from adml.audio.features import LogMel
from adml.losses.total import TotalLoss
from adml.models.acoustic import AcousticEncoder
from adml.models.adml import ADML
from adml.training.seeding import set_seeds
from adml.training.shares import UTTERANCE_KEYS
from adml.training.step import Group, TrainingStep, make_groups

DIM, CLASSES, CLIP = 24, 9, 0.05


def small_model() -> ADML:
    """The whole model with a thin acoustic encoder; equal weights on every call."""
    set_seeds(1)
    model = ADML(embedding_dim=DIM, text_units=8)
    model.acoustic = AcousticEncoder(
        channels=16, embedding_dim=DIM, dilations=(2,), scale=4, bottleneck=8, name="acoustic"
    )
    inputs = {
        "features": tf.zeros([2, 4, 40]),
        "frame_lengths": tf.constant([4, 3]),
        "phonemes": tf.ones([2, 3], tf.int32),
        "phoneme_lengths": tf.constant([3, 2]),
    }
    model(inputs)
    return model


def small_losses(keyword_chunk: int) -> TotalLoss:
    set_seeds(2)
    return TotalLoss(
        num_keyword_classes=CLASSES, embedding_dim=DIM, keyword_chunk=keyword_chunk
    )


def paper_groups(model, losses) -> dict[str, Group]:
    return make_groups(
        model,
        losses,
        learning_rate=0.5,
        weight_decay=0.1,
        clip_norm=5.0,
        constants_learning_rate=0.25,
        bias_learning_rate=0.125,
    )


def descent_groups(model, losses) -> dict[str, Group]:
    """The same groups under plain descent of rate 1, so that an update is a gradient."""
    return {
        name: Group(
            keras.optimizers.SGD(1.0, jit_compile=False),
            group.variables,
            CLIP if group.clip_norm else None,
        )
        for name, group in paper_groups(model, losses).items()
    }


def make_step(
    strategy, *, loss_scope: str = "global", keyword_chunk: int = CLASSES, make=descent_groups
) -> TrainingStep:
    with strategy.scope():
        model, losses = small_model(), small_losses(keyword_chunk)
        groups = make(model, losses)
    return TrainingStep(strategy, model, losses, LogMel(), groups, loss_scope=loss_scope)


def values_of(step: TrainingStep) -> dict[str, list[np.ndarray]]:
    """Every trainable value by group, and the moving averages."""
    found = {name: [v.numpy() for v in group.variables] for name, group in step.groups.items()}
    return found | {"averages": [v.numpy() for v in step.model.non_trainable_variables]}


@pytest.fixture(scope="module")
def batch(random_source):
    """Five keywords, so that one replica has two and the other three."""
    return random_source(keywords=5, classes=CLASSES).batch(0, 0)


@pytest.fixture(scope="module")
def one_device():
    return tf.distribute.OneDeviceStrategy("/cpu:0")


@pytest.fixture(scope="module")
def mirrored(two_devices):
    return tf.distribute.MirroredStrategy(
        two_devices, cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )


def trained_on(step: TrainingStep, batch) -> tuple[dict, dict, dict]:
    """Terms of one step, values before it, values after it."""
    before = values_of(step)
    return step(batch), before, values_of(step)


@pytest.fixture(scope="module")
def single_step(one_device):
    return make_step(one_device)


@pytest.fixture(scope="module")
def one(single_step, batch, eagerly):
    with eagerly():
        return trained_on(single_step, batch)


@pytest.fixture(scope="module")
def mirrored_step(mirrored):
    """Two replicas; they take the keyword classes a chunk at a time, the single one all at once."""
    return make_step(mirrored, keyword_chunk=4)


@pytest.fixture(scope="module")
def two(mirrored_step, batch):
    return trained_on(mirrored_step, batch)


def updates(result, name: str) -> list[np.ndarray]:
    _, before, after = result
    return [b - a for b, a in zip(before[name], after[name], strict=True)]


def test_every_trainable_variable_is_in_one_group():
    model, losses = small_model(), small_losses(CLASSES)
    groups = paper_groups(model, losses)
    grouped = [id(v) for group in groups.values() for v in group.variables]
    wanted = [id(v) for v in model.trainable_variables + losses.trainable_variables]
    assert sorted(grouped) == sorted(wanted)
    names = {name: [v.name for v in group.variables] for name, group in groups.items()}
    assert [name.split("/")[-1] for name in names["bias"]] == ["bias:0"]
    constants = " ".join(names["constants"])
    for name in ("alpha", "beta", "margin", "scale"):
        assert name in constants
    classes = losses.keyword_classifier.trainable_variables
    assert any(v.shape == (CLASSES, DIM) for v in classes)
    assert {id(v) for v in classes if v.shape.rank == 2} <= {
        id(v) for v in groups["network"].variables
    }


def test_only_the_network_decays_and_is_clipped():
    groups = paper_groups(small_model(), small_losses(CLASSES))
    assert {name: group.clip_norm for name, group in groups.items()} == {
        "network": 5.0,
        "constants": None,
        "bias": None,
    }
    rates = {name: float(group.optimizer.learning_rate) for name, group in groups.items()}
    assert rates == {"network": 0.5, "constants": 0.25, "bias": 0.125}
    for name, group in groups.items():
        variable = max(group.variables, key=lambda v: float(tf.norm(v)))
        before = variable.numpy()
        zeros = [(tf.zeros_like(v), v) for v in group.variables]
        group.optimizer.apply_gradients(zeros, skip_gradients_aggregation=True)
        kept = before * (1 - 0.5 * 0.1) if name == "network" else before
        np.testing.assert_allclose(variable.numpy(), kept, rtol=1e-6, err_msg=name)


def test_without_a_bound_nothing_is_clipped():
    model, losses = small_model(), small_losses(CLASSES)
    groups = make_groups(
        model,
        losses,
        learning_rate=1.0,
        weight_decay=0.0,
        clip_norm=0.0,
        constants_learning_rate=1.0,
        bias_learning_rate=1.0,
    )
    assert groups["network"].clip_norm is None


def test_clipping_bounds_the_network_alone(one):
    norm = np.sqrt(sum(float(np.sum(u.astype(float) ** 2)) for u in updates(one, "network")))
    assert norm == pytest.approx(CLIP, rel=1e-4)
    assert one[0]["gradient_norm"] > 2 * CLIP
    rest = updates(one, "constants") + updates(one, "bias")
    assert sum(float(np.sum(u**2)) for u in rest) ** 0.5 > 1e-4


def test_two_replicas_report_one_replicas_terms(one, two):
    assert set(one[0]) == set(two[0])
    for name, value in one[0].items():
        assert two[0][name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_two_replicas_make_one_replicas_update(one, two):
    """As a graph against plain Python; the clip is active, and differs if taken before the sum."""
    for name in ("network", "constants", "bias"):
        single, double = updates(one, name), updates(two, name)
        largest = max(np.abs(u).max() for u in single)
        for ours, theirs in zip(single, double, strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6 * max(largest, 1.0))


def test_two_replicas_normalise_as_one(one, two):
    for ours, theirs in zip(one[2]["averages"], two[2]["averages"], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_the_scope_of_a_replica_sees_other_pairs(mirrored, batch, one, eagerly):
    with eagerly():
        terms = make_step(mirrored, loss_scope="replica")(batch)
    assert set(terms) == set(one[0])
    assert np.isfinite(list(terms.values())).all()
    assert abs(terms["utterance_asyp"] - one[0]["utterance_asyp"]) > 1e-3


def test_the_margin_reaches_the_keyword_loss_alone(single_step, batch):
    tensors = single_step.distribute(batch)
    off, on = (single_step.terms(tensors, tf.constant(fraction)) for fraction in (0.0, 1.0))
    changed = {name for name in off if abs(float(off[name]) - float(on[name])) > 1e-6}
    assert changed == {"keyword", "total"}
    assert float(on["keyword"]) > float(off["keyword"])


@pytest.fixture(scope="module")
def spans(random_source):
    """Three recordings, of which two replicas get two and one, with seven spans."""
    heard = random_source(keywords=3, utterances=1, classes=CLASSES).batch(0, 0)
    texts = random_source(keywords=7, utterances=1, classes=CLASSES, seed=1).batch(0, 0)
    places = {
        "span_recordings": np.array([0, 0, 1, 1, 1, 2, 2], np.int32),
        "span_starts": np.array([0, 3, 0, 1, 4, 2, 0], np.int32),
        "span_frames": np.array([5, 4, 9, 3, 5, 6, 8], np.int32),
    }
    return texts | {name: heard[name] for name in UTTERANCE_KEYS} | places


DISTRACTORS = {
    "distractor_recordings": np.array([0, 1, 1, 1, 2], np.int32),
    "distractor_starts": np.array([2, 0, 6, 3, 1], np.int32),
    "distractor_frames": np.array([6, 4, 3, 12, 7], np.int32),
}


@pytest.mark.parametrize("distractors", [{}, DISTRACTORS], ids=["", "with distractors"])
def test_two_replicas_equal_one_with_spans(one_device, mirrored, spans, eagerly, distractors):
    """A recording's spans are never parted, and count as utterances."""
    batch = spans | distractors
    with eagerly():
        single, double = (trained_on(make_step(one), batch) for one in (one_device, mirrored))
    for name, value in single[0].items():
        assert double[0][name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    for name in ("network", "constants", "bias"):
        ours, theirs = updates(double, name), updates(single, name)
        largest = max(np.abs(u).max() for u in theirs)
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-6 * max(largest, 1.0))


def test_distractors_act_on_infonce_alone(single_step, spans):
    """Without batch statistics, which they are part of."""
    found = []
    for batch in (spans, spans | DISTRACTORS):
        batch = single_step.distribute(batch)
        outputs = single_step.outputs(batch, training=False)
        found.append(single_step.terms(batch, tf.constant(0.0), outputs))
    plain, more = found
    changed = {name for name in plain if abs(float(plain[name]) - float(more[name])) > 1e-5}
    assert changed - {"total"} == {"utterance_infonce"}
    assert float(more["utterance_infonce"]) > float(plain["utterance_infonce"])


def test_replicas_get_whole_keywords(mirrored, batch):
    step = TrainingStep(mirrored, None, None, None, {})
    shares = [mirrored.experimental_local_results(v) for v in step.distribute(batch).values()]
    names = list(batch)
    sizes = {name: [len(part) for part in parts] for name, parts in zip(names, shares, strict=True)}
    assert sizes["phonemes"] == [2, 3]
    assert sizes["waveform"] == [4, 6]
    joined = np.concatenate([part.numpy() for part in shares[names.index("waveform")]])
    np.testing.assert_array_equal(joined, batch["waveform"])


def whole_state(step: TrainingStep) -> list[np.ndarray]:
    """Every variable, moving average, slot and count of steps, as each replica holds it."""
    slots = [v for group in step.groups.values() for v in group.optimizer.variables]
    variables = [*step.model.variables, *step.losses.variables, *slots]
    return [part.numpy() for v in variables for part in getattr(v, "values", [v])]


def same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


def silent(batch) -> dict:
    """The batch with a NaN in its last utterance, which the last replica has."""
    waveform = batch["waveform"].copy()
    waveform[-1, 7] = np.nan
    return batch | {"waveform": waveform}


def steep(step: TrainingStep):
    """Terms whose total is finite and has no finite gradient: a square root at 0."""
    terms = TrainingStep.terms

    def steeper(*given):
        found = terms(step, *given)
        edge = sum(tf.reduce_sum(v) for v in step.losses.bias_variables) * 0.0
        return found | {"total": found["total"] + tf.sqrt(edge)}

    return steeper


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_is_not_finite_changes_no_bit(
    one_device, mirrored, batch, eagerly, replicas, monkeypatch
):
    step = make_step((one_device, mirrored)[replicas - 1], make=paper_groups)
    with eagerly():
        step(batch)
        before = whole_state(step)
        assert not np.isfinite(step(silent(batch))["total"])
        assert same(whole_state(step), before)
        monkeypatch.setattr(step, "terms", steep(step))
        found = step(batch)
        assert np.isfinite(found["total"]) and np.isfinite(found["gradient_norm"])
        assert not np.isfinite(found["gradient_norm_bias"])
        assert same(whole_state(step), before)
        monkeypatch.undo()
        values = step(batch)
    assert np.isfinite(list(values.values())).all() and "gradient_norm_bias" not in values
    assert not same(whole_state(step), before)
    assert step.groups["network"].optimizer.iterations.numpy() == 2


def test_a_graph_of_two_replicas_leaves_it_out_too(mirrored_step, two, batch):
    before = whole_state(mirrored_step)
    found = mirrored_step(silent(batch))
    assert not np.isfinite(found["gradient_norm"]), found
    assert same(whole_state(mirrored_step), before)
    assert np.isfinite(mirrored_step(batch)["total"])
    assert not same(whole_state(mirrored_step), before)
