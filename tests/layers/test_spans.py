"""Spans of frames, by hand and against cutting first."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.spans import Spans, cut_spans, packed_rows

LENGTHS = np.array([4, 2], np.int32)
VALUES = np.array([[[1.0], [2.0], [3.0], [4.0]], [[5.0], [6.0], [0.0], [0.0]]], np.float32)
SPANS = Spans(np.array([0, 1, 0]), np.array([1, 0, 3]), np.array([3, 2, 1]))
EXPECTED = np.array([[[2.0], [3.0], [4.0]], [[5.0], [6.0], [0.0]], [[4.0], [0.0], [0.0]]])


@pytest.mark.parametrize("rank", [3, 4])
def test_padded_by_hand(rank):
    values = VALUES if rank == 3 else VALUES[:, np.newaxis]
    values = tf.constant(values)
    taken, layout = cut_spans(values, PaddedFrames(LENGTHS, values), SPANS)
    expected = EXPECTED if rank == 3 else EXPECTED[:, np.newaxis]
    np.testing.assert_array_equal(taken, expected)
    np.testing.assert_array_equal(np.ravel(layout.counts), [3, 2, 1])
    np.testing.assert_array_equal(np.ravel(layout.sum(taken)), [9, 11, 4])


def test_packed_by_hand():
    layout = PackedFrames(LENGTHS, 4)
    taken, cut = cut_spans(layout.pack(VALUES), layout, SPANS)
    np.testing.assert_array_equal(taken, [[2.0], [3.0], [4.0], [5.0], [6.0], [4.0]])
    np.testing.assert_array_equal(cut.unpack(taken), EXPECTED)
    np.testing.assert_array_equal(np.ravel(cut.sum(taken)), [9, 11, 4])


def test_rows_are_as_many_as_is_asked_and_never_beyond():
    layout = PackedFrames(LENGTHS, 4)
    spans = Spans(np.array([1, 0, 1]), np.array([1, 2, 0]), np.array([3, 2, 1]))
    rows, cut = packed_rows(layout, spans)
    assert rows.numpy().tolist() == [5, 5, 5, 2, 3, 4]
    assert cut.utterances.numpy().tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("packed", [True, False])
def test_the_gradient_of_a_frame_is_the_sum_over_its_spans(packed):
    values = tf.constant(VALUES)
    weights = np.array([[[10.0], [20.0], [30.0]], [[40.0], [50.0], [9e9]], [[60.0], [9e9], [9e9]]])
    layout = PackedFrames(LENGTHS, 4) if packed else PaddedFrames(LENGTHS, values)
    with tf.GradientTape() as tape:
        inputs = layout.pack(values) if packed else values
        tape.watch(inputs)
        taken, cut = cut_spans(inputs, layout, SPANS)
        taken = cut.unpack(taken) if packed else taken
        loss = tf.reduce_sum(taken * weights.astype(np.float32))
    slopes = tf.convert_to_tensor(tape.gradient(loss, inputs))
    slopes = layout.unpack(slopes) if packed else slopes
    np.testing.assert_array_equal(np.squeeze(slopes, -1), [[0, 10, 20, 90], [40, 50, 0, 0]])
