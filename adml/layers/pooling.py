"""Pooling over time: channel- and context-dependent statistics, and the masked mean."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.fusing import affine_product

SMALLEST_VARIANCE = 1e-7


def weighted_statistics(inputs: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and standard deviation over frames under weights that sum to 1.

    The variance is clamped at 1e-7 before the square root, so that a clip of one frame has a
    finite gradient.

    Args:
        inputs: `[..., F, C]`.
        weights: `[..., F, C]` or `[..., F, 1]`.

    Returns:
        Two tensors `[..., 1, C]`.
    """
    mean = tf.reduce_sum(inputs * weights, axis=-2, keepdims=True)
    variance = tf.reduce_sum(tf.math.square(inputs - mean) * weights, axis=-2, keepdims=True)
    return mean, tf.sqrt(tf.maximum(variance, tf.cast(SMALLEST_VARIANCE, inputs.dtype)))


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

    Args:
        bottleneck: Width of the attention's hidden layer.
        fast: Whether to split W1 [x; m; s] into Wx x + Wg [m; s], which spares the tiled
            context; the values are equal.
    """

    def __init__(self, bottleneck: int = 128, *, fast: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.bottleneck, self.fast = bottleneck, fast

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

    def call(self, inputs: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Pools.

        Args:
            inputs: `[B, F, C]` or `[B, 1, F, C]`, 0 on padded frames.
            valid: 1 on valid frames, 0 on padding, `[..., F, 1]`.

        Returns:
            `[B, 2 C]`: weighted means, then weighted standard deviations.
        """
        uniform = valid / tf.maximum(tf.reduce_sum(valid, axis=-2, keepdims=True), 1.0)
        mean, deviation = weighted_statistics(inputs, uniform)
        logits = self._attention_logits(inputs, mean, deviation)
        largest = tf.reduce_max(logits, axis=-2, keepdims=True)
        powers = tf.exp(logits - tf.stop_gradient(largest)) * valid
        total = tf.reduce_sum(powers, axis=-2, keepdims=True)
        weights = powers / tf.maximum(total, tf.cast(1e-30, total.dtype))
        pooled = tf.concat(weighted_statistics(inputs, weights), axis=-1)
        return tf.reshape(pooled, [-1, 2 * self.channels])

    def _attention_logits(self, inputs, mean, deviation) -> tf.Tensor:
        """Returns the attention logits `[..., F, C]`."""
        context = tf.concat([mean, deviation], axis=-1)
        if not self.fast:
            tiled = tf.broadcast_to(context, tf.concat(
                [tf.shape(inputs)[:-1], [2 * self.channels]], axis=0))
            return self.logits(self.hidden(tf.concat([inputs, tiled], axis=-1)))
        kernel = tf.cast(self.hidden.kernel[0], inputs.dtype)
        common = affine_product(context, kernel[self.channels:], self.hidden.bias)
        own = affine_product(inputs, kernel[:self.channels])
        return affine_product(tf.tanh(own + common), self.logits.kernel[0], self.logits.bias)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "bottleneck": self.bottleneck, "fast": self.fast}
