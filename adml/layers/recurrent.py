"""A bidirectional LSTM over packed sequences, with the weights of Keras' own.

Sequences are sorted by length, longest first, and laid out time step by time step: row
`start[t] + r` is step t of the r-th longest sequence, and step t has `active[t]` rows. No work is
spent on padding, the input products of all steps are one matrix product, both directions share
one loop, and the written-out gradient needs one product for all steps' weight gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras


class PackedSequences(NamedTuple):
    """Where the steps of a batch of sequences lie.

    Attributes:
        active: int32 `[L]`, number of sequences longer than t.
        start: int32 `[L]`, first row of step t.
        padded_rows: int32 `[N]`, row of each packed step in the flattened `[B, L]`.
        reverse: int32 `[N]`, packed row of the same sequence's mirrored step.
        previous: int32 `[N - B']`, packed row one step earlier, for all rows of t > 0.
    """

    active: tf.Tensor
    start: tf.Tensor
    padded_rows: tf.Tensor
    reverse: tf.Tensor
    previous: tf.Tensor


def pack_sequences(lengths: tf.Tensor, max_length: tf.Tensor) -> PackedSequences:
    """Returns the packed order of right-padded sequences.

    Args:
        lengths: int `[B]`, at most `max_length`.
        max_length: L of the padded tensor.
    """
    lengths = tf.minimum(tf.cast(lengths, tf.int32), max_length)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    ranked = tf.gather(lengths, order)
    steps = tf.range(tf.reduce_max(tf.concat([lengths, [1]], 0)))
    present = tf.expand_dims(steps, 1) < tf.expand_dims(ranked, 0)
    active = tf.reduce_sum(tf.cast(present, tf.int32), axis=1)
    start = tf.cumsum(active, exclusive=True)
    where = tf.cast(tf.where(present), tf.int32)
    step, rank = where[:, 0], where[:, 1]
    mirrored = tf.gather(ranked, rank) - 1 - step
    later = tf.reduce_sum(tf.cast(step == 0, tf.int32))
    return PackedSequences(
        active, start, tf.gather(order, rank) * max_length + step,
        tf.gather(start, mirrored) + rank,
        tf.gather(start, step[later:] - 1) + rank[later:])


def packed_bidirectional(inputs: tf.Tensor, packed: PackedSequences,
                         layer: keras.layers.Bidirectional) -> tf.Tensor:
    """Returns the output `[N, 2 H]` of a bidirectional Keras LSTM on packed inputs `[N, D]`."""
    forward, backward = layer.forward_layer.cell, layer.backward_layer.cell
    dtype = inputs.dtype
    mirrored = _reordered(inputs, packed.reverse)
    entries = tf.stack([
        tf.nn.bias_add(tf.matmul(values, tf.cast(cell.kernel, dtype)), tf.cast(cell.bias, dtype))
        for values, cell in ((inputs, forward), (mirrored, backward))])
    weights = tf.stack([tf.cast(cell.recurrent_kernel, dtype) for cell in (forward, backward)])
    outputs = packed_lstm(entries, weights, packed)
    return tf.concat([outputs[0], _reordered(outputs[1], packed.reverse)], axis=-1)


def _reordered(values: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Gathers rows by a permutation that is its own inverse."""
    @tf.custom_gradient
    def gathered(rows: tf.Tensor):
        return tf.gather(rows, order), lambda upstream: tf.gather(upstream, order)

    return gathered(values)


def packed_lstm(entries: tf.Tensor, weights: tf.Tensor, packed: PackedSequences) -> tf.Tensor:
    """Runs G independent LSTMs (here the two directions) over packed sequences.

        [i f g o] = entries[t] + h[t-1] weights   (i, f, o through sigmoid, g through tanh)
        c[t] = f c[t-1] + i g,   h[t] = o tanh(c[t])

    Args:
        entries: `[G, N, 4 H]`, input products with their biases, gates in Keras' order.
        weights: `[G, H, 4 H]` recurrent weights.
        packed: Where the steps lie.

    Returns:
        `[G, N, H]`, the states h.
    """
    @tf.custom_gradient
    def recurrence(entries: tf.Tensor, weights: tf.Tensor):
        outputs, gates, cells = _run_forward(entries, weights, packed)

        def gradient(upstream: tf.Tensor):
            into_entries = _run_backward(upstream, gates, cells, weights, packed)
            first = tf.shape(entries)[1] - tf.shape(packed.previous)[0]
            into_weights = tf.matmul(tf.gather(outputs, packed.previous, axis=1),
                                     into_entries[:, first:], transpose_a=True)
            return into_entries, into_weights

        return outputs, gradient

    return recurrence(entries, weights)


def _run_forward(entries, weights, packed):
    """Returns states `[G, N, H]` and, by step, the gates and cells."""
    groups, units = weights.shape[0], weights.shape[1]
    steps = tf.shape(packed.active)[0]
    arrays = [tf.TensorArray(entries.dtype, size=steps, infer_shape=False,
                             element_shape=[groups, None, width], clear_after_read=False)
              for width in (units, 4 * units, units)]
    rows = packed.active[0]
    zero = tf.zeros([groups, rows, units], entries.dtype)

    def step(t, hidden, cell, states, gates, cells):
        count, first = packed.active[t], packed.start[t]
        sums = entries[:, first:first + count] + tf.matmul(hidden[:, :count], weights)
        sigmoids = tf.sigmoid(sums)
        entry, forget = sigmoids[..., :units], sigmoids[..., units:2 * units]
        leave = sigmoids[..., 3 * units:]
        candidate = tf.tanh(sums[..., 2 * units:3 * units])
        cell = forget * cell[:, :count] + entry * candidate
        hidden = leave * tf.tanh(cell)
        kept = tf.concat([entry, forget, candidate, leave], axis=-1)
        return (t + 1, hidden, cell, states.write(t, hidden), gates.write(t, kept),
                cells.write(t, cell))

    free = tf.TensorShape([groups, None, units])
    *_, states, gates, cells = tf.while_loop(
        lambda t, *_: t < steps, step, (0, zero, zero, *arrays),
        shape_invariants=(tf.TensorShape([]), free, free, *[tf.TensorShape(None)] * 3),
        parallel_iterations=1)
    return _joined(states, steps, entries, units), gates, cells


def _run_backward(upstream, gates, cells, weights, packed):
    """Returns the gradient `[G, N, 4 H]` of the entries from that of the states."""
    groups, units = weights.shape[0], weights.shape[1]
    steps = tf.shape(packed.active)[0]
    array = tf.TensorArray(upstream.dtype, size=steps, infer_shape=False,
                           element_shape=[groups, None, 4 * units])
    empty = tf.zeros([groups, 0, units], upstream.dtype)

    def step(t, into_hidden, into_cell, slopes):
        count, first = packed.active[t], packed.start[t]
        grown = [[0, 0], [0, count - tf.shape(into_hidden)[1]], [0, 0]]
        into_hidden = upstream[:, first:first + count] + tf.pad(into_hidden, grown)
        kept = gates.read(t)
        entry, forget, candidate, leave = tf.split(kept, 4, axis=-1)
        bent = tf.tanh(cells.read(t))
        before = cells.read(tf.maximum(t - 1, 0))[:, :count]
        before = tf.where(t > 0, before, tf.zeros_like(before))
        into_cell = into_hidden * leave * (1.0 - bent * bent) + tf.pad(into_cell, grown)
        slope = tf.concat([into_cell * candidate * entry * (1.0 - entry),
                           into_cell * before * forget * (1.0 - forget),
                           into_cell * entry * (1.0 - candidate * candidate),
                           into_hidden * bent * leave * (1.0 - leave)], axis=-1)
        return (t - 1, tf.matmul(slope, weights, transpose_b=True), into_cell * forget,
                slopes.write(t, slope))

    free = tf.TensorShape([groups, None, units])
    *_, slopes = tf.while_loop(
        lambda t, *_: t >= 0, step, (steps - 1, empty, empty, array),
        shape_invariants=(tf.TensorShape([]), free, free, tf.TensorShape(None)),
        parallel_iterations=1)
    return _joined(slopes, steps, upstream, 4 * units)


def _joined(array, steps, like, width) -> tf.Tensor:
    """Returns the steps of a tensor array side by side, `[G, N, width]`."""
    groups = like.shape[0]
    turned = tf.TensorArray(like.dtype, size=steps, infer_shape=False,
                            element_shape=[None, groups, width])
    _, turned = tf.while_loop(
        lambda t, _: t < steps,
        lambda t, out: (t + 1, out.write(t, tf.transpose(array.read(t), [1, 0, 2]))),
        (0, turned), shape_invariants=(tf.TensorShape([]), tf.TensorShape(None)))
    return tf.transpose(turned.concat(), [1, 0, 2])
