"""Batch normalisation whose statistics see valid frames only."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.numerics.replicas import differentiable_sum, num_replicas
from adml.numerics.similarity import at_least_float32


class MaskedBatchNorm(keras.layers.Layer):
    """Batch normalisation over the valid frames of a batch; padded frames come out as 0.

        y = m (gamma (x - mean) / sqrt(var + epsilon) + beta),   mean = sum(m x) / sum(m)

    and likewise the biased variance. In training the sums run over the replicas too, so that
    two replicas normalise as one does. Statistics are float32, or float64 under that policy.

    Args:
        momentum: Weight of the past in the moving averages (chosen: 0.95, for short runs).
        epsilon: Added to the variance (1e-5, as in the public ECAPA-TDNN implementations).
    """

    def __init__(self, momentum: float = 0.95, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape) -> None:
        """Makes gamma, beta and the moving averages, one per channel."""
        shape = (tf.TensorShape(input_shape)[-1],)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        self.gamma = self.add_weight(name="gamma", shape=shape, dtype=dtype,
                                     initializer="ones", experimental_autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, dtype=dtype,
                                    initializer="zeros", experimental_autocast=False)
        moving = {"shape": shape, "dtype": dtype, "trainable": False,
                  "experimental_autocast": False,
                  "synchronization": tf.VariableSynchronization.ON_READ,
                  "aggregation": tf.VariableAggregation.MEAN}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones",
                                               **moving)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, valid: tf.Tensor | None = None,
             training: bool = False) -> tf.Tensor:
        """Normalises.

        Args:
            inputs: `[..., C]`.
            valid: 1 on valid frames, 0 on padding; shape of `inputs` with C = 1. None: all valid.
            training: Whether to use (and remember) the batch's statistics.

        Returns:
            A tensor like `inputs`, 0 on padding.
        """
        if training and self._fits_fused_kernel(inputs, valid):
            return self._fused(inputs)
        if training:
            mean, variance = self._batch_statistics(inputs, valid)
            self._remember(mean, variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        shift = self.beta - mean * scale
        outputs = inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)
        return outputs if valid is None else outputs * tf.cast(valid, inputs.dtype)

    @staticmethod
    def _fits_fused_kernel(inputs: tf.Tensor, valid: tf.Tensor | None) -> bool:
        """Whether one kernel can do it all: nothing padded, one replica, two axes, no float64."""
        plain = valid is None and inputs.shape.rank == 2 and inputs.dtype != tf.float64
        return plain and num_replicas() == 1

    def _fused(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises `[N, C]` in training with the runtime's own kernel."""
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(inputs, [1, 1, -1, inputs.shape[-1]]), scale=self.gamma,
            offset=self.beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True)
        count = tf.cast(tf.shape(inputs)[0], tf.float32)
        biased = (count - 1.0) / tf.maximum(count, 1.0)
        self._remember(mean, tf.where(count > 1.0, variance * biased, tf.zeros_like(variance)))
        return tf.reshape(outputs, [-1, inputs.shape[-1]])

    def _batch_statistics(self, inputs, valid) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and biased variance `[C]` over valid frames of all replicas."""
        values = at_least_float32(inputs)
        if valid is None:
            valid = tf.ones_like(values[..., :1])
        valid = tf.cast(valid, values.dtype)
        axes = list(range(inputs.shape.rank - 1))
        count = tf.reduce_sum(valid)
        total = tf.maximum(count, 1.0)
        mean = tf.reduce_sum(values * valid, axes) / total
        squares = tf.reduce_sum(tf.square((values - mean) * valid), axes)
        if num_replicas() == 1:
            return mean, squares / total
        return _joined_statistics(count, mean, squares)

    def _remember(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the moving averages toward the batch's statistics."""
        rate = 1.0 - self.momentum
        self.moving_mean.assign_add(rate * (mean - self.moving_mean))
        self.moving_variance.assign_add(rate * (variance - self.moving_variance))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


def _joined_statistics(count, mean, squares) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and variance of all replicas' rows from each replica's own statistics.

    The squares about the common mean are squares + count (mean - common)^2 of each replica, in
    which nothing cancels. One exchange, so that those of a network are one chain: independent
    ones may meet in another order on another replica and wait for each other for ever.
    """
    context = tf.distribute.get_replica_context()
    own = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync,
                     dtype=mean.dtype)
    row = tf.concat([[count], mean, squares], axis=0)
    rows = differentiable_sum(tf.tensordot(own, row, axes=0))
    counts, means, squares = tf.split(rows, [1, mean.shape[0], mean.shape[0]], axis=1)
    total = tf.maximum(tf.reduce_sum(counts), 1.0)
    common = tf.reduce_sum(counts * means, axis=0) / total
    squares = tf.reduce_sum(squares + counts * tf.square(means - common), axis=0)
    return common, squares / total
