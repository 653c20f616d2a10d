"""One training step under a distribution strategy: features, both towers, all losses, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from adml.audio.features import mask_spans
from adml.training.shares import DISTRACTOR_KEYS, MASK_KEYS, NEGATIVE_KEYS, SPAN_KEYS, shares

NETWORK = "network"


@dataclass(frozen=True)
class Group:
    """Variables that share an optimizer.

    Args:
        optimizer: a Keras optimizer without clipping of its own.
        variables: what it updates.
        clip_norm: bound of the gradients' global norm, after the sum over replicas; None: none.
    """

    optimizer: Any
    variables: list
    clip_norm: float | None = None


def make_groups(
    model: keras.Model,
    losses: keras.layers.Layer,
    *,
    learning_rate,
    weight_decay: float,
    clip_norm: float,
    constants_learning_rate,
    bias_learning_rate: float,
) -> dict[str, Group]:
    """Split the variables: network; learnable constants (no decay, no clipping); bias.

    Args:
        model: the ADML model, built.
        losses: the total loss, built.
        learning_rate: rate or schedule of the network.
        weight_decay: decoupled decay of the network.
        clip_norm: global norm bound of the network; 0 for none.
        constants_learning_rate: rate or schedule of alpha, beta, lambda and the scales.
        bias_learning_rate: rate of the SphereFace2 bias.
    """
    constants, biases = list(losses.no_decay_no_clip_variables), list(losses.bias_variables)
    apart = {id(variable) for variable in constants + biases}
    network = list(model.trainable_variables)
    network += [variable for variable in losses.trainable_variables if id(variable) not in apart]
    adamw = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay, jit_compile=False)
    groups = {NETWORK: Group(adamw, network, clip_norm or None)}
    if constants:
        adam = keras.optimizers.Adam(constants_learning_rate, jit_compile=False)
        groups["constants"] = Group(adam, constants)
    if biases:
        groups["bias"] = Group(keras.optimizers.Adam(bias_learning_rate, jit_compile=False), biases)
    for group in groups.values():
        group.optimizer.build(group.variables)
    return groups


class TrainingStep:
    """Forward, backward and update on one batch of K keywords x M utterances.

    The same code runs on one device and on several: with `loss_scope="global"` each replica's
    loss is its share of the loss over the whole batch, so the sum of the replicas' gradients is
    the gradient of one replica on the same batch.

    Args:
        strategy: a tf.distribute strategy; model, losses and groups were made in its scope.
        model: `adml.models.adml.ADML`.
        losses: `adml.losses.total.TotalLoss`.
        log_mel: `adml.audio.features.LogMel`.
        groups: from `make_groups`.
        loss_scope: "global" (pairs across replicas) or "replica" (pairs within one).
        compile: trace the step as a graph; False: run it eagerly.
    """

    def __init__(
        self,
        strategy,
        model,
        losses,
        log_mel,
        groups: Mapping[str, Group],
        *,
        loss_scope: str = "global",
        compile: bool = True,
    ):
        self.strategy = strategy
        self.model = model
        self.losses = losses
        self.log_mel = log_mel
        self.groups = dict(groups)
        self.loss_scope = loss_scope
        self._eager = not compile
        self._compiled: Callable | None = None

    def __call__(self, batch: Mapping[str, Any], margin_fraction: float = 1.0) -> dict[str, float]:
        """Train on one batch, unless a figure of it is not finite: then nothing is changed.

        Args:
            batch: arrays of `adml.data.batches`.
            margin_fraction: share of the keyword loss' margin in force.

        Returns:
            Each loss term, "total" and "gradient_norm" (of the network, before clipping) as floats.
            Where one is not finite, also the norms of the other groups, and every variable and
            slot is what it was.
        """
        if self._compiled is None:
            self._compiled = self.compile(self._distributed, batch)
        values = self._compiled(self.shares(batch), tf.constant(margin_fraction, tf.float32))
        found = {name: float(value) for name, value in values.items()}
        if all(math.isfinite(value) for value in found.values()):
            return {name: value for name, value in found.items() if name not in self._other_norms}
        return found

    @property
    def _other_norms(self) -> list[str]:
        return [_norm_of(name) for name in self.groups if name != NETWORK]

    def compile(self, function: Callable, batch: Mapping[str, Any], *more: tf.TensorSpec):
        """One graph for all lengths: traced once, on every worker at the same step.

        Without AutoGraph, which no layer or loss needs: it would double the time to trace.

        Args:
            function: of the replicas' shares of a batch, the margin's fraction, and `more`.
            batch: as it will be given to.
            more: what else it will be given.

        Returns:
            The function; itself where this step runs eagerly.
        """
        if self._eager:
            return function
        specs = {
            name: tf.TensorSpec(
                [None] * np.ndim(value) if name not in MASK_KEYS else [None, None, 2],
                tf.as_dtype(value.dtype),
            )
            for name, value in batch.items()
        }
        given = [[specs] * self._local_replicas, tf.TensorSpec([], tf.float32), *more]
        return tf.function(function, input_signature=given, autograph=False)

    @property
    def _local_replicas(self) -> int:
        """Replicas of this process."""
        return len(self.strategy.extended.worker_devices)

    def shares(self, batch: Mapping[str, Any]) -> list[dict]:
        """The shares of this process' replicas of a batch."""
        return shares(batch, self._local_replicas)

    def distribute(self, batch: Mapping[str, Any]):
        """Give each replica a contiguous share of the keywords with their utterances.

        With spans, a share of the recordings with the keywords that are spoken in them.

        Args:
            batch: of this process: with several, its share of the whole batch.
        """
        return self.per_replica(self.shares(batch))

    def per_replica(self, shares):
        """The replicas' shares as one value of the strategy."""
        if len(shares) == 1:
            return shares[0]
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group % len(shares)]
        )

    def _distributed(self, shares, margin_fraction):
        """Terms and gradients, then the update if all are finite, on every replica or on none.

        All that is looked at is summed over replicas first, so that they agree. The moving
        averages move in the forward pass and are put back.
        """
        batch = self.per_replica(shares)
        averages = [(part, part.read_value()) for part in self._moving_averages()]
        values, gradients = self.strategy.run(self._replica, args=(batch, margin_fraction))
        values = {name: self.summed(value) for name, value in values.items()}
        finite = tf.reduce_all([tf.math.is_finite(value) for value in values.values()])
        tf.cond(finite, lambda: self._update(gradients), lambda: _put_back(averages))
        return values

    def summed(self, value):
        """A value of every replica, added up."""
        if self.strategy.num_replicas_in_sync == 1:
            return value
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)

    def _moving_averages(self) -> list:
        """What a forward pass changes, as each replica of this process holds it."""
        moving = self.model.non_trainable_variables
        return [part for variable in moving for part in getattr(variable, "values", [variable])]

    def outputs(self, batch, *, training: bool = True) -> dict:
        """What the model makes of this replica's share of a batch."""
        features, frame_lengths = self.log_mel(batch["waveform"], batch["waveform_lengths"])
        features = mask_spans(features, batch["time_masks"], batch["frequency_masks"])
        inputs = {
            "features": features,
            "frame_lengths": frame_lengths,
            "phonemes": batch["phonemes"],
            "phoneme_lengths": batch["phoneme_lengths"],
        }
        optional = NEGATIVE_KEYS + SPAN_KEYS + DISTRACTOR_KEYS
        inputs |= {name: batch[name] for name in optional if name in batch}
        return self.model(inputs, training=training)

    def terms(self, batch, margin_fraction, outputs=None):
        """Loss terms of this replica's share of a batch, in training mode."""
        outputs = self.outputs(batch) if outputs is None else outputs
        return self.losses(
            outputs, batch, margin_fraction=margin_fraction, scope=self.loss_scope, training=True
        )

    def _replica(self, batch, margin_fraction):
        """Values of this replica, and its gradients, summed over replicas and clipped."""
        with tf.GradientTape() as tape:
            terms = self.terms(batch, margin_fraction)
        variables = [group.variables for group in self.groups.values()]
        gradients = tape.gradient(terms["total"], variables)
        values, clipped = dict(terms), []
        for (name, group), group_gradients in zip(self.groups.items(), gradients, strict=True):
            ours, norm = self._joined(group, group_gradients)
            clipped.append(ours)
            values[_norm_of(name)] = norm / self.strategy.num_replicas_in_sync
        return values, clipped

    def _joined(self, group: Group, gradients) -> tuple[list, tf.Tensor]:
        """The gradients of a group, those that there are, and their norm before clipping."""
        found = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
        if not found:
            return list(gradients), tf.zeros([])
        if self.strategy.num_replicas_in_sync > 1:
            context = tf.distribute.get_replica_context()
            found = [tf.stop_gradient(gradient) for gradient in found]
            found = context.all_reduce(tf.distribute.ReduceOp.SUM, found)
        norm = tf.linalg.global_norm(found)
        if group.clip_norm is not None:
            found, _ = tf.clip_by_global_norm(found, group.clip_norm, use_norm=norm)
        given = iter(found)
        return [None if gradient is None else next(given) for gradient in gradients], norm

    def _update(self, gradients) -> tf.Tensor:
        self.strategy.run(self._apply, args=(gradients,))
        return tf.constant(True)

    def _apply(self, gradients) -> None:
        for group, ours in zip(self.groups.values(), gradients, strict=True):
            pairs = zip(ours, group.variables, strict=True)
            updates = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
            if updates:
                group.optimizer.apply_gradients(updates, skip_gradients_aggregation=True)


def _norm_of(group: str) -> str:
    return "gradient_norm" if group == NETWORK else f"gradient_norm_{group}"


def _put_back(before) -> tf.Tensor:
    for part, value in before:
        part.assign(value)
    return tf.constant(False)
