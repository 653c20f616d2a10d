"""The two InfoNCE losses against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import contrastive


def cosine(x, y):
    return float(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)))


def clat_oracle(text, audio, labels, temperature):
    everyone, losses = range(len(labels)), []
    for i in everyone:
        kept = [j for j in everyone if j == i or labels[j] != labels[i]]
        own = cosine(text[i], audio[i]) / temperature
        rows = sum(math.exp(cosine(text[i], audio[j]) / temperature) for j in kept)
        columns = sum(math.exp(cosine(text[j], audio[i]) / temperature) for j in kept)
        losses.append((math.log(rows) - own + math.log(columns) - own) / 2)
    return losses


LABELS = [0, 1, 0, 2, 1]


@pytest.fixture
def pairs():
    return np.random.default_rng(0).normal(size=(2, 5, 4))


def test_clat_by_hand():
    value = contrastive.clat(np.eye(2), np.eye(2), [0, 1], temperature=0.5)
    np.testing.assert_allclose(value, [math.log(1 + math.exp(-2))] * 2, rtol=1e-9)


def test_clat(pairs, check_gradients):
    np.testing.assert_allclose(
        contrastive.clat(*pairs, LABELS), clat_oracle(*pairs, LABELS, 0.07), rtol=1e-9
    )
    check_gradients(
        lambda t, a: contrastive.clat(t, a, LABELS, temperature=0.5), [pairs[0], pairs[1]]
    )


def test_clat_order_scale_and_labels_outside(pairs):
    value, order = contrastive.clat(*pairs, LABELS).numpy(), [3, 1, 4, 0, 2]
    shuffled = contrastive.clat(5 * pairs[0, order], pairs[1, order], np.array(LABELS)[order])
    np.testing.assert_allclose(shuffled, value[order])
    outside = contrastive.clat(*pairs, [0, -1, 0, 2, -1]).numpy()
    inside = contrastive.clat(*pairs[:, [0, 2, 3]], [0, 0, 2]).numpy()
    np.testing.assert_allclose(outside, [inside[0], 0, inside[1], inside[2], 0])


@pytest.mark.parametrize("labels", [[0, 0, 0], [-1, -1, -1], [4]])
def test_clat_without_negatives_is_zero(labels, pairs):
    text, audio = (tf.constant(side[: len(labels)], tf.float32) for side in pairs)
    with tf.GradientTape() as tape:
        tape.watch([text, audio])
        value = contrastive.clat(text, audio, labels)
    np.testing.assert_allclose(value, 0, atol=1e-5)
    for gradient in tape.gradient(value, [text, audio]):
        np.testing.assert_allclose(gradient, 0, atol=1e-5)


def infonce_oracle(audio, text, index, ids, scale, distractors=()):
    keywords, utterances = range(len(text)), range(len(audio))

    def logit(b, k):
        return scale * cosine(audio[b], text[k])

    to_text, to_audio = [], [0.0] * len(text)
    for b in utterances:
        kept = [k for k in keywords if k == index[b] or ids[k] != ids[index[b]]]
        total = sum(math.exp(logit(b, k)) for k in kept)
        to_text.append(math.log(total) - logit(b, index[b]))
    for k in keywords:
        own = [b for b in utterances if index[b] == k]
        kept = [b for b in utterances if index[b] == k or ids[index[b]] != ids[k]]
        total = sum(math.exp(logit(b, k)) for b in kept)
        total += sum(math.exp(scale * cosine(other, text[k])) for other in distractors)
        for b in own:
            to_audio[k] += (math.log(total) - logit(b, k)) / len(own)
    return to_text, to_audio


@pytest.mark.parametrize("ids", [[10, 11, 12], [10, 11, 10]])
def test_infonce(ids, check_gradients):
    generator, index = np.random.default_rng(1), np.array([0, 0, 1, 1, 2, 2])
    audio, text = generator.normal(size=(6, 4)), generator.normal(size=(3, 4))
    value = contrastive.infonce(audio, text, index, np.array(ids), scale=5.0)
    expected = infonce_oracle(audio, text, index, ids, 5.0)
    np.testing.assert_allclose(value[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(value[1], expected[1], rtol=1e-9)

    def joined(audio, text, scale):
        return tf.concat(
            contrastive.infonce(audio, text, index, np.array(ids), scale=scale), axis=0
        )

    check_gradients(joined, [audio, text, 5.0])


def test_infonce_with_distractors(check_gradients):
    generator, index, ids = np.random.default_rng(2), np.array([0, 1, 1, 2]), np.array([5, 6, 5])
    audio, text, others = (generator.normal(size=(n, 4)) for n in (4, 3, 5))
    value = contrastive.infonce(audio, text, index, ids, scale=5.0, distractors=others)
    expected = infonce_oracle(audio, text, index, ids, 5.0, others)
    np.testing.assert_allclose(value[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(value[1], expected[1], rtol=1e-9)
    plain = contrastive.infonce(audio, text, index, ids, scale=5.0)
    none = contrastive.infonce(audio, text, index, ids, scale=5.0, distractors=others[:0])
    np.testing.assert_allclose(none[1], plain[1], rtol=1e-9)

    def joined(audio, text, others, scale):
        found = contrastive.infonce(audio, text, index, ids, scale=scale, distractors=others)
        return tf.concat(found, axis=0)

    check_gradients(joined, [audio, text, others, 5.0])


def test_infonce_of_one_keyword_and_of_an_absent_one():
    one = contrastive.infonce(np.eye(1), np.eye(1), np.array([0]), np.array([3]))
    np.testing.assert_allclose(one[0], [0], atol=1e-12)
    np.testing.assert_allclose(one[1], [0], atol=1e-12)
    absent = contrastive.infonce(np.eye(2), np.eye(2), np.array([0, 0]), np.array([3, 4]))
    assert float(absent[1][1]) == 0
    assert np.isfinite(absent[1]).all()
