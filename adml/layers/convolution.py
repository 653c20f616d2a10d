"""Convolution over time: one set of Keras Conv1D weights, three ways of computing it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.layout import PackedFrames, PaddedFrames, packed_convolution


class TimeConvolution(keras.layers.Conv1D):
    """Zero-padded 1-D convolution over frames; holds the weights of a Keras Conv1D.

    The rank of the input says how: 3 `[B, F, C]` takes Keras' own path, where a dilated
    convolution is computed through SpaceToBatch; 4 `[B, 1, F, C]` takes the native dilated 2-D
    convolution; 2 `[N, C]`, packed frames, takes one matrix product. The values are equal.

    Args:
        filters: Number of output channels.
        kernel_size: Frames seen by one output frame.
        dilation_rate: Frames between two taps.
        relu: Whether a ReLU follows.
    """

    def __init__(self, filters: int, kernel_size: int = 1, *, dilation_rate: int = 1,
                 relu: bool = False, **kwargs):
        super().__init__(filters, kernel_size, dilation_rate=dilation_rate, padding="same",
                         activation="relu" if relu else None, **kwargs)
        self.input_spec = None
        self.relu = relu

    def build(self, input_shape) -> None:
        """Makes kernel `[k, C, filters]` and bias `[filters]`."""
        super().build((None, None, tf.TensorShape(input_shape)[-1]))
        self.input_spec = None

    def call(self, inputs: tf.Tensor, layout: PackedFrames | PaddedFrames | None = None
             ) -> tf.Tensor:
        """Returns the convolution, of the input's rank with `filters` channels."""
        if inputs.shape.rank == 3:
            return super().call(inputs)
        if inputs.shape.rank == 4:
            outputs = tf.nn.conv2d(inputs, self.kernel[tf.newaxis], strides=1, padding="SAME",
                                   dilations=[1, self.dilation_rate[0]])
        elif self.kernel_size[0] == 1:
            outputs = tf.matmul(inputs, self.kernel[0])
        else:
            taps = layout.taps(self.kernel_size[0], self.dilation_rate[0])
            outputs = packed_convolution(inputs, tf.convert_to_tensor(self.kernel), taps)
        outputs = tf.nn.bias_add(outputs, self.bias)
        return tf.nn.relu(outputs) if self.relu else outputs

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        config = super().get_config()
        kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        return {**kept, "filters": self.filters, "kernel_size": self.kernel_size[0],
                "dilation_rate": self.dilation_rate[0], "relu": self.relu}
