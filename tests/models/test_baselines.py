"""The baselines against loops in float64, and that nothing but the pair decides its score."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.models.adml import ADML
from adml.models.cmcd import CMCD
from adml.models.phonmatchnet import PhonMatchNet

KINDS = {"cmcd": CMCD, "phonmatchnet": PhonMatchNet}
WIDTH, MELS, SYMBOLS = 6, 5, 9
FRAMES, TEXTS = [9, 6, 1, 4], [3, 1]


def inputs_of(frames: int = 9, longest: int = 3) -> dict:
    """Two keywords of two utterances and two negatives each; padding holds anything at all."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 9, MELS))
    junk = np.random.default_rng(1).normal(size=(4, frames, MELS))
    junk[:, :9][np.arange(9) < np.array(FRAMES)[:, None]] = features[
        np.arange(9) < np.array(FRAMES)[:, None]]
    ids = rng.integers(1, SYMBOLS, (2, 3, 3))
    counts = np.stack([TEXTS, rng.integers(1, 4, 2), rng.integers(1, 4, 2)], 1)
    padded = np.zeros((2, 3, longest), int)
    padded[..., :3] = ids * (np.arange(3) < counts[..., None])
    return {"features": tf.constant(junk), "frame_lengths": tf.constant(FRAMES),
            "phonemes": tf.constant(padded[:, 0], tf.int32),
            "phoneme_lengths": tf.constant(counts[:, 0], tf.int32),
            "negative_phonemes": tf.constant(padded[:, 1:], tf.int32),
            "negative_lengths": tf.constant(counts[:, 1:], tf.int32)}


def make(kind: str, **settings):
    """A small model in float64 whose weights, moving averages included, are all distinct."""
    model = KINDS[kind](SYMBOLS, MELS, WIDTH, dtype="float64", **settings)
    model({**inputs_of(), "features": tf.zeros([4, 9, MELS + settings.get("embedding_width", 0)],
                                               tf.float64)})
    rng = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(rng.uniform(0.2, 1, weight.shape) * rng.choice([-1, 1], weight.shape)
                      if "variance" not in weight.name else rng.uniform(0.5, 2, weight.shape))
    return model


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return make(request.param, adversary=True)


@pytest.fixture(scope="module")
def models():
    return {kind: make(kind) for kind in KINDS}


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def dense(layer, row):
    return row @ layer.kernel.numpy() + layer.bias.numpy()


def leaky(row):
    return np.where(row > 0, row, np.float32(0.3) * row)  # the slope is float32 in every type


def convolved(unit, frames):
    """One utterance's frames through convolution, batch norm and ReLU, frame by frame."""
    kernel, bias = unit.convolution.kernel.numpy(), unit.convolution.bias.numpy()
    norm, rows = unit.norm, []
    for centre in range(0, len(frames), unit.stride):
        total = bias.copy()
        for tap in range(unit.kernel_size):
            place = centre + tap - unit.kernel_size // 2
            if 0 <= place < len(frames):
                total += frames[place] @ kernel[tap]
        total = (total - norm.moving_mean.numpy()) / np.sqrt(norm.moving_variance.numpy() + 1e-5)
        rows.append(np.maximum(0, norm.gamma.numpy() * total + norm.beta.numpy()))
    return rows


def states(layer, rows):
    """The states of a GRU, from its definition: h = z h + (1 - z) tanh(W x + r (U h))."""
    kernel, recurrent, bias = (weight.numpy() for weight in layer.cell.weights)
    state, found = np.zeros(WIDTH), []
    for row in rows:
        ours, theirs = row @ kernel + bias[0], state @ recurrent + bias[1]
        update = sigmoid(ours[:WIDTH] + theirs[:WIDTH])
        reset = sigmoid(ours[WIDTH:2 * WIDTH] + theirs[WIDTH:2 * WIDTH])
        candidate = np.tanh(ours[2 * WIDTH:] + reset * theirs[2 * WIDTH:])
        state = update * state + (1 - update) * candidate
        found.append(state)
    return found


def attended(layer, query, memory):
    """One query over a list of rows: the output and the weights."""
    scores = np.array([dense(layer.query, query) @ dense(layer.key, row) for row in memory])
    powers = np.exp(scores / math.sqrt(WIDTH))
    weights = powers / powers.sum()
    mixed = sum(weight * dense(layer.value, row)
                for weight, row in zip(weights, memory, strict=True))
    return dense(layer.output_projection, mixed), weights


def one_hot(symbol: int) -> np.ndarray:
    return np.eye(SYMBOLS - 1)[symbol - 1]


def pairs(inputs: dict):
    """(utterance, column of its outputs, frames, symbols) of all pairs, without padding."""
    ids = np.concatenate([inputs["phonemes"][:, None], inputs["negative_phonemes"]], 1)
    counts = np.concatenate([inputs["phoneme_lengths"][:, None], inputs["negative_lengths"]], 1)
    for utterance in range(4):
        for column in range(3):
            keyword = utterance // 2
            yield (utterance, column,
                   inputs["features"].numpy()[utterance, :FRAMES[utterance]],
                   ids[keyword, column, :counts[keyword, column]])


def test_cmcd_equals_float64_loops(models):
    model, inputs = models["cmcd"], inputs_of()
    outputs = model(inputs)
    for utterance, column, features, symbols in pairs(inputs):
        rows = features
        for unit in model.convolutions:
            rows = convolved(unit, rows)
        for layer in model.recurrent:
            rows = states(layer, rows)
        frames = [leaky(dense(model.audio_projection, row)) for row in rows]
        text = [dense(model.embed_symbols, one_hot(symbol)) for symbol in symbols]
        gathered, weights = zip(*(attended(model.attention, row, frames) for row in text),
                                strict=True)
        state = states(model.judge, gathered)[-1]
        expected = dense(model.utterance_logit, state)[0]
        assert float(outputs["utterance_logits"][utterance, column]) == pytest.approx(
            expected, abs=1e-9)
        if column == 0:
            found = outputs["attention"][utterance].numpy()
            np.testing.assert_allclose(found[:len(text), :len(frames)], weights, atol=1e-9)
            assert found.sum() == pytest.approx(len(text))
    assert outputs["phoneme_logits"] is None


def test_phonmatchnet_equals_float64_loops(models):
    model, inputs = models["phonmatchnet"], inputs_of()
    outputs = model(inputs)
    for utterance, column, features, symbols in pairs(inputs):
        rows = features
        for unit in model.convolutions:
            rows = convolved(unit, rows)
        text = [leaky(dense(model.text_projection, one_hot(symbol))) for symbol in symbols]
        joined = [*rows, *text]
        seen = [attended(model.attention, row, joined[:place + 1])[0]
                for place, row in enumerate(joined)]
        expected = dense(model.utterance_logit, states(model.judge, seen)[-1])[0]
        assert float(outputs["utterance_logits"][utterance, column]) == pytest.approx(
            expected, abs=1e-9)
        phonemes = [dense(model.phoneme_logit, row)[0] for row in seen[len(rows):]]
        np.testing.assert_allclose(
            outputs["phoneme_logits"][utterance, column, :len(text)], phonemes, atol=1e-9)
    assert outputs["attention"] is None


@pytest.mark.parametrize("kind, own", [("cmcd", 628_609), ("phonmatchnet", 239_618)])
def test_parameters(kind, own):
    inputs = {**inputs_of(), "features": tf.zeros([4, 9, 40])}
    count = {}
    for adversary in (False, True):
        model = KINDS[kind](adversary=adversary)
        model(inputs)
        count[adversary] = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count[False] == own
    assert count[True] - own == 128 * 256 + 256 + 256 * 2 + 2


def test_padding_changes_nothing(model):
    tight, loose = model(inputs_of()), model(inputs_of(frames=14, longest=8))
    np.testing.assert_allclose(loose["utterance_logits"], tight["utterance_logits"], atol=1e-9)
    if tight["attention"] is not None:
        np.testing.assert_allclose(loose["attention"][:, :3, :5], tight["attention"], atol=1e-9)
        assert not np.any(loose["attention"][:, 3:]) and not np.any(loose["attention"][..., 5:])
    for utterance, column, _, symbols in pairs(inputs_of()):
        if tight["phoneme_logits"] is not None:
            np.testing.assert_allclose(
                *(one["phoneme_logits"][utterance, column, :len(symbols)]
                  for one in (loose, tight)), atol=1e-9)
    for side in ("phoneme_audio", "phoneme_text"):
        np.testing.assert_allclose(loose["modality_logits"][side],
                                   tight["modality_logits"][side], atol=1e-9)


def test_a_pair_alone_scores_as_in_the_batch(model):
    inputs = inputs_of()
    outputs = model(inputs)
    for utterance, column, features, symbols in pairs(inputs):
        audio, lengths = model.encode_audio(tf.constant(features[None]),
                                            tf.constant([len(features)]))
        assert audio.shape == (1, -(-len(features) // 2), WIDTH)
        count = tf.constant([len(symbols)])
        text = model.encode_text(tf.constant(symbols[None]), count)
        alone = model.match(audio, lengths, text, count)
        assert set(alone) == {"utterance_logit", "phoneme_logits", "attention"}
        assert alone["utterance_logit"].shape == (1,)
        np.testing.assert_allclose(alone["utterance_logit"][0],
                                   outputs["utterance_logits"][utterance, column], atol=1e-9)
        if alone["phoneme_logits"] is not None:
            np.testing.assert_allclose(
                alone["phoneme_logits"][0],
                outputs["phoneme_logits"][utterance, column, :len(symbols)], atol=1e-9)
        elif column == 0:
            assert alone["attention"].shape == (1, len(symbols), audio.shape[1])


def test_a_phoneme_sees_no_later_one(models):
    model, inputs = models["phonmatchnet"], inputs_of()
    ids = inputs["phonemes"].numpy()
    ids[0, 2] = ids[0, 2] % (SYMBOLS - 1) + 1
    changed = {**inputs, "phonemes": tf.constant(ids)}
    before, after = (model(one)["phoneme_logits"].numpy()[0, 0] for one in (inputs, changed))
    np.testing.assert_array_equal(before[:2], after[:2])
    assert before[2] != after[2]


def test_padded_frames_move_no_batch_statistic(model):
    averages = [w for w in model.weights if "moving" in w.name]
    before, found = [w.numpy() for w in averages], []
    for frames in (9, 14):
        model(inputs_of(frames=frames), training=True)
        found.append([w.numpy() for w in averages])
        for weight, value in zip(averages, before, strict=True):
            weight.assign(value)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert any(not np.array_equal(a, b) for a, b in zip(before, found[0], strict=True))


def test_the_adversary_sees_both_sides(model):
    logits = model(inputs_of())["modality_logits"]
    said = sum(TEXTS) * 2
    heard = said if isinstance(model, CMCD) else sum(-(-count // 2) for count in FRAMES)
    assert logits["phoneme_audio"].shape == (heard, 2)
    assert logits["phoneme_text"].shape == (said, 2)


def test_the_adversary_s_gradient_is_reversed(model):
    """The encoders get -strength times what they would without the reversal, the classifier all."""
    encoders = [model.convolutions[0].convolution.kernel, *model.modality.trainable_variables[:1]]
    found = []
    for strength in (0.1, -1.0):  # -1 passes the gradient through
        model.reversal.strength = strength
        with tf.GradientTape() as tape:
            logits = model(inputs_of())["modality_logits"]
            total = tf.add_n([tf.reduce_sum(value[:, 0]) for value in logits.values()])
        found.append(tape.gradient(total, encoders))
    model.reversal.strength = 0.1
    (into_encoder, into_classifier), (plain, same) = found
    np.testing.assert_allclose(into_encoder, -0.1 * plain, atol=1e-9)
    np.testing.assert_allclose(into_classifier, same, atol=1e-9)
    assert np.abs(plain).max() > 1e-6


def test_the_speech_embedding_is_added():
    model = make("phonmatchnet", embedding_width=2)
    inputs = inputs_of()
    extra = np.random.default_rng(3).normal(size=(4, 9, 2))
    both = tf.concat([inputs["features"], tf.constant(extra)], -1)
    frames, lengths = model.encode_audio(both, inputs["frame_lengths"])
    silent = tf.concat([inputs["features"], tf.zeros([4, 9, 2], tf.float64)], -1)
    without, _ = model.encode_audio(silent, inputs["frame_lengths"])
    nothing = leaky(dense(model.embedding_projection, np.zeros(2)))
    for row, length in enumerate(lengths.numpy()):
        for frame in range(length):
            added = leaky(dense(model.embedding_projection, extra[row, 2 * frame])) - nothing
            np.testing.assert_allclose(frames[row, frame] - without[row, frame], added, atol=1e-9)


def test_only_the_baselines_are_pairwise():
    assert not ADML.pairwise
    assert all(kind.pairwise for kind in KINDS.values())
