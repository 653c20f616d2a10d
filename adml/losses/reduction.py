"""From unreduced losses to scalars whose sum over replicas is the loss of the batch."""

from __future__ import annotations

import tensorflow as tf

from adml.losses.proxy import counted_anchors
from adml.numerics import replicas

__all__ = ["Reduction"]


class Reduction:
    """How values of several replicas become one loss.

    In both scopes the replicas' scalars, and so their gradients, are meant to be *summed*.

    Args:
        scope: "global": one loss on the batch of all replicas; each gives its share of it.
            "replica": each replica's own loss, divided by the number of replicas.

    Raises:
        ValueError: the scope is unknown.
    """

    def __init__(self, scope: str = "global") -> None:
        if scope not in ("global", "replica"):
            raise ValueError(
                "Reduction: unknown loss scope. Expected: 'global' or 'replica'. "
                f"Received: {scope!r}."
            )
        self.across = scope == "global"
        self.num_replicas = replicas.num_replicas()

    def gather(self, tensor: tf.Tensor) -> tf.Tensor:
        """Rows of all replicas in the global scope, else the replica's own."""
        return replicas.gather(tensor) if self.across else tensor

    def share(self, loss: tf.Tensor) -> tf.Tensor:
        """The replica's share of a loss of gathered values, which all replicas compute."""
        return loss / self.num_replicas

    def gathered_mean(self, losses: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Share of the mean of gathered `losses` [n] over `counted` [n]; 0 where none counts."""
        total, count = _sum_and_count(losses, counted)
        return self.share(total / tf.maximum(count, 1))

    def mean(self, losses: tf.Tensor, counted: tf.Tensor | None = None) -> tf.Tensor:
        """Share of the mean of the replica's own `losses` [n]; 0 where none counts.

        No gradient crosses replicas here, so only the count is summed over them.
        """
        counted = tf.ones_like(losses, tf.bool) if counted is None else counted
        total, count = _sum_and_count(losses, counted)
        if self.across:
            return total / tf.maximum(replicas.sum_over_replicas(count), 1)
        return self.share(total / tf.maximum(count, 1))

    def proxy_mean(self, positive, negative, text_labels, audio_labels) -> tf.Tensor:
        """Share of the mean of the two halves of `proxy.asyp_terms`, each over its anchors."""
        pulled = self.gathered_mean(positive, counted_anchors(text_labels))
        return pulled + self.gathered_mean(negative, counted_anchors(audio_labels))


def _sum_and_count(losses: tf.Tensor, counted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum over the counted values, and their number in the same type."""
    kept = tf.where(counted, losses, tf.zeros_like(losses))
    return tf.reduce_sum(kept), tf.reduce_sum(tf.cast(counted, losses.dtype))
