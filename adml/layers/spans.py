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
    if isinstance(layout, PackedFrames):
        rows, cut = packed_rows(layout, spans)
        return tf.gather(values, rows), cut
    recordings, starts, frames = (tf.cast(part, tf.int32) for part in spans)
    longest = tf.reduce_max(frames)
    channels, total = values.shape[-1], tf.shape(values)[-2]
    places = tf.minimum(tf.expand_dims(starts, 1) + tf.range(longest), total - 1)
    rows = tf.expand_dims(recordings * total, 1) + places
    taken = tf.gather(tf.reshape(values, [-1, channels]), rows)
    if values.shape.rank == 4:
        taken = tf.expand_dims(taken, 1)
    cut = PaddedFrames(frames, taken)
    return cut.masked(taken), cut


def packed_rows(layout: PackedFrames, spans: Spans) -> tuple[tf.Tensor, PackedFrames]:
    """Tells which of packed frames the spans are made of.

    How many there are follows from `spans.frames` alone, which a converter may know.

    Args:
        layout: Where the recordings lie.
        spans: What is taken.

    Returns:
        Rows int32 `[N']`, span after span, and the layout of what is taken.
    """
    recordings, starts, frames = (tf.cast(part, tf.int32) for part in spans)
    cut = PackedFrames(frames, tf.reduce_max(frames))
    first = tf.gather(tf.cumsum(layout.lengths, exclusive=True), recordings) + starts
    ahead = tf.gather(first - tf.cumsum(frames, exclusive=True), cut.utterances)
    rows = ahead + tf.range(tf.shape(cut.utterances)[0])
    return tf.minimum(rows, tf.reduce_sum(layout.lengths) - 1), cut
