"""Losses a chunk of classes at a time against the plain ones, which have oracles of their own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.losses import keyword
from adml.losses.keyword_chunks import aam_softmax_in_chunks, sphereface2_in_chunks
from adml.losses.layers import KeywordClassifier
from adml.numerics.similarity import cosine_similarity

KINDS = ("C", "A", "aam_softmax")


def plain(kind, embeddings, weights, labels, bias, **terms):
    cosine = cosine_similarity(embeddings, weights)
    if kind == "aam_softmax":
        return keyword.aam_softmax(cosine, labels, **terms)
    return keyword.sphereface2(cosine, labels, bias=bias, variant=kind, **terms)


def chunked(kind, embeddings, weights, labels, bias, *, chunk, **terms):
    if kind == "aam_softmax":
        return aam_softmax_in_chunks(embeddings, weights, labels, chunk=chunk, **terms)
    return sphereface2_in_chunks(
        embeddings, weights, labels, chunk=chunk, bias=bias, variant=kind, **terms
    )


def losses_and_gradients(function, embeddings, weights, bias, upstream):
    variables = [tf.Variable(value) for value in (embeddings, weights, bias)]
    with tf.GradientTape() as tape:
        losses = function(*variables)
    gradients = tape.gradient(losses, variables, upstream, unconnected_gradients="zero")
    return [losses.numpy()] + [tf.convert_to_tensor(value).numpy() for value in gradients]


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return lambda count: (
        rng.normal(size=(6, 5)), rng.normal(size=(count, 5)), np.float64(-1.2),
        tf.constant(rng.normal(size=6)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "chunk"), [(7, 3), (7, 7), (7, 100), (12, 4), (5, 1)])
def test_values_and_gradients_are_those_of_the_plain_loss(kind, classes, chunk, drawn):
    """In float64, to rounding; classes beyond the last whole chunk and an item of no class too.

    One of the cases is compiled.
    """
    embeddings, weights, bias, upstream = drawn(classes)
    labels = np.array([0, classes - 1, 2, -1, 2, 1])

    def pieces(*values):
        return chunked(kind, values[0], values[1], labels, values[2], chunk=chunk, margin=0.2)

    expected = losses_and_gradients(
        lambda x, w, b: plain(kind, x, w, labels, b, margin=0.2),
        embeddings, weights, bias, upstream,
    )  # fmt: skip
    found = losses_and_gradients(
        tf.function(pieces) if chunk == 3 else pieces, embeddings, weights, bias, upstream
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    assert found[0][3] == 0 and not found[1][3].any()
    assert (found[3] != 0) == (kind != "aam_softmax")


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(kind, drawn, check_gradients):
    embeddings, weights, bias, _ = drawn(5)
    labels = np.array([4, 0, 1, 2, 3, 0])
    check_gradients(
        lambda x, w: chunked(kind, x, w, labels, bias, chunk=2, margin=0.1), [embeddings, weights]
    )


def test_a_classifier_of_more_classes_than_a_chunk_gives_the_same():
    """The layer chooses by the number of classes; both ways agree to float32."""
    embeddings = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    labels = np.array([2, -1, 40, 7])
    for kind in ("sphereface2", "aam_softmax"):
        whole, pieces = (KeywordClassifier(50, 8, kind=kind, chunk=chunk) for chunk in (50, 16))
        pieces.class_weights.assign(whole.class_weights)
        results = []
        for layer in (whole, pieces):
            with tf.GradientTape() as tape:
                losses = layer(embeddings, labels, margin_fraction=0.5)
            gradients = tape.gradient(losses, layer.trainable_variables)
            results.append([losses, *map(tf.convert_to_tensor, gradients)])
        for one, other in zip(*results, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def biggest_tensor(function, *arguments):
    """Elements of the largest tensor in a function's graph, those of its loops included."""
    graphs = [function.get_concrete_function(*arguments).graph]
    largest = 0
    while graphs:
        graph = graphs.pop()
        for operation in graph.get_operations():
            shapes = [output.shape for output in operation.outputs]
            whole = [shape.num_elements() for shape in shapes if shape.is_fully_defined()]
            largest = max([largest, *whole])
        graphs += [
            definition.graph
            for definition in getattr(graph, "_functions", {}).values()
            if hasattr(definition, "graph")
        ]
    return largest


def test_no_tensor_of_items_by_classes_is_made():
    """Forward and backward; the plain loss, which makes one, shows that the test can see it."""
    embeddings, weights = tf.zeros([64, 4]), tf.Variable(tf.ones([1000, 4]))
    labels = tf.zeros([64], tf.int32)

    def gradient_of(loss):
        @tf.function
        def run(embeddings):
            with tf.GradientTape() as tape:
                losses = loss(embeddings)
            return tape.gradient(losses, weights)

        return run

    whole = gradient_of(lambda x: plain("C", x, weights, labels, 0.0))
    pieces = gradient_of(lambda x: chunked("C", x, weights, labels, 0.0, chunk=100))
    assert biggest_tensor(whole, embeddings) >= 64 * 1000
    assert biggest_tensor(pieces, embeddings) <= 64 * 100


def test_a_chunk_of_nothing_and_an_unknown_variant_are_refused():
    with pytest.raises(ValueError, match="chunk >= 1. Received: 0"):
        sphereface2_in_chunks(np.ones([2, 3]), np.ones([4, 3]), [0, 1], chunk=0)
    with pytest.raises(ValueError, match="unknown variant.*'B'"):
        sphereface2_in_chunks(np.ones([2, 3]), np.ones([4, 3]), [0, 1], chunk=2, variant="B")
