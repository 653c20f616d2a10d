"""Where a step that was not finite began: state, outputs, terms, gradients, or nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.build.model import build_losses, build_model
from adml.config import load_config
from adml.postmortem import _examine, format_postmortem
from adml.training.step import TrainingStep

pytestmark = pytest.mark.usefixtures("thin_encoders")
KEPT = {"terms": {"total": "inf", "keyword": 1.0}, "margin_fraction": 1.0, "skipped": [3, 8]}


@pytest.fixture(scope="module")
def made(tiny_overrides):
    """A step that nobody trains, and a batch of noise."""
    from adml.audio.features import LogMel

    config = load_config(None, tiny_overrides)
    model, losses = build_model(config), build_losses(config, 6)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    rng = np.random.default_rng(0)
    batch = {
        "waveform": rng.normal(0, 0.1, [4, 4000]).astype(np.float32),
        "waveform_lengths": np.array([4000, 3000, 2000, 4000], np.int32),
        "time_masks": np.zeros([4, 1, 2], np.int32),
        "frequency_masks": np.zeros([4, 1, 2], np.int32),
        "phonemes": np.array([[1, 2, 3], [4, 5, 0]], np.int32),
        "phoneme_lengths": np.array([3, 2], np.int32),
        "phoneme_classes": np.array([[0, 1, 2], [3, 4, -1]], np.int32),
        "text_ids": np.array([0, 1], np.int32),
        "keyword_labels": np.array([0, 1], np.int32),
    }
    return TrainingStep(strategy, model, losses, LogMel(), {}, compile=False), batch


def test_a_fault_that_does_not_repeat(made):
    found = _examine(*made, KEPT, 8)
    assert (found.inputs, found.outputs, found.terms, found.gradients) == ({}, {}, [], {})
    assert "does not repeat" in found.verdict and found.items == {}
    text = format_postmortem(found)
    assert text.startswith("step 8: total inf; steps left out: [3, 8]\n")
    assert text.count("all finite") == 5 and text.endswith(found.verdict)


def test_a_state_that_is_not_finite(made):
    step, batch = made
    weight = step.model.text.trainable_variables[0]
    before = weight.numpy()
    weight.assign(np.where(np.arange(before.size).reshape(before.shape) < 7, np.nan, before))
    found = _examine(step, batch, KEPT, 8)
    weight.assign(before)
    assert found.variables == {weight.name: 7} and "state itself" in found.verdict


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_outputs_that_overflow(made, scale):
    """Audio so loud that its power is infinite; next to none is no fault."""
    step, batch = made
    loud = batch | {"waveform": batch["waveform"] * np.array([[1], [scale], [1], [1]], np.float32)}
    found = _examine(step, loud, KEPT, 8)
    assert found.inputs == {} and found.features == ([1] if scale > 1 else [])
    assert ("features are not finite" in found.verdict) == (scale > 1)
    assert found.items == ({1: "AA0 AA1 AA2"} if scale > 1 else {})


@pytest.mark.parametrize(("edge", "words"), [(0.0, "a gradient is not"), (-1.0, "a loss term is")])
def test_terms_and_gradients(made, monkeypatch, edge, words):
    """A root at 0 has no gradient, and one below 0 no value."""
    step, batch = made
    (bias,) = step.losses.bias_variables

    def rooted(*given):
        terms = TrainingStep.terms(step, *given)
        return terms | {"total": terms["total"] + tf.sqrt(tf.reduce_sum(bias) * 0.0 + edge)}

    monkeypatch.setattr(step, "terms", rooted)
    found = _examine(step, batch, KEPT, 8)
    assert found.outputs == {} and words in found.verdict
    assert found.gradients == {"total": [bias.name]}
    assert found.terms == ([] if edge == 0 else ["total"])
