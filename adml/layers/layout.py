"""Where the frames of a batch lie in a tensor: padded to one length, or packed without padding.

Layers that mix frames (convolution, squeeze, pooling) ask the layout; all others do not care.

Padded: `[B, F, C]` or `[B, 1, F, C]`, 0 on padded frames. Packed: `[N, C]`, the valid frames of
all utterances one after the other, N = sum of lengths; no work is spent on padding, matrix
products see two axes, and batch statistics need no mask.
"""

from __future__ import annotations

import tensorflow as tf


class PaddedFrames:
    """Frames padded to the longest utterance.

    Args:
        lengths: int `[B]` valid frames.
        reference: `[B, F, C]` or `[B, 1, F, C]`; gives F, the rank and the dtype.
    """

    def __init__(self, lengths: tf.Tensor, reference: tf.Tensor):
        valid = tf.expand_dims(
            tf.sequence_mask(lengths, tf.shape(reference)[-2], dtype=reference.dtype), -1)
        counts = tf.reshape(tf.cast(lengths, reference.dtype), [-1, 1, 1])
        flat = reference.shape.rank == 3
        self.valid = valid if flat else tf.expand_dims(valid, 1)
        self.counts = counts if flat else tf.expand_dims(counts, 1)

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum over each utterance's frames; `values` must be 0 on padding."""
        return tf.reduce_sum(values, axis=-2, keepdims=True)

    def largest(self, values: tf.Tensor) -> tf.Tensor:
        """Returns an upper bound of the frames of each utterance (padding takes part)."""
        return tf.reduce_max(values, axis=-2, keepdims=True)

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Returns one value per utterance in a form that broadcasts over its frames."""
        return values

    def masked(self, values: tf.Tensor) -> tf.Tensor:
        """Returns `values` with padded frames set to 0."""
        return values * self.valid


class PackedFrames:
    """Valid frames only, one utterance after the other.

    Args:
        lengths: int `[B]` valid frames.
        num_frames: F, the padded length that `pack` takes and `unpack` gives.
    """

    valid = None

    def __init__(self, lengths: tf.Tensor, num_frames: tf.Tensor):
        self.lengths = tf.minimum(tf.cast(lengths, tf.int32), num_frames)
        self.num_utterances = tf.shape(self.lengths)[0]
        self.num_frames = num_frames
        padded = tf.sequence_mask(self.lengths, num_frames)
        self._rows = tf.cast(tf.reshape(tf.where(tf.reshape(padded, [-1])), [-1]), tf.int32)
        self.utterances = self._rows // num_frames
        self.counts = tf.expand_dims(tf.cast(self.lengths, tf.float32), -1)
        self._taps: dict[tuple[int, int], tf.Tensor] = {}

    def pack(self, padded: tf.Tensor) -> tf.Tensor:
        """Returns the valid rows `[N, C]` of `[B, F, C]`; no gradient is meant to flow."""
        return tf.gather(tf.reshape(padded, [-1, padded.shape[-1]]), self._rows)

    def unpack(self, values: tf.Tensor) -> tf.Tensor:
        """Returns `[B, F, C]`, 0 on padding, from `[N, C]`."""
        rows, channels = self._rows, values.shape[-1]
        size = self.num_utterances * self.num_frames

        @tf.custom_gradient
        def scattered(flat: tf.Tensor):
            padded = tf.scatter_nd(tf.expand_dims(rows, -1), flat, [size, channels])
            return padded, lambda upstream: tf.gather(upstream, rows)

        return tf.reshape(scattered(values), [self.num_utterances, self.num_frames, channels])

    def taps(self, kernel_size: int, dilation: int) -> tf.Tensor:
        """Returns the rows that each frame's convolution sees, int32 `[N, kernel_size]`.

        A row beyond the utterance is N, where `packed_convolution` keeps a row of zeros.
        """
        key = (kernel_size, dilation)
        if key not in self._taps:
            offsets = dilation * (tf.range(kernel_size) - kernel_size // 2)
            position = tf.expand_dims(self._rows % self.num_frames, -1) + offsets
            length = tf.expand_dims(tf.gather(self.lengths, self.utterances), -1)
            total = tf.shape(self._rows)[0]
            rows = tf.expand_dims(tf.range(total), -1) + offsets
            self._taps[key] = tf.where((position >= 0) & (position < length), rows, total)
        return self._taps[key]

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum `[B, C]` over each utterance's frames."""
        return _segment_sum(values, self.utterances, self.num_utterances)

    def largest(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the largest value `[B, C]` of each utterance."""
        return tf.math.unsorted_segment_max(values, self.utterances, self.num_utterances)

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Returns `[N, C]`, each utterance's row of `[B, C]` at each of its frames."""
        return _segment_spread(values, self.utterances, self.num_utterances)

    def masked(self, values: tf.Tensor) -> tf.Tensor:
        """Returns `values`: nothing is padded."""
        return values


def _segment_sum(values, ids, count):
    """Sum by segment whose gradient is a plain gather."""
    @tf.custom_gradient
    def summed(flat: tf.Tensor):
        return (tf.math.unsorted_segment_sum(flat, ids, count),
                lambda upstream: tf.gather(upstream, ids))

    return summed(values)


def _segment_spread(values, ids, count):
    """Gather by segment whose gradient is a plain segment sum."""
    @tf.custom_gradient
    def gathered(rows: tf.Tensor):
        return (tf.gather(rows, ids),
                lambda upstream: tf.math.unsorted_segment_sum(upstream, ids, count))

    return gathered(values)


def packed_convolution(inputs: tf.Tensor, kernel: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
    """Zero-padded convolution of packed frames as one matrix product.

        output[n] = sum_j inputs[taps[n, j]] kernel[j]

    The gradient for the inputs is the same product with the taps in reverse order.

    Args:
        inputs: `[N, C]`.
        kernel: `[k, C, D]`, k odd.
        taps: int `[N, k]` from `PackedFrames.taps`.

    Returns:
        `[N, D]`.
    """
    size, channels, filters = kernel.shape

    @tf.custom_gradient
    def convolved(values: tf.Tensor, weights: tf.Tensor):
        columns = _columns(values, taps, size * channels)
        flat = tf.reshape(weights, [size * channels, filters])

        def gradient(upstream: tf.Tensor):
            reverse = _columns(upstream, taps[:, ::-1], size * filters)
            transposed = tf.reshape(tf.transpose(weights, [0, 2, 1]), [size * filters, channels])
            into_weights = tf.matmul(columns, upstream, transpose_a=True)
            return (tf.matmul(reverse, transposed),
                    tf.reshape(into_weights, [size, channels, filters]))

        return tf.matmul(columns, flat), gradient

    return convolved(inputs, kernel)


def _columns(values: tf.Tensor, taps: tf.Tensor, width: int) -> tf.Tensor:
    """Returns the rows seen by each frame side by side, `[N, width]`."""
    with_zeros = tf.pad(values, [[0, 1], [0, 0]])
    return tf.reshape(tf.gather(with_zeros, taps), [-1, width])
