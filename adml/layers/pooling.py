"""Pooling over time: channel- and context-dependent statistics, and the masked mean."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.spans import Spans, packed_rows

Layout = PaddedFrames | PackedFrames
SMALLEST_VARIANCE = 1e-7


def deviation(variance: tf.Tensor) -> tf.Tensor:
    """Returns the square root, clamped below so that one frame gives a finite gradient."""
    return tf.sqrt(tf.maximum(variance, tf.cast(SMALLEST_VARIANCE, variance.dtype)))


def plain_statistics(inputs: tf.Tensor, layout: Layout) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and variance of each utterance's frames, one row per utterance."""
    counts = tf.cast(tf.maximum(layout.counts, 1.0), inputs.dtype)
    mean = layout.sum(inputs) / counts
    centred = layout.masked(inputs - layout.spread(mean))
    return mean, layout.sum(tf.math.square(centred)) / counts


def attentive_statistics(inputs: tf.Tensor, logits: tf.Tensor,
                         layout: Layout) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and variance under a softmax over each utterance's frames.

        w = softmax(e),  m = sum w x,  v = sum w (x - m)^2

    The gradient is written out, which spares half of the memory passes:
        dx = w (dm + 2 dv (x - m)),   de = w ((x - m) dm + ((x - m)^2 - v) dv)

    Args:
        inputs: `[..., F, C]` padded or `[N, C]` packed.
        logits: like `inputs`.
        layout: Where the utterances lie.

    Returns:
        Two tensors with one row per utterance.
    """
    @tf.custom_gradient
    def statistics(x: tf.Tensor, e: tf.Tensor):
        powers = layout.masked(tf.exp(e - layout.spread(layout.largest(e))))
        total = tf.maximum(layout.sum(powers), tf.cast(1e-30, x.dtype))
        weights = powers * layout.spread(1.0 / total)
        mean = layout.sum(weights * x)
        centred = x - layout.spread(mean)
        spreading = weights * centred
        variance = layout.sum(spreading * centred)

        def gradient(into_mean: tf.Tensor, into_variance: tf.Tensor):
            pull = layout.spread(into_mean)
            slope = layout.spread(into_variance) * centred
            into_logits = spreading * (pull + slope) - weights * layout.spread(
                variance * into_variance)
            return weights * (pull + 2.0 * slope), into_logits

        return (mean, variance), gradient

    return statistics(inputs, logits)


def masked_mean(inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the first `lengths` steps; 0 where a length is 0.

    Args:
        inputs: `[B, L, D]`.
        lengths: int `[B]`.

    Returns:
        `[B, D]`.
    """
    valid = tf.sequence_mask(lengths, tf.shape(inputs)[1], dtype=inputs.dtype)
    total = tf.linalg.matvec(inputs, valid, transpose_a=True)
    return total / tf.expand_dims(tf.cast(tf.maximum(lengths, 1), inputs.dtype), -1)


class ContextStatisticsPooling(keras.layers.Layer):
    """Channel- and context-dependent statistics pooling (CCSP) with padded frames masked.

        e = W2 tanh(W1 [x; mean; std] + b1) + b2,  w = softmax over valid frames of e
        output = [sum w x; sqrt(sum w (x - sum w x)^2)]

    Padded frames of rank 3 are computed as written, with a tiled context; otherwise
    W1 [x; m; s] is split into Wx x + Wg [m; s], which needs no tiles. The values are equal.

    Args:
        bottleneck: Width of the attention's hidden layer.
    """

    def __init__(self, bottleneck: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.bottleneck = bottleneck

    def build(self, input_shape) -> None:
        """Makes the two convolutions of one frame, with the weights of Keras' Conv1D."""
        self.channels = int(tf.TensorShape(input_shape)[-1])
        self.hidden = keras.layers.Conv1D(self.bottleneck, 1, activation="tanh",
                                          dtype=self.dtype_policy, name="hidden")
        self.logits = keras.layers.Conv1D(self.channels, 1, dtype=self.dtype_policy,
                                          name="logits")
        self.hidden.build((None, None, 3 * self.channels))
        self.logits.build((None, None, self.bottleneck))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, layout: Layout, spans: Spans | None = None) -> tf.Tensor:
        """Pools.

        Args:
            inputs: `[B, F, C]`, `[B, 1, F, C]`, 0 on padded frames, or `[N, C]` packed.
            layout: Where the utterances lie.
            spans: S stretches of packed utterances, which stand for them; Wx x is made once for
                each frame, however many spans hold it.

        Returns:
            `[B, 2 C]`: weighted means, then weighted standard deviations.
        """
        own = None if inputs.shape.rank == 3 else _product(inputs, self._kernel(inputs)[0])
        if spans is not None:
            rows, layout = packed_rows(layout, spans)
            inputs, own = tf.gather(inputs, rows), tf.gather(own, rows)
        mean, variance = plain_statistics(inputs, layout)
        context = tf.concat([mean, deviation(variance)], axis=-1)
        logits = self._attention_logits(inputs, own, context, layout)
        mean, variance = attentive_statistics(inputs, logits, layout)
        pooled = tf.concat([mean, deviation(variance)], axis=-1)
        return tf.reshape(pooled, [-1, 2 * self.channels])

    def _kernel(self, inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns Wx and Wg in the type of the inputs."""
        kernel = tf.cast(self.hidden.kernel[0], inputs.dtype)
        return kernel[:self.channels], kernel[self.channels:]

    def _attention_logits(self, inputs, own, context, layout) -> tf.Tensor:
        """Returns the attention logits, like `inputs`; `own` is Wx x."""
        if own is None:
            tiled = tf.broadcast_to(context, tf.concat(
                [tf.shape(inputs)[:-1], [2 * self.channels]], axis=0))
            return self.logits(self.hidden(tf.concat([inputs, tiled], axis=-1)))
        common = _product(context, self._kernel(inputs)[1], self.hidden.bias)
        hidden = tf.tanh(own + layout.spread(common))
        return _product(hidden, tf.cast(self.logits.kernel[0], inputs.dtype), self.logits.bias)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "bottleneck": self.bottleneck}


def _product(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """Returns `inputs @ kernel + bias` over the last axis.

    A product of matrices on purpose: the gradient of a broadcast `tf.einsum` ("...c,cd") ends
    the process with TensorFlow 2.17 and oneDNN.
    """
    flat = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel)
    if bias is not None:
        flat = tf.nn.bias_add(flat, tf.cast(bias, inputs.dtype))
    if inputs.shape.rank == 2:
        return flat
    shape = tf.concat([tf.shape(inputs)[:-1], [kernel.shape[1]]], axis=0)
    outputs = tf.reshape(flat, shape)
    outputs.set_shape(inputs.shape[:-1].concatenate(kernel.shape[1]))
    return outputs
