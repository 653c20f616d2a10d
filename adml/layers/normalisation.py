"""Batch normalisation whose statistics see valid frames only."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


def sum_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns each tensor summed over the replicas in sync; unchanged with one replica.

    Differentiable: the gradient is summed over replicas too. Outside a replica context (building
    in a strategy's scope, say) there is nothing to sum.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


class MaskedBatchNorm(keras.layers.Layer):
    """Batch normalisation over the valid frames of a batch; padded frames come out as 0.

        y = m (gamma (x - mean) / sqrt(var + epsilon) + beta),   mean = sum(m x) / sum(m)

    and likewise the biased variance. In training the sums run over the replicas too, so that
    two replicas normalise as one does. Statistics are float32 whatever the policy.

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
        self.gamma = self.add_weight(name="gamma", shape=shape, dtype="float32",
                                     initializer="ones", experimental_autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, dtype="float32",
                                    initializer="zeros", experimental_autocast=False)
        moving = {"shape": shape, "dtype": "float32", "trainable": False,
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
        if training:
            mean, variance = self._batch_statistics(inputs, valid)
            self._remember(mean, variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        shift = self.beta - mean * scale
        outputs = inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)
        return outputs if valid is None else outputs * tf.cast(valid, inputs.dtype)

    def _batch_statistics(self, inputs, valid) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and biased variance `[C]` over valid frames of all replicas."""
        values = tf.cast(inputs, tf.float32)
        if valid is None:
            valid = tf.ones_like(values[..., :1])
        valid = tf.cast(valid, tf.float32)
        axes = list(range(inputs.shape.rank - 1))
        count, total = sum_over_replicas(
            [tf.reduce_sum(valid), tf.reduce_sum(values * valid, axes)])
        count = tf.maximum(count, 1.0)
        mean = total / count
        (squares,) = sum_over_replicas(
            [tf.reduce_sum(tf.math.square((values - mean) * valid), axes)])
        return mean, squares / count

    def _remember(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the moving averages toward the batch's statistics."""
        rate = 1.0 - self.momentum
        self.moving_mean.assign_add(rate * (mean - self.moving_mean))
        self.moving_variance.assign_add(rate * (variance - self.moving_variance))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
