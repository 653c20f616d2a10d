"""Values that live on several replicas, seen as one batch.

Every function is the identity where there is one replica, and outside a replica context.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["differentiable_sum", "gather", "num_replicas", "sum_over_replicas"]


def num_replicas() -> int:
    """Number of replicas that run in step; 1 outside a replica context."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather(tensor: tf.Tensor) -> tf.Tensor:
    """Join the replicas' tensors along axis 0, in replica order.

    The gradient is already summed over replicas: a loss of the gathered tensor that every replica
    computes must be divided by `num_replicas()`, so that the *sum* of the replicas' gradients
    is the gradient of the loss.

    Args:
        tensor: [n, ...] where n may differ between replicas.

    Returns:
        [sum of n, ...].
    """
    tensor = tf.convert_to_tensor(tensor)
    if num_replicas() == 1:
        return tensor
    context = tf.distribute.get_replica_context()
    sizes = context.all_gather(tf.shape(tensor)[:1], axis=0)
    own = context.replica_id_in_sync_group
    first = tf.reduce_sum(sizes[:own])

    @tf.custom_gradient
    def joined(values: tf.Tensor):
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _exchange_sum(upstream)[first : first + sizes[own]]

        # Behind a stop, the other replicas' graphs are out of sight; see `differentiable_sum`.
        return context.all_gather(tf.stop_gradient(values), axis=0), gradient

    return joined(tensor)


def differentiable_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Sum of the replicas' tensors of one shape; its gradient is the sum of theirs.

    Does what the context's `all_reduce` does, but the runtime looks for the variables behind a
    custom gradient by a walk through the graph, which leads through the exchange into all that
    the other replicas have computed. The stop ends it here: a deep network of many exchanges is
    traced in a fraction of the time.

    Args:
        tensor: floating, of the same shape on all replicas.

    Returns:
        The sum, the same on all replicas.
    """

    @tf.custom_gradient
    def summed(values: tf.Tensor):
        return _exchange_sum(values), _exchange_sum

    tensor = tf.convert_to_tensor(tensor)
    return tensor if num_replicas() == 1 else summed(tensor)


def sum_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """Sum of the replicas' tensors of one shape. For counts: no gradient is meant to flow.

    Args:
        tensor: any numeric tensor, of the same shape on all replicas.

    Returns:
        The sum, the same on all replicas.
    """
    tensor = tf.stop_gradient(tf.convert_to_tensor(tensor))
    return tensor if num_replicas() == 1 else _exchange_sum(tensor)


def _exchange_sum(tensor: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(tensor))
