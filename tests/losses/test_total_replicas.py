"""Two replicas give one replica's gradients, with uneven phoneme counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

KINDS = {
    "paper": {"utterance_infonce_weight": 1.0, "ctc_weight": 1.0},
    "proxy_bd_triplet": {"phoneme_kind": "proxy_bd", "keyword_kind": "triplet"},
    "clat": {"phoneme_kind": "clat", "keyword_kind": "none", "monotonic_kind": "diagonal"},
}


@pytest.fixture(scope="module")
def toy():
    """The toy encoders and batches of test_total."""
    path = Path(__file__).with_name("test_total.py")
    spec = importlib.util.spec_from_file_location("toy_total", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def strategy():
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(devices) < 2:
        pytest.skip("needs two logical CPU devices")
    return tf.distribute.MirroredStrategy(
        devices[:2], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )


@pytest.fixture(scope="module")
def halves(toy):
    """Two batches: 2 and 3 keywords, other lengths, other phoneme counts."""
    return (
        toy.make_batch(2, 2, seed=1, longest=3),
        toy.make_batch(3, 2, seed=2, longest=6, first_text=2),
    )


def on_two_replicas(toy, strategy, halves, settings, scope, *, graph=False):
    """Terms and gradients, both summed over the replicas, and the loss's own weights."""
    with strategy.scope():
        encoders, loss = toy.ToyEncoders(), toy.make_loss(**settings)
    batches = {
        key: strategy.experimental_distribute_values_from_function(
            lambda context, key=key: tf.constant(halves[context.replica_id_in_sync_group][key])
        )
        for key in halves[0]
    }

    def replica(batch):
        variables = [*encoders.trainable_variables, *loss.trainable_variables]
        with tf.GradientTape() as tape:
            terms = loss(encoders(batch), batch, scope=scope, margin_fraction=0.5)
        return terms, tape.gradient(terms["total"], variables, unconnected_gradients="zero")

    def step(batches):
        return strategy.run(replica, args=(batches,))

    # Tracing takes three times as long as one eager step.
    terms, gradients = (tf.function(step) if graph else step)(batches)
    terms = {k: float(strategy.reduce("SUM", v, axis=None)) for k, v in terms.items()}
    gradients = [strategy.reduce("SUM", g, axis=None).numpy() for g in gradients]
    return terms, gradients, [v.numpy() for v in loss.weights]


def on_one_replica(toy, batch, settings, weights):
    loss = toy.make_loss(**settings)
    for variable, value in zip(loss.weights, weights, strict=True):
        variable.assign(value)
    terms, gradients = toy.evaluate(loss, batch, margin_fraction=0.5)
    return {k: float(v) for k, v in terms.items()}, [tf.convert_to_tensor(g) for g in gradients]


def compare(actual, expected):
    """Each gradient to 1e-6 of its largest entry."""
    for one, other in zip(actual, expected, strict=True):
        largest = max(float(tf.reduce_max(tf.abs(other))), 1.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("kind", KINDS)
def test_global_scope_is_one_replica_on_the_whole_batch(kind, toy, strategy, halves):
    settings = KINDS[kind]
    terms, gradients, weights = on_two_replicas(
        toy, strategy, halves, settings, "global", graph=kind == "paper"
    )
    whole = toy.join(*halves)
    expected_terms, expected = on_one_replica(toy, whole, settings, weights)
    assert terms == pytest.approx(expected_terms, rel=2e-6, abs=1e-6)
    compare(gradients, expected)


def test_replica_scope_is_the_mean_of_the_replicas(toy, strategy, halves):
    settings = KINDS["paper"]
    terms, gradients, weights = on_two_replicas(toy, strategy, halves, settings, "replica")
    sides = [on_one_replica(toy, half, settings, weights) for half in halves]
    means = {k: (sides[0][0][k] + sides[1][0][k]) / 2 for k in sides[0][0]}
    assert terms == pytest.approx(means, rel=2e-6, abs=1e-6)
    compare(gradients, [(a + b) / 2 for a, b in zip(sides[0][1], sides[1][1], strict=True)])
