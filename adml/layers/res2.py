"""The squeeze-excitation Res2 block of ECAPA-TDNN."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.convolution import TimeConvolution
from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.normalisation import MaskedBatchNorm

Layout = PaddedFrames | PackedFrames


class ConvolutionUnit(keras.layers.Layer):
    """Convolution, ReLU, masked batch normalisation, in this order.

    Args:
        filters: Number of output channels.
        kernel_size: Frames seen by one output frame.
        dilation_rate: Frames between two taps.
    """

    def __init__(self, filters: int, kernel_size: int = 1, dilation_rate: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.dilation_rate = filters, kernel_size, dilation_rate
        self.convolution = TimeConvolution(filters, kernel_size, dilation_rate=dilation_rate,
                                           relu=True, dtype=self.dtype_policy, name="conv")
        self.normalisation = MaskedBatchNorm(dtype=self.dtype_policy, name="norm")

    def call(self, inputs: tf.Tensor, layout: Layout, training: bool = False) -> tf.Tensor:
        """Returns the unit's output, 0 on padded frames."""
        hidden = self.convolution(inputs, layout)
        return self.normalisation(hidden, layout.valid, training=training)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "filters": self.filters,
                "kernel_size": self.kernel_size, "dilation_rate": self.dilation_rate}


class SqueezeExcitation(keras.layers.Layer):
    """Channel gates from the mean over valid frames: x sigmoid(W2 relu(W1 mean(x))).

    Args:
        bottleneck: Width of the hidden layer.
    """

    def __init__(self, bottleneck: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.bottleneck = bottleneck

    def build(self, input_shape) -> None:
        """Makes the two dense layers."""
        channels = tf.TensorShape(input_shape)[-1]
        self.squeeze = keras.layers.Dense(self.bottleneck, activation="relu",
                                          dtype=self.dtype_policy, name="squeeze")
        self.excite = keras.layers.Dense(channels, activation="sigmoid",
                                         dtype=self.dtype_policy, name="excite")
        self.squeeze.build((None, channels))
        self.excite.build((None, self.bottleneck))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, layout: Layout) -> tf.Tensor:
        """Gates the channels; `inputs` must be 0 on padded frames."""
        counts = tf.cast(tf.maximum(layout.counts, 1.0), inputs.dtype)
        mean = layout.sum(inputs) / counts
        return inputs * layout.spread(self.excite(self.squeeze(mean)))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "bottleneck": self.bottleneck}


class SERes2Block(keras.layers.Layer):
    """1x1 unit, Res2 units over channel groups, 1x1 unit, squeeze-excitation, residual.

    The channels are cut into `scale` groups; group 0 passes, group i is the unit of
    (group i + output i - 1).

    Args:
        channels: Number of channels in and out.
        kernel_size: Frames seen by a Res2 convolution.
        dilation_rate: Frames between two taps of a Res2 convolution.
        scale: Number of channel groups; must divide `channels`.
        bottleneck: Width of the squeeze-excitation.
    """

    def __init__(self, channels: int = 256, *, kernel_size: int = 3, dilation_rate: int = 2,
                 scale: int = 8, bottleneck: int = 128, **kwargs):
        super().__init__(**kwargs)
        if channels % scale:
            raise ValueError(f"scale must divide channels. Expected: a divisor of {channels}. "
                             f"Received: scale={scale}.")
        self.channels, self.kernel_size, self.dilation_rate = channels, kernel_size, dilation_rate
        self.scale, self.bottleneck = scale, bottleneck
        policy = self.dtype_policy
        self.first = ConvolutionUnit(channels, dtype=policy, name="first")
        self.groups = [ConvolutionUnit(channels // scale, kernel_size, dilation_rate,
                                       dtype=policy, name=f"group_{index}")
                       for index in range(1, scale)]
        self.last = ConvolutionUnit(channels, dtype=policy, name="last")
        self.gates = SqueezeExcitation(bottleneck, dtype=policy, name="gates")

    def call(self, inputs: tf.Tensor, layout: Layout, training: bool = False) -> tf.Tensor:
        """Returns the block's output `[..., F, channels]`, 0 on padded frames."""
        parts = tf.split(self.first(inputs, layout, training=training), self.scale, axis=-1)
        outputs = [parts[0]]
        for index, (part, unit) in enumerate(zip(parts[1:], self.groups, strict=True)):
            entry = part if index == 0 else part + outputs[-1]
            outputs.append(unit(entry, layout, training=training))
        hidden = self.last(tf.concat(outputs, axis=-1), layout, training=training)
        return inputs + self.gates(hidden, layout)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "channels": self.channels,
                "kernel_size": self.kernel_size, "dilation_rate": self.dilation_rate,
                "scale": self.scale, "bottleneck": self.bottleneck}
