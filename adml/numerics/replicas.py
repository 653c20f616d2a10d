"""Values that live on several replicas, seen as one batch.

Every function is the identity where there is one replica, and outside a replica context.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["gather", "num_replicas", "sum_over_replicas"]


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
    return tf.distribute.get_replica_context().all_gather(tensor, axis=0)


def sum_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """Sum of the replicas' tensors of one shape. For counts: no gradient is meant to flow.

    Args:
        tensor: any numeric tensor, of the same shape on all replicas.

    Returns:
        The sum, the same on all replicas.
    """
    tensor = tf.stop_gradient(tf.convert_to_tensor(tensor))
    if num_replicas() == 1:
        return tensor
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensor)
