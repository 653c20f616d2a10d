"""One contract for every public layer and model, and a test that none is missing."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import adml
from adml.audio.features import LogMel
from adml.layers.attention import CrossAttention, SingleHeadAttention
from adml.layers.convolution import TimeConvolution
from adml.layers.layout import PaddedFrames
from adml.layers.normalisation import MaskedBatchNorm
from adml.layers.pooling import ContextStatisticsPooling
from adml.layers.res2 import ConvolutionUnit, SERes2Block, SqueezeExcitation
from adml.layers.subsampling import StridedConvolutionUnit
from adml.losses.branches import PhonemeTerms, UtteranceTerms
from adml.losses.layers import AdaptiveMargins, KeywordClassifier, LearnableScale
from adml.losses.matching import MatchingLoss
from adml.losses.reduction import Reduction
from adml.losses.total import TotalLoss
from adml.models.acoustic import AcousticEncoder
from adml.models.adml import ADML
from adml.models.cmcd import CMCD
from adml.models.ctc import FrameClassifier
from adml.models.modality import ModalityClassifier
from adml.models.phonmatchnet import PhonMatchNet
from adml.models.text import TextEncoder
from adml.numerics.reversal import GradientReversal

ROOMS = ("layers", "losses", "models", "numerics", "audio")
WIDTH, FRAMES, PHONEMES, MOST_ROWS = 8, 12, 5, 4
UTTERANCES = 2  # of each keyword
FRAME_LENGTHS = [12, 7, 1, 9, 5, 12, 3, 8]
PHONEME_LENGTHS = [5, 3, 1, 4]


@dataclass(frozen=True)
class Case:
    """How to make a layer and feed it.

    `inputs(rows)` gives the first rows of one and the same batch, as tensors; `call` makes what
    else the layer needs. `by_row` says that an output's first rows depend on the inputs' first rows
    alone; a loss over pairs has it not.
    """

    make: Callable[[], keras.layers.Layer]
    inputs: Callable[[int], tuple]
    by_row: bool = True
    call: Callable = lambda layer, *inputs: layer(*inputs)

    def run(self, layer: keras.layers.Layer, rows: int):
        """The layer's outputs for so many rows."""
        return self.call(layer, *self.inputs(rows))


def normal(*shape, rows):
    """The same numbers at every call."""
    values = np.random.default_rng(len(shape)).standard_normal((rows, *shape))
    return tf.constant(values, tf.float32)


def frame_lengths(rows):
    return tf.constant(FRAME_LENGTHS[:rows])


def framed(rows):
    return normal(FRAMES, WIDTH, rows=rows), frame_lengths(rows)


def with_layout(layer, values, lengths):
    layout = PaddedFrames(lengths, values)
    return layer(layout.masked(values), layout)


def with_valid(layer, values, lengths):
    return layer(values, PaddedFrames(lengths, values).valid)


def reduced(layer, outputs, batch):
    return layer(outputs, batch, Reduction("global"))


def alignment(rows):
    return (normal(PHONEMES, WIDTH, rows=rows), normal(FRAMES, WIDTH, rows=rows),
            tf.constant(PHONEME_LENGTHS[:rows]), frame_lengths(rows))  # fmt: skip


def phonemes(rows):
    table = np.arange(MOST_ROWS * PHONEMES).reshape(MOST_ROWS, PHONEMES) % 69 + 1
    lengths = np.array(PHONEME_LENGTHS)
    table[np.arange(PHONEMES) >= lengths[:, None]] = 0
    return tf.constant(table[:rows], tf.int32), tf.constant(lengths[:rows], tf.int32)


def model_inputs(rows):
    ids, counts = phonemes(rows)
    utterances = rows * UTTERANCES
    return ({"features": normal(FRAMES, 40, rows=utterances),
             "frame_lengths": frame_lengths(utterances),
             "phonemes": ids, "phoneme_lengths": counts},)  # fmt: skip


def pair_inputs(rows):
    """Each keyword's negatives are its own text and that without its last phoneme."""
    (inputs,) = model_inputs(rows)
    ids, counts = inputs["phonemes"], inputs["phoneme_lengths"]
    return ({**inputs, "negative_phonemes": tf.stack([ids, ids], 1),
             "negative_lengths": tf.stack([counts, tf.maximum(counts - 1, 1)], 1)},)  # fmt: skip


def matching_inputs(rows):
    """What a baseline would give for K = rows keywords, one negative each."""
    outputs, batch = loss_inputs(rows)
    utterances = rows * UTTERANCES
    logits = {side: outputs["modality_logits"][side] for side in ("phoneme_audio", "phoneme_text")}
    given = {"utterance_logits": normal(2, rows=utterances),
             "phoneme_logits": normal(2, PHONEMES, rows=utterances),
             "attention": outputs["attention"], "audio_lengths": outputs["frame_lengths"],
             "modality_logits": logits}  # fmt: skip
    classes = batch["phoneme_classes"]
    return given, {**batch, "negative_classes": classes[:, tf.newaxis]}


def loss_inputs(rows):
    """What the model would give and the batch would hold, for K = rows keywords."""
    utterances = rows * UTTERANCES
    _, counts = phonemes(rows)
    valid = tf.sequence_mask(counts, PHONEMES)
    flat = sum(PHONEME_LENGTHS[:rows]) * UTTERANCES
    outputs = {
        "audio_utterance": normal(WIDTH, rows=utterances),
        "text_utterance": 0.5 + normal(WIDTH, rows=rows),
        "text_phonemes": normal(PHONEMES, WIDTH, rows=rows),
        "audio_phonemes": 0.5 + normal(PHONEMES, WIDTH, rows=utterances),
        "attention": tf.nn.softmax(normal(PHONEMES, FRAMES, rows=utterances)),
        "frame_lengths": tf.constant([FRAMES] * utterances),
        "modality_logits": {
            "phoneme_audio": normal(2, rows=flat),
            "phoneme_text": 1 + normal(2, rows=flat),
            "utterance_audio": normal(2, rows=utterances),
            "utterance_text": 1 + normal(2, rows=utterances),
        },
        "ctc_logits": normal(FRAMES, 6, rows=utterances),
    }
    classes = np.arange(rows * PHONEMES).reshape(rows, PHONEMES) % 5
    batch = {"phoneme_classes": tf.where(valid, tf.constant(classes, tf.int32), -1),
             "phoneme_lengths": counts, "text_ids": tf.range(rows),
             "keyword_labels": tf.range(rows) % 3}  # fmt: skip
    return outputs, batch


CASES = {
    "LogMel": Case(lambda: LogMel(), lambda rows: (
        normal(900, rows=rows), tf.constant([900, 250, 401, 880][:rows]))),
    "TimeConvolution": Case(
        lambda: TimeConvolution(6, 3, dilation_rate=2, relu=True), framed, call=with_layout),
    "TimeConvolution of rank 4": Case(
        lambda: TimeConvolution(6, 3, dilation_rate=2),
        lambda rows: (tf.expand_dims(normal(FRAMES, WIDTH, rows=rows), 1),)),
    "MaskedBatchNorm": Case(lambda: MaskedBatchNorm(momentum=0.5), framed, call=with_valid),
    "ConvolutionUnit": Case(lambda: ConvolutionUnit(6, 3), framed, call=with_layout),
    "SqueezeExcitation": Case(lambda: SqueezeExcitation(4), framed, call=with_layout),
    "SERes2Block": Case(
        lambda: SERes2Block(WIDTH, scale=2, bottleneck=4), framed, call=with_layout),
    "ContextStatisticsPooling": Case(lambda: ContextStatisticsPooling(4), framed, call=with_layout),
    "CrossAttention": Case(lambda: CrossAttention(WIDTH), alignment),
    "CrossAttention of all": Case(lambda: CrossAttention(WIDTH, "qkv"), alignment),
    "SingleHeadAttention": Case(
        lambda: SingleHeadAttention(6),
        lambda rows: (normal(PHONEMES, WIDTH, rows=rows), normal(FRAMES, WIDTH, rows=rows),
                      tf.sequence_mask(frame_lengths(rows), FRAMES)[:, tf.newaxis])),
    "StridedConvolutionUnit": Case(lambda: StridedConvolutionUnit(6, 3, 2), framed),
    "GradientReversal": Case(lambda: GradientReversal(0.3), lambda rows: (normal(3, rows=rows),)),
    "AcousticEncoder": Case(
        lambda: AcousticEncoder(40, WIDTH, 6, dilations=(2,), scale=2, bottleneck=4),
        lambda rows: (normal(FRAMES, 40, rows=rows), frame_lengths(rows))),
    "AcousticEncoder on the plain path": Case(
        lambda: AcousticEncoder(40, WIDTH, 6, dilations=(2,), scale=2, bottleneck=4, fast=False),
        lambda rows: (normal(FRAMES, 40, rows=rows), frame_lengths(rows))),
    "TextEncoder": Case(lambda: TextEncoder(70, 6, 4, 1), phonemes),
    "ModalityClassifier": Case(
        lambda: ModalityClassifier(4, WIDTH), lambda rows: (normal(WIDTH, rows=rows),)),
    "FrameClassifier": Case(
        lambda: FrameClassifier(5, WIDTH), lambda rows: (normal(FRAMES, WIDTH, rows=rows),)),
    "ADML": Case(
        lambda: ADML(embedding_dim=WIDTH, text_units=4, ctc_classes=5, fast=False), model_inputs),
    "CMCD": Case(lambda: CMCD(width=4, adversary=True), pair_inputs),
    "PhonMatchNet": Case(lambda: PhonMatchNet(width=4, adversary=True), pair_inputs),
    "AdaptiveMargins": Case(
        lambda: AdaptiveMargins(5), lambda rows: (tf.constant([0, 4, -1, 2][:rows]),)),
    "KeywordClassifier": Case(
        lambda: KeywordClassifier(3, WIDTH),
        lambda rows: (normal(WIDTH, rows=rows), tf.constant([0, 2, -1, 1][:rows]))),
    "LearnableScale": Case(lambda: LearnableScale(7.0), lambda rows: (tf.zeros([rows]),), False),
    "UtteranceTerms": Case(lambda: UtteranceTerms(), loss_inputs, False, reduced),
    "PhonemeTerms": Case(lambda: PhonemeTerms(num_classes=5), loss_inputs, False, reduced),
    "MatchingLoss": Case(lambda: MatchingLoss(), matching_inputs, False),
    "TotalLoss": Case(
        lambda: TotalLoss(num_phoneme_classes=5, num_keyword_classes=3, embedding_dim=WIDTH,
                          ctc_weight=1.0), loss_inputs, False),
}  # fmt: skip


def public_layers() -> dict[str, type]:
    """All public layer and model classes of the rooms, by name."""
    found = {}
    for room in ROOMS:
        package = importlib.import_module(f"adml.{room}")
        for entry in pkgutil.iter_modules(package.__path__, f"adml.{room}."):
            module = importlib.import_module(entry.name)
            for name, value in inspect.getmembers(module, inspect.isclass):
                own = value.__module__ == module.__name__ and not name.startswith("_")
                if own and issubclass(value, keras.layers.Layer):
                    found[name] = value
    return found


def values_of(outputs) -> list[np.ndarray]:
    return [np.asarray(value) for value in tf.nest.flatten(outputs) if value is not None]


def assert_equal(got, expected, tolerance=1e-5):
    got, expected = values_of(got), values_of(expected)
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def make_distinct(layer: keras.layers.Layer) -> None:
    """Give all weights values of their own, so that a weight left behind shows."""
    rng = np.random.default_rng(7)
    for weight in layer.weights:
        chance = rng.random(weight.shape).astype(np.float32)
        # A shift of whole kernels would add up over the layers of a deep model.
        weight.assign(weight + 0.1 * chance if len(weight.shape) < 2 else weight * (0.5 + chance))


@pytest.fixture(params=CASES, scope="module")
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def layer(case) -> keras.layers.Layer:
    """A built layer with distinct weights."""
    layer = case.make()
    case.run(layer, 3)
    make_distinct(layer)
    return layer


def test_every_public_layer_has_a_case():
    covered = {name.split()[0] for name in CASES}
    assert set(public_layers()) == covered
    assert adml.__version__


@pytest.mark.parametrize("name", CASES)
def test_case_makes_what_it_says(name):
    assert type(CASES[name].make()) is public_layers()[name.split()[0]]


def test_outputs_are_finite(case, layer):
    for value in values_of(case.run(layer, 3)):
        assert np.isfinite(value).all()


def test_config_round_trip(case, layer):
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert json.dumps(again.get_config()) == json.dumps(config)
    case.run(again, 2)
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    again.set_weights(layer.get_weights())
    assert_equal(case.run(again, 3), case.run(layer, 3), 1e-6)


def test_checkpoint_fits_a_second_instance(case, layer, tmp_path):
    if not layer.weights:
        return
    other = case.make()
    case.run(other, 3)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(layer=other).read(path)
    status.assert_existing_objects_matched().assert_consumed()
    for got, expected in zip(other.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_graph_equals_eager_at_two_batch_sizes(case, layer):
    """One trace serves both batch sizes: nothing has learnt the size of the first batch."""
    inputs = {rows: case.inputs(rows) for rows in (2, 3)}
    loose = tf.nest.map_structure(
        lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype), inputs[2]
    )
    run = tf.function(lambda arguments: case.call(layer, *arguments), input_signature=[loose])
    for rows in (2, 3):
        assert_equal(run(inputs[rows]), case.run(layer, rows))
    assert run.experimental_get_tracing_count() == 1


def test_rows_do_not_depend_on_those_that_follow(case, layer):
    if not case.by_row:
        return
    few, many = values_of(case.run(layer, 2)), values_of(case.run(layer, 4))
    for one, other in zip(few, many, strict=True):
        assert len(one) < len(other)
        np.testing.assert_allclose(one, other[: len(one)], atol=1e-5)
