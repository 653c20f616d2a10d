"""The baselines' loss: its equations in loops, its gradients, its weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses.matching import MatchingLoss, binary_cross_entropy, phoneme_labels

KEYWORDS, UTTERANCES, NEGATIVES, LONGEST, FRAMES = 3, 2, 2, 4, 5
COUNT = KEYWORDS * UTTERANCES


def make_batch():
    """Texts of different lengths with phonemes of few classes, so that some are equal."""
    rng = np.random.default_rng(0)
    lengths = np.array([[4, 2, 3], [1, 4, 2], [3, 1, 4]])
    classes = rng.integers(0, 3, (KEYWORDS, 1 + NEGATIVES, LONGEST))
    classes[np.arange(LONGEST) >= lengths[..., None]] = -1
    return {"phoneme_classes": tf.constant(classes[:, 0], tf.int32),
            "phoneme_lengths": tf.constant(lengths[:, 0], tf.int32),
            "negative_classes": tf.constant(classes[:, 1:], tf.int32)}  # fmt: skip


def make_outputs(seed=1):
    rng = np.random.default_rng(seed)
    attention = rng.uniform(size=(COUNT, LONGEST, FRAMES))
    return {
        "utterance_logits": tf.constant(rng.normal(size=(COUNT, 1 + NEGATIVES))),
        "phoneme_logits": tf.constant(rng.normal(size=(COUNT, 1 + NEGATIVES, LONGEST))),
        "attention": tf.constant(attention / attention.sum(-1, keepdims=True)),
        "audio_lengths": tf.constant([5, 3, 4, 1, 2, 5]),
        "modality_logits": {
            "phoneme_audio": tf.constant(rng.normal(size=(7, 2))),
            "phoneme_text": tf.constant(rng.normal(size=(4, 2))),
        },
    }


def loss_of(**settings):
    return MatchingLoss(dtype="float64", **settings)


def cross_entropy(logit, label):
    chance = 1 / (1 + math.exp(-float(logit)))
    return -math.log(chance if label else 1 - chance)


def expected_terms(outputs, batch):
    classes = np.concatenate([batch["phoneme_classes"][:, None], batch["negative_classes"]], 1)
    utterance, phoneme, monotonic = [], [], []
    for row in range(COUNT):
        texts, frames = classes[row // UTTERANCES], int(outputs["audio_lengths"][row])
        for column in range(1 + NEGATIVES):
            utterance.append(cross_entropy(outputs["utterance_logits"][row, column], column == 0))
            for place in range(LONGEST):
                if texts[column, place] >= 0:
                    label = texts[0, place] == texts[column, place]
                    logit = outputs["phoneme_logits"][row, column, place]
                    phoneme.append(cross_entropy(logit, label))
        length = int(batch["phoneme_lengths"][row // UTTERANCES])
        total = 0.0
        for u in range(length):
            for j in range(frames):
                offset = (u + 0.5) / length - (j + 0.5) / frames
                weight = 1 - math.exp(-(offset**2) / (2 * 0.2**2))
                total += float(outputs["attention"][row, u, j]) * weight
        monotonic.append(total / length)
    logits = outputs["modality_logits"]
    adversarial = accuracy = 0.0
    for side, own in (("phoneme_audio", 0), ("phoneme_text", 1)):
        rows = logits[side].numpy()
        chances = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        adversarial += -np.log(chances[:, own]).mean()
        accuracy += (chances[:, own] > 0.5).mean() / 2
    return {
        "utterance_matching": np.mean(utterance),
        "phoneme_matching": np.mean(phoneme),
        "monotonic": np.mean(monotonic),
        "adversarial_phoneme": adversarial,
        "modality_accuracy_phoneme": accuracy,
    }


def test_equations():
    outputs, batch = make_outputs(), make_batch()
    terms = {name: float(value) for name, value in loss_of()(outputs, batch).items()}
    expected = expected_terms(outputs, batch)
    weights = {"monotonic": 0.3, "modality_accuracy_phoneme": 0}
    expected["total"] = sum(weights.get(name, 1) * value for name, value in expected.items())
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert terms[name] == pytest.approx(value, rel=1e-9), name


def test_labels_by_hand():
    spoken = tf.constant([[7, 8, -1]])
    texts = tf.constant([[[7, 8, -1], [7, 9, 3], [8, -1, -1]]])
    assert phoneme_labels(spoken, texts).numpy().tolist() == [
        [[True, True, False], [True, False, False], [False, False, False]]
    ]


def test_cross_entropy_by_hand():
    losses = binary_cross_entropy(tf.constant([0.0, 0.0, 100.0, -100.0]), [1, 0, 1, 1])
    np.testing.assert_allclose(losses, [math.log(2), math.log(2), 0, 100], atol=1e-6)


@pytest.mark.parametrize("name", ["utterance_logits", "phoneme_logits", "attention"])
def test_gradient_is_the_finite_difference(name):
    loss, batch = loss_of(), make_batch()
    outputs = make_outputs(2)
    values = outputs[name]
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = loss({**outputs, name: values}, batch)["total"]
    gradient = tape.gradient(total, values).numpy()
    rng = np.random.default_rng(3)
    for place in zip(*(rng.integers(0, size, 12) for size in values.shape), strict=True):
        step = np.zeros(values.shape)
        step[place] = 1e-5
        up, down = (
            float(loss({**outputs, name: values + sign * step}, batch)["total"])
            for sign in (1, -1)
        )
        assert gradient[place] == pytest.approx((up - down) / 2e-5, abs=1e-8)


def test_terms_without_outputs_are_left_out():
    outputs = {**make_outputs(), "phoneme_logits": None, "attention": None, "modality_logits": {}}
    assert set(loss_of()(outputs, make_batch())) == {"utterance_matching", "total"}


def test_a_term_of_weight_0_keeps_its_curve_but_no_gradient():
    outputs, batch = make_outputs(), make_batch()
    loss = loss_of(phoneme_weight=0.0)
    with tf.GradientTape() as tape:
        tape.watch(outputs["phoneme_logits"])
        terms = loss(outputs, batch)
    assert tape.gradient(terms["total"], outputs["phoneme_logits"]) is None
    assert float(terms["phoneme_matching"]) > 0
    kept = float(loss_of()(outputs, batch)["total"]) - float(terms["phoneme_matching"])
    assert float(terms["total"]) == pytest.approx(kept)


def test_the_other_kind_of_l_mm_and_unknown_ones():
    outputs, batch = make_outputs(), make_batch()
    other = loss_of(monotonic_kind="diagonal")(outputs, batch)["monotonic"]
    assert float(other) != pytest.approx(float(loss_of()(outputs, batch)["monotonic"]))
    with pytest.raises(ValueError, match="monotonic_kind.*guided.*'slanted'"):
        MatchingLoss(monotonic_kind="slanted")


def test_nothing_is_learnt():
    loss = loss_of()
    assert loss.no_decay_no_clip_variables == loss.bias_variables == []
    assert not loss.weights and loss.constants() == {}
