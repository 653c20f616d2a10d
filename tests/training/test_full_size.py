"""Promises of the training step, kept with the encoders of the paper's size."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.losses.total import TotalLoss
from adml.models.adml import ADML
from adml.training.checkpoint import Checkpoints
from adml.training.seeding import set_seeds
from adml.training.step import TrainingStep, make_groups

CLASSES = 9
EVERY_TERM = {"utterance_infonce_weight": 1.0, "ctc_weight": 1.0}


def make_step(strategy, log_mel, *, seed: int = 1, dtype: str = "float32", **rates):
    """A step with every loss term in the total; equal seeds give equal weights."""
    set_seeds(seed)
    with strategy.scope():
        model = ADML(ctc_classes=39, dtype=dtype)
        model(
            {
                "features": tf.zeros([2, 4, 40]),
                "frame_lengths": tf.constant([4, 3]),
                "phonemes": tf.ones([2, 3], tf.int32),
                "phoneme_lengths": tf.constant([3, 2]),
            }
        )
        losses = TotalLoss(num_keyword_classes=CLASSES, dtype=dtype, **EVERY_TERM)
        groups = make_groups(model, losses, **rates) if rates else {}
    return TrainingStep(strategy, model, losses, log_mel, groups)


def uneven_batch(random_source) -> dict[str, np.ndarray]:
    """Features of 0.1 to 0.3 s: 2 keywords of 5 phonemes for one replica, 3 of 14 for the other."""
    batch = random_source(keywords=5, classes=CLASSES, seed=1).batch(0, 0)
    features, lengths = LogMel()(batch["waveform"], batch["waveform_lengths"])
    counts = batch["phoneme_lengths"]
    assert (sum(counts[:2]), sum(counts[2:])) == (5, 14) and len(set(lengths.numpy())) > 5
    batch["keyword_labels"][3] = -1
    # The features of a batch are float32: made once, they are the same for any share of it.
    return batch | {"waveform": features.numpy(), "waveform_lengths": lengths.numpy()}


def terms_and_gradients(step: TrainingStep, batch):
    """Terms, gradients and moving averages after one pass, the first two summed over replicas."""
    variables = [*step.model.trainable_variables, *step.losses.trainable_variables]

    def replica(share):
        with tf.GradientTape() as tape:
            terms = step.terms(share, 0.5)
        gradients = tape.gradient(terms["total"], variables)
        return terms, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def summed(value):
        return step.strategy.reduce("SUM", value, axis=None).numpy()

    terms, gradients = step.strategy.run(replica, args=(step.distribute(batch),))
    gradients = [summed(gradient) for gradient in gradients]
    averages = [variable.numpy() for variable in step.model.non_trainable_variables]
    return {name: summed(value) for name, value in terms.items()}, gradients, averages


def as_they_are(features, lengths):
    """A front end for a batch whose waveforms are features already."""
    return features, lengths


def everything(step: TrainingStep) -> list[tf.Variable]:
    """Weights, moving averages, and the optimizers' slots and counters."""
    optimizers = [group.optimizer.variables for group in step.groups.values()]
    return [*step.model.variables, *step.losses.variables, *sum(optimizers, [])]


def test_two_replicas_give_one_replicas_gradients(random_source, two_devices, eagerly):
    """In float64, where rounding hides no error.

    float32 cannot tell: it agrees with float64 to 4e-6 of the norm at best, and to 6e-4 where the
    rounding switches one of the few ReLUs in a million that are so near to 0.
    """
    batch = uneven_batch(random_source)
    one = make_step(tf.distribute.OneDeviceStrategy("/cpu:0"), as_they_are, dtype="float64")
    mirrored = tf.distribute.MirroredStrategy(
        two_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with eagerly():
        terms, gradients, averages = terms_and_gradients(one, batch)
        others = terms_and_gradients(make_step(mirrored, as_they_are, dtype="float64"), batch)
    assert others[0] == pytest.approx(terms, rel=1e-10)
    variables = [*one.model.trainable_variables, *one.losses.trainable_variables]
    # A softmax does not see a shift of its logits: this gradient is 0 but for rounding.
    shift = one.model.acoustic.pooling.logits.bias
    for variable, ours, theirs in zip(variables, gradients, others[1], strict=True):
        largest = 1.0 if variable is shift else np.abs(ours).max()
        assert ours.dtype == np.float64 and largest > 0, variable.name
        bound = 1e-10 * largest
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=bound, err_msg=variable.name)
    for ours, theirs in zip(averages, others[2], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-12)


def test_stopped_and_resumed_equals_uninterrupted(random_source, tmp_path, eagerly):
    """Two steps, and one step, a checkpoint, another model and the second step: bit for bit."""
    source, device = random_source(keywords=3), tf.distribute.OneDeviceStrategy("/cpu:0")
    rates = {"learning_rate": 1e-3, "weight_decay": 1e-2, "clip_norm": 5.0}
    rates |= {"constants_learning_rate": 1e-3, "bias_learning_rate": 1e-2}

    def fresh(seed: int):
        step = make_step(device, LogMel(), seed=seed, **rates)
        optimizers = {name: group.optimizer for name, group in step.groups.items()}
        return step, Checkpoints(tmp_path, model=step.model, losses=step.losses, **optimizers)

    with eagerly():
        whole, checkpoints = fresh(1)
        whole(source.batch(0, 0))
        checkpoints.save(1)
        expected_terms = whole(source.batch(0, 1))
        resumed, checkpoints = fresh(2)
        assert checkpoints.restore_latest() == 1
        terms = resumed(source.batch(0, 1))
    assert terms == expected_terms
    ours, theirs = everything(resumed), everything(whole)
    assert len(theirs) > 500
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.name)
