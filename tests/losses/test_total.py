"""The total: weights, absent branches, and two replicas against one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses.total import TotalLoss

DIMENSION, CLASSES, PHONEMES = 6, 9, 5
LOOKED_AT = {"phoneme_centred", "modality_accuracy_phoneme", "modality_accuracy_utterance"}
ALL_TERMS = {
    "utterance_asyp", "rpl_distance", "rpl_angle", "rpl_prototype", "utterance_infonce",
    "phoneme", "monotonic", "keyword", "adversarial_phoneme", "adversarial_utterance", "ctc",
    "total",
} | LOOKED_AT  # fmt: skip


def make_loss(**settings):
    return TotalLoss(
        **{
            "num_phoneme_classes": PHONEMES,
            "num_keyword_classes": CLASSES,
            "embedding_dim": DIMENSION,
        }
        | settings
    )


def make_batch(num_keywords, per_keyword, *, seed, longest, first_text=0):
    """Random model inputs and labels; lengths differ, so padding does occur."""
    generator = np.random.default_rng(seed)
    count, frames = num_keywords * per_keyword, 3 * longest
    lengths = generator.integers(1, longest + 1, num_keywords)
    lengths[0] = longest
    classes = generator.integers(0, PHONEMES, (num_keywords, longest))
    classes[np.arange(longest) >= lengths[:, np.newaxis]] = -1
    labels = generator.integers(0, CLASSES, num_keywords)
    labels[-1] = -1
    return {
        "audio": generator.normal(size=(count, frames, DIMENSION)).astype(np.float32),
        "text": generator.normal(size=(num_keywords, longest, DIMENSION)).astype(np.float32),
        "frame_lengths": generator.integers(2 * longest, frames + 1, count).astype(np.int32),
        "phoneme_classes": classes.astype(np.int32),
        "phoneme_lengths": lengths.astype(np.int32),
        "text_ids": (first_text + np.arange(num_keywords)).astype(np.int32),
        "keyword_labels": labels.astype(np.int32),
    }


def join(one, two):
    """One batch of two, padded to the longer."""
    joined = {}
    for key in one:
        pad, arrays = -1 if key == "phoneme_classes" else 0, (one[key], two[key])
        if one[key].ndim > 1:
            width = max(array.shape[1] for array in arrays)
            arrays = [
                np.pad(
                    array,
                    [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2),
                    constant_values=pad,
                )
                for array in arrays
            ]
        joined[key] = np.concatenate(arrays)
    return joined


class ToyEncoders(tf.Module):
    """Linear stand-ins for the towers, the attention, the modality and the CTC classifier."""

    def __init__(self):
        super().__init__()
        generator = np.random.default_rng(11)

        def matrix(columns):
            return tf.Variable(generator.normal(size=(DIMENSION, columns)).astype(np.float32))

        self.audio, self.text = matrix(DIMENSION), matrix(DIMENSION)
        self.modality, self.frames = matrix(2), matrix(PHONEMES + 1)

    def __call__(self, batch):
        per_keyword = tf.shape(batch["audio"])[0] // tf.shape(batch["text"])[0]
        audio, text = tf.matmul(batch["audio"], self.audio), tf.matmul(batch["text"], self.text)
        frame_mask = tf.sequence_mask(batch["frame_lengths"], tf.shape(audio)[1])
        phoneme_mask = tf.sequence_mask(batch["phoneme_lengths"], tf.shape(text)[1])
        repeated = tf.repeat(text, per_keyword, axis=0)
        scores = tf.matmul(repeated, audio, transpose_b=True)
        attention = tf.nn.softmax(tf.where(frame_mask[:, tf.newaxis], scores, -1e9))
        aggregated = tf.matmul(attention, audio)
        repeated_mask = tf.repeat(phoneme_mask, per_keyword, axis=0)
        utterances = self.pool(audio, frame_mask), self.pool(text, phoneme_mask)
        pairs = {
            "phoneme_audio": tf.boolean_mask(aggregated, repeated_mask),
            "phoneme_text": tf.boolean_mask(repeated, repeated_mask),
            "utterance_audio": utterances[0],
            "utterance_text": tf.repeat(utterances[1], per_keyword, axis=0),
        }
        return {
            "audio_frames": audio,
            "frame_lengths": batch["frame_lengths"],
            "audio_utterance": utterances[0],
            "text_phonemes": text,
            "text_utterance": utterances[1],
            "attention": attention,
            "audio_phonemes": aggregated,
            "modality_logits": {k: tf.matmul(v, self.modality) for k, v in pairs.items()},
            "ctc_logits": tf.matmul(audio, self.frames),
        }

    @staticmethod
    def pool(values, mask):
        weights = tf.cast(mask, values.dtype)[..., tf.newaxis]
        return tf.reduce_sum(values * weights, axis=1) / tf.reduce_sum(weights, axis=1)


BATCH = make_batch(3, 2, seed=0, longest=4)


def evaluate(loss, batch, encoders=None, outputs=None, **options):
    """Terms, and the gradients of the total in all variables."""
    encoders = encoders or ToyEncoders()
    batch = {key: tf.constant(value) for key, value in batch.items()}
    variables = [*encoders.trainable_variables, *loss.trainable_variables]
    with tf.GradientTape() as tape:
        terms = loss({**encoders(batch), **(outputs or {})}, batch, **options)
        total = terms["total"]
    return terms, tape.gradient(total, variables, unconnected_gradients="zero")


def test_terms_and_their_weighted_sum():
    weights = {
        "utterance_asyp": 1.0, "rpl_distance": 1.0, "rpl_angle": 2.0, "rpl_prototype": 1.0,
        "utterance_infonce": 0.0, "phoneme": 0.1, "monotonic": 1.0, "keyword": 1.0,
        "adversarial_phoneme": 1.0, "adversarial_utterance": 1.0, "ctc": 0.0,
    }  # fmt: skip
    terms, _ = evaluate(make_loss(), BATCH)
    assert set(terms) == ALL_TERMS
    expected = sum(weight * float(terms[name]) for name, weight in weights.items())
    assert float(terms["total"]) == pytest.approx(expected, rel=1e-5)


def test_terms_against_their_functions_written_out():
    """Each reduced term is the mean over B repeated pairs, as the equations have it."""
    from adml.losses import adversarial, proxy, relational

    loss, encoders = make_loss(adams=False), ToyEncoders()
    batch = {key: tf.constant(value) for key, value in BATCH.items()}
    outputs = encoders(batch)
    terms = loss(outputs, batch)
    index = np.repeat(np.arange(3), 2)
    audio, text = outputs["audio_utterance"].numpy(), outputs["text_utterance"].numpy()
    words = proxy.asyp(text[index], audio, index, alpha=2.0, beta=40.0, margin=0.5)
    np.testing.assert_allclose(terms["utterance_asyp"], np.mean(words), rtol=1e-5)
    units = audio / np.linalg.norm(audio, axis=1, keepdims=True)
    centres = units.reshape(3, 2, -1).mean(axis=1)
    np.testing.assert_allclose(terms["rpl_distance"], relational.distance(text, centres), rtol=1e-4)
    flat_text, flat_audio, labels = [], [], []
    for b in range(6):
        for u in range(BATCH["phoneme_lengths"][b // 2]):
            flat_text.append(outputs["text_phonemes"].numpy()[b // 2, u])
            flat_audio.append(outputs["audio_phonemes"].numpy()[b, u])
            labels.append(BATCH["phoneme_classes"][b // 2, u])
    phonemes = proxy.asyp(np.array(flat_text), np.array(flat_audio), np.array(labels))
    np.testing.assert_allclose(terms["phoneme"], np.mean(phonemes), rtol=1e-5)
    logits = outputs["modality_logits"]
    modality = adversarial.modality_cross_entropy(logits["phoneme_audio"], logits["phoneme_text"])
    np.testing.assert_allclose(terms["adversarial_phoneme"], np.mean(modality), rtol=1e-5)
    classified = loss.keyword_classifier(audio, np.repeat(BATCH["keyword_labels"], 2)).numpy()
    np.testing.assert_allclose(terms["keyword"], classified[:4].sum() / 4, rtol=1e-5)


def test_weight_zero_keeps_the_curve_without_gradient():
    plain, _ = evaluate(make_loss(), BATCH)
    off = {f"{name}_weight": 0.0 for name in ALL_TERMS - LOOKED_AT - {"total"}}
    loss = make_loss(**off)
    terms, gradients = evaluate(loss, BATCH)
    assert set(terms) == ALL_TERMS
    for name in ALL_TERMS - {"total", "keyword"}:  # the class weights are random
        np.testing.assert_allclose(terms[name], plain[name], rtol=1e-6)
    assert float(terms["total"]) == 0
    assert all(float(tf.norm(g)) == 0 for g in gradients)
    assert not loss.trainable_variables
    assert not loss.no_decay_no_clip_variables + loss.bias_variables


def test_absent_branches_leave_no_term():
    none = dict.fromkeys(["attention", "audio_phonemes", "ctc_logits"])
    terms, _ = evaluate(make_loss(), BATCH, outputs={**none, "modality_logits": {}})
    assert set(terms) == {
        "utterance_asyp", "rpl_distance", "rpl_angle", "rpl_prototype", "utterance_infonce",
        "keyword", "total",
    }  # fmt: skip
    terms, _ = evaluate(make_loss(phoneme_kind="none", keyword_kind="none"), BATCH)
    assert not {"phoneme", "phoneme_centred", "keyword"} & set(terms)


@pytest.mark.parametrize("phoneme_kind", ["asyp", "proxy_bd", "proxy_ms", "clat"])
@pytest.mark.parametrize("keyword_kind", ["sphereface2", "aam_softmax", "triplet"])
def test_every_kind_is_finite_and_reaches_its_variables(phoneme_kind, keyword_kind):
    loss = make_loss(
        phoneme_kind=phoneme_kind, keyword_kind=keyword_kind, monotonic_kind="diagonal",
        utterance_infonce_weight=1.0, ctc_weight=1.0,
    )  # fmt: skip
    terms, gradients = evaluate(loss, BATCH)
    assert all(np.isfinite(value) for value in terms.values())
    assert all(np.isfinite(g).all() and float(tf.norm(g)) > 0 for g in gradients)


def test_margin_fraction_scales_the_keyword_margin_alone():
    loss = make_loss()
    full, _ = evaluate(loss, BATCH)
    half, _ = evaluate(loss, BATCH, margin_fraction=tf.constant(0.5))
    assert float(half["keyword"]) < float(full["keyword"])
    for name in ALL_TERMS - {"keyword", "total"}:
        np.testing.assert_array_equal(half[name], full[name])


def test_variables_by_their_treatment():
    loss = make_loss(utterance_infonce_weight=1.0)
    names = sorted(v.name.split(":")[0] for v in loss.no_decay_no_clip_variables)
    assert names == [
        "adaptive_margins/raw_alpha", "adaptive_margins/raw_beta", "adaptive_margins/raw_margin",
        "infonce_scale/logarithm", "prototype_scale/logarithm",
    ]  # fmt: skip
    assert [v.name for v in loss.bias_variables] == ["keyword_classifier/bias:0"]
    rest = len(loss.trainable_variables) - len(names) - 1
    assert rest == 1  # the class weights


def test_chance_of_the_adversary():
    flat = {"utterance_audio": tf.zeros([6, 2]), "utterance_text": tf.zeros([6, 2])}
    terms, _ = evaluate(make_loss(), BATCH, outputs={"modality_logits": flat})
    assert float(terms["adversarial_utterance"]) == pytest.approx(2 * math.log(2), rel=1e-6)
    assert "adversarial_phoneme" not in terms


def test_accuracy_of_the_modality_classifier():
    """By pencil: audio is column 0, equal logits are half right, the mean is over both sides."""
    logits = {
        "utterance_audio": tf.constant([[2.0, 1.0], [0.0, 0.0], [-1.0, 3.0], [5.0, 4.0]]),
        "utterance_text": tf.constant([[2.0, 1.0], [0.0, 7.0], [-1.0, 3.0], [5.0, 4.0]]),
    }
    terms, gradients = evaluate(
        make_loss(keyword_kind="none"), BATCH, outputs={"modality_logits": logits}
    )
    assert float(terms["modality_accuracy_utterance"]) == (1 + 0.5 + 0 + 1 + 0 + 1 + 1 + 0) / 8
    assert "modality_accuracy_phoneme" not in terms
    off = make_loss(keyword_kind="none", adversarial_utterance_weight=0.0)
    weightless, others = evaluate(off, BATCH, outputs={"modality_logits": logits})
    assert weightless["modality_accuracy_utterance"] == terms["modality_accuracy_utterance"]
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_constants_are_those_that_act():
    loss = make_loss(adams_parametrisation="softplus", keyword_weight=1.0)
    loss.phoneme_terms.adaptive_margins.raw_beta.assign([-9.0, 0.0, 1.0, 2.0, 3.0])
    loss.phoneme_terms.adaptive_margins.raw_margin.assign([0.0, 0.1, 0.2, 0.3, 0.4])
    found = {name: value.numpy() for name, value in loss.constants().items()}
    assert set(found) == {"alpha", "beta", "lambda", "prototype_scale", "keyword_bias"}
    np.testing.assert_allclose(found["alpha"], [0.01] * 5, rtol=1e-5)
    np.testing.assert_allclose(found["beta"], np.log1p(np.exp([-9.0, 0, 1, 2, 3])), rtol=1e-5)
    np.testing.assert_allclose(found["lambda"], [0, 0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert found["prototype_scale"] == pytest.approx(20) and found["keyword_bias"].shape == ()
    clamped = make_loss(utterance_infonce_weight=1.0, keyword_kind="triplet")
    clamped.phoneme_terms.adaptive_margins.raw_alpha.assign([-1.0] * 5)
    found = clamped.constants()
    np.testing.assert_allclose(found["alpha"], [1e-3] * 5)
    assert float(found["infonce_scale"]) == pytest.approx(20) and "keyword_bias" not in found
    fixed = make_loss(adams=False, rpl_prototype_weight=0.0, keyword_kind="aam_softmax")
    assert fixed.constants() == {}


def test_losses_of_bfloat16_embeddings_are_float32():
    """Each term is that of the rounded embeddings in float32, to float32's own rounding."""
    loss = make_loss(utterance_infonce_weight=1.0, ctc_weight=1.0)
    batch = {key: tf.constant(value) for key, value in BATCH.items()}
    outputs = ToyEncoders()(batch)

    def cast(value, *dtypes):
        if isinstance(value, dict):
            return {name: cast(part, *dtypes) for name, part in value.items()}
        if not tf.as_dtype(getattr(value, "dtype", tf.int32)).is_floating:
            return value
        for dtype in dtypes:
            value = tf.cast(value, dtype)
        return value

    low = loss(cast(outputs, tf.bfloat16), batch)
    exact = loss(cast(outputs, tf.bfloat16, tf.float32), batch)
    assert set(low) == ALL_TERMS
    for name, value in low.items():
        assert value.dtype == tf.float32, name
        assert float(value) == pytest.approx(float(exact[name]), rel=1e-6), name


def test_one_keyword_and_no_labelled_one():
    batch = make_batch(1, 2, seed=3, longest=1)
    terms, gradients = evaluate(make_loss(ctc_weight=1.0), batch)
    for name in ("utterance_asyp", "rpl_distance", "rpl_angle", "rpl_prototype", "phoneme",
                 "keyword"):  # fmt: skip
        assert float(terms[name]) == 0, name
    assert all(np.isfinite(g).all() for g in gradients)


def test_config_round_trip():
    loss = make_loss(phoneme_kind="proxy_bd", keyword_margin=0.3, name="losses")
    again = TotalLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    assert again.settings["keyword_margin"] == 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phoneme_kind": "asip"}, r"Expected: one of asyp, .*Received: 'asip'"),
        ({"keyword_kind": "softmax"}, r"Expected: one of sphereface2, .*Received: 'softmax'"),
        ({"monotonic_kind": "x"}, r"Expected: one of guided, diagonal\. Received: 'x'"),
        ({"num_keyword_classes": 0}, r"Expected: num_keyword_classes >= 2\. Received: 0"),
        ({"adams_parametrisation": "exp"}, r"Expected: 'clamp' or 'softplus'\. Received: 'exp'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make_loss(**settings)


def test_unknown_scope():
    with pytest.raises(ValueError, match="Expected: 'global' or 'replica'"):
        evaluate(make_loss(), BATCH, scope="world")
