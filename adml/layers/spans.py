"""Spans of frames cut out of longer recordings, after what is around them was heard."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from adml.layers.layout import PackedFrames, PaddedFrames

Layout = PaddedFrames | PackedFrames


class Spans(NamedTuple):
    """S stretches of the frames of B recordings; they may overlap.

    `recordings` int [S], below B; `starts` int [S], the first frame; `frames` int [S], how many,
    at least one. A span that goes beyond its recording's frames is undefined.
    """

    recordings: tf.Tensor
    starts: tf.Tensor
    frames: tf.Tensor


def cut_spans(values: tf.Tensor, layout: Layout, spans: Spans) -> tuple[tf.Tensor, Layout]:
    """Takes each span as if it were a recording of its own.

    Args:
        values: `[B, F, C]`, `[B, 1, F, C]` or packed `[N, C]`, as the layout says.
        layout: Where the recordings lie.
        spans: What is taken.

    Returns:
        The values of the spans in the same form, `[S, F', C]`, `[S, 1, F', C]` or `[N', C]` with
        F' the longest span, 0 on padding, and their layout.
    """
    recordings, starts, frames = (tf.cast(part, tf.int32) for part in spans)
    longest = tf.reduce_max(frames)
    if isinstance(layout, PackedFrames):
        first = tf.gather(tf.cumsum(layout.lengths, exclusive=True), recordings) + starts
        rows = tf.ragged.range(first, first + frames).flat_values
        return tf.gather(values, rows), PackedFrames(frames, longest)
    channels, total = values.shape[-1], tf.shape(values)[-2]
    places = tf.minimum(tf.expand_dims(starts, 1) + tf.range(longest), total - 1)
    rows = tf.expand_dims(recordings * total, 1) + places
    taken = tf.gather(tf.reshape(values, [-1, channels]), rows)
    if values.shape.rank == 4:
        taken = tf.expand_dims(taken, 1)
    cut = PaddedFrames(frames, taken)
    return cut.masked(taken), cut
