"""Convolutions over time that keep every s-th frame, and a GRU that knows its lengths."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.normalisation import MaskedBatchNorm


class StridedConvolutionUnit(keras.layers.Layer):
    """Convolution, batch normalisation and ReLU; output frame j sits on input frame s j.

    The padding is the same at every length (Keras' depends on whether the longest utterance of
    the batch is even), and what stands on padded frames is ignored.

    Args:
        filters: Number of output channels.
        kernel_size: Frames seen by one output frame, odd.
        stride: s.
    """

    def __init__(self, filters: int, kernel_size: int, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.stride = filters, kernel_size, stride
        self.convolution = keras.layers.Conv1D(
            filters, kernel_size, strides=stride, dtype=self.dtype_policy, name="convolution")
        self.norm = MaskedBatchNorm(dtype=self.dtype_policy, name="norm")

    def build(self, input_shape) -> None:
        """Makes the weights of both."""
        self.convolution.build((None, None, tf.TensorShape(input_shape)[-1]))
        self.norm.build((None, None, self.filters))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, lengths: tf.Tensor,
             training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Convolves.

        Args:
            inputs: `[B, F, C]`.
            lengths: int `[B]` valid frames.
            training: Whether batch statistics are used.

        Returns:
            `[B, ceil(F / s), filters]`, 0 on padding, and the lengths `ceil(lengths / s)`.
        """
        around = self.kernel_size // 2
        hidden = masked(inputs, lengths)
        hidden = self.convolution(tf.pad(hidden, [[0, 0], [around, around], [0, 0]]))
        lengths = (lengths + self.stride - 1) // self.stride
        valid = tf.sequence_mask(lengths, tf.shape(hidden)[1], dtype=hidden.dtype)
        hidden = self.norm(hidden, tf.expand_dims(valid, -1), training=training)
        return tf.nn.relu(hidden), lengths

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "filters": self.filters,
                "kernel_size": self.kernel_size, "stride": self.stride}


def masked(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns `values` `[B, F, C]` with 0 at and beyond `lengths` `[B]`."""
    valid = tf.expand_dims(tf.sequence_mask(lengths, tf.shape(values)[1]), -1)
    return tf.where(valid, values, tf.zeros([], values.dtype))
