"""The whole model: shapes, switches, which parts the gradient reaches, and its small heads."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.models.adml import ADML
from adml.models.ctc import FrameClassifier
from adml.models.modality import ModalityClassifier


def batch(utterances=4):
    generator = np.random.default_rng(0)
    return {"features": tf.constant(generator.normal(size=(utterances, 12, 40)), tf.float32),
            "frame_lengths": tf.constant([12, 7, 9, 1][:utterances]),
            "phonemes": tf.constant([[3, 4, 5], [6, 0, 0]]),
            "phoneme_lengths": tf.constant([3, 1])}


@pytest.fixture(scope="module")
def model():
    made = ADML(70, ctc_classes=39)
    made(batch())
    return made


@pytest.mark.parametrize("training", [False, True])
def test_shapes(model, training):
    outputs = tf.function(lambda: model(batch(), training=training), autograph=False)()
    logits = outputs.pop("modality_logits")
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "audio_frames": (4, 12, 256), "frame_lengths": (4,), "audio_utterance": (4, 256),
        "text_phonemes": (2, 3, 256), "text_utterance": (2, 256), "attention": (4, 3, 12),
        "audio_phonemes": (4, 3, 256), "ctc_logits": (4, 12, 40)}
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "phoneme_audio": (8, 2), "phoneme_text": (8, 2),
        "utterance_audio": (4, 2), "utterance_text": (4, 2)}


def test_utterances_are_aligned_with_their_own_text(model):
    outputs, data = model(batch()), batch()
    for utterance in range(4):
        text = utterance // 2
        length, count = int(data["frame_lengths"][utterance]), int(data["phoneme_lengths"][text])
        alone = model({"features": data["features"][utterance:utterance + 1],
                       "frame_lengths": data["frame_lengths"][utterance:utterance + 1],
                       "phonemes": data["phonemes"][text:text + 1],
                       "phoneme_lengths": data["phoneme_lengths"][text:text + 1]})
        np.testing.assert_allclose(outputs["attention"][utterance, :count, :length],
                                   alone["attention"][0, :count, :length], atol=1e-5)
        np.testing.assert_allclose(outputs["audio_phonemes"][utterance, :count],
                                   alone["audio_phonemes"][0, :count], atol=1e-5)


def test_without_the_phoneme_branch():
    model = ADML(70, phoneme_branch=False, adversary_phoneme=False, adversary_utterance=False)
    outputs = model(batch())
    assert outputs["attention"] is None and outputs["audio_phonemes"] is None
    assert outputs["modality_logits"] == {} and "ctc_logits" not in outputs
    assert model.count_params() == sum(tower.count_params() for tower in (model.acoustic,
                                                                          model.text))


def test_phoneme_adversary_needs_the_branch():
    with pytest.raises(ValueError, match="adversary_phoneme=False"):
        ADML(70, phoneme_branch=False)


def test_reversal_turns_the_encoder_gradient_and_not_the_classifier_s():
    slopes = []
    weights = None
    for strength in (0.1, 0.5):
        model = ADML(70, phoneme_branch=False, adversary_phoneme=False,
                     reversal_strength=strength)
        model(batch())
        weights = weights or model.get_weights()
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            logits = model(batch())["modality_logits"]["utterance_audio"]
            loss = tf.reduce_sum(logits[:, 0])
        slopes.append(tape.gradient(loss, [model.acoustic.utterance_projection.bias,
                                           model.modality.hidden.kernel]))
    np.testing.assert_allclose(slopes[1][0], 5.0 * slopes[0][0], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(slopes[1][1], slopes[0][1], atol=1e-6)


def test_modality_classifier_does_not_see_the_norm():
    classifier = ModalityClassifier()
    values = tf.random.stateless_normal([5, 256], [1, 2])
    np.testing.assert_allclose(classifier(values), classifier(30.0 * values), atol=1e-5)
    assert classifier.count_params() == 256 * 256 + 256 + 256 * 2 + 2


def test_frame_classifier_is_linear_with_a_blank():
    classifier = FrameClassifier(39)
    frames = tf.random.stateless_normal([2, 3, 256], [1, 2])
    assert classifier(frames).shape == (2, 3, 40)
    kernel, bias = classifier.get_weights()
    np.testing.assert_allclose(classifier(frames), frames.numpy() @ kernel + bias, atol=1e-5)


def test_config_round_trips():
    model = ADML(20, text_units=8, ctc_classes=3, reversal_strength=0.3, projections="none")
    assert ADML.from_config(model.get_config()).get_config() == model.get_config()
    for layer in (ModalityClassifier(8, 16), FrameClassifier(5, 16)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
