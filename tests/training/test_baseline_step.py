"""The training step of the baselines: two replicas, with uneven shares, do what one does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from adml.audio.features import LogMel
from adml.losses.matching import MatchingLoss
from adml.models.cmcd import CMCD
from adml.models.phonmatchnet import PhonMatchNet
from adml.training.seeding import set_seeds
from adml.training.step import Group, TrainingStep, make_groups


def with_negatives(batch: dict) -> dict:
    """Adds two negatives for each keyword: the next two texts of the batch."""
    count = len(batch["phonemes"])
    places = (np.arange(count)[:, None] + [1, 2]) % count
    return {**batch, "negative_phonemes": batch["phonemes"][places],
            "negative_lengths": batch["phoneme_lengths"][places],
            "negative_classes": batch["phoneme_classes"][places]}  # fmt: skip


def make_step(strategy, kind, batch) -> TrainingStep:
    """Plain descent of rate 1, so that an update is a gradient; equal weights on every call."""
    with strategy.scope():
        set_seeds(1)
        model, losses = kind(width=8, adversary=True), MatchingLoss()
        inputs = {name: tf.constant(batch[name][:2]) for name in batch if "negative" in name}
        inputs |= {name: tf.constant(batch[name][:2]) for name in ("phonemes", "phoneme_lengths")}
        features = {"features": tf.zeros([2, 4, 40]), "frame_lengths": tf.constant([4, 3])}
        model(inputs | features)
        groups = make_groups(
            model,
            losses,
            learning_rate=1.0,
            weight_decay=0.0,
            clip_norm=0.0,
            constants_learning_rate=1.0,
            bias_learning_rate=1.0,
        )
        assert set(groups) == {"network"}
        descent = keras.optimizers.SGD(1.0, jit_compile=False)
        groups = {"network": Group(descent, groups["network"].variables)}
    return TrainingStep(strategy, model, losses, LogMel(), groups)


def values_of(step) -> list[np.ndarray]:
    return [variable.numpy() for variable in step.model.variables]


@pytest.mark.parametrize("kind", [CMCD, PhonMatchNet])
def test_two_replicas_are_one(kind, random_source, two_devices, eagerly):
    batch = with_negatives(random_source(keywords=5).batch(0, 0))
    mirrored = tf.distribute.MirroredStrategy(
        two_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    one = make_step(tf.distribute.OneDeviceStrategy(two_devices[0]), kind, batch)
    two = make_step(mirrored, kind, batch)
    before = values_of(one)
    for first, second in zip(before, values_of(two), strict=True):
        np.testing.assert_array_equal(first, second)
    with eagerly():
        terms, others = one(batch), two(batch)
    assert others == pytest.approx(terms, rel=2e-5, abs=1e-6)
    changed = [not np.array_equal(*pair) for pair in zip(before, values_of(one), strict=True)]
    assert np.mean(changed) > 0.9
    for first, second in zip(values_of(one), values_of(two), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=2e-6)


def test_negatives_are_shared_out_by_keyword(random_source, two_devices):
    batch = with_negatives(random_source(keywords=5).batch(0, 0))
    strategy = tf.distribute.MirroredStrategy(
        two_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    shares = TrainingStep(strategy, None, None, None, {}).distribute(batch)
    for name in ("negative_phonemes", "negative_lengths", "negative_classes"):
        parts = strategy.experimental_local_results(shares[name])
        assert [len(part) for part in parts] == [2, 3]
        np.testing.assert_array_equal(np.concatenate(parts), batch[name])
