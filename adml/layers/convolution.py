"""Convolution over time: one set of Keras Conv1D weights, two ways of computing it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.fusing import affine_product


class TimeConvolution(keras.layers.Conv1D):
    """Zero-padded 1-D convolution over frames; holds the weights of a Keras Conv1D.

    A rank-3 input takes Keras' own path, where a dilated convolution is computed through
    SpaceToBatch. A rank-4 input `[B, 1, F, C]` takes the native dilated 2-D convolution (or one
    matrix product for a kernel of one frame), which is faster and gives the same values.

    Args:
        filters: Number of output channels.
        kernel_size: Frames seen by one output frame.
        dilation_rate: Frames between two taps.
        relu: Whether a ReLU follows (fused with the bias where the runtime can).
    """

    def __init__(self, filters: int, kernel_size: int = 1, *, dilation_rate: int = 1,
                 relu: bool = False, **kwargs):
        kwargs.pop("padding", None)
        kwargs.pop("activation", None)
        super().__init__(filters, kernel_size, dilation_rate=dilation_rate, padding="same",
                         activation="relu" if relu else None, **kwargs)
        self.relu = relu

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the convolution, `[B, F, filters]` or `[B, 1, F, filters]` as the input's rank."""
        if inputs.shape.rank == 3:
            return super().call(inputs)
        if self.kernel_size[0] == 1:
            outputs = affine_product(inputs, self.kernel[0], self.bias)
        else:
            outputs = tf.nn.conv2d(inputs, self.kernel[tf.newaxis], strides=1, padding="SAME",
                                   dilations=[1, self.dilation_rate[0]])
            outputs = tf.nn.bias_add(outputs, self.bias)
        return tf.nn.relu(outputs) if self.relu else outputs

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        config = super().get_config()
        kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        return {**kept, "filters": self.filters, "kernel_size": self.kernel_size[0],
                "dilation_rate": self.dilation_rate[0], "relu": self.relu}
