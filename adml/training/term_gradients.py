"""What each loss term asks of the two encoders: the norm and direction of its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from adml.training.step import TrainingStep

ENCODERS = ("acoustic", "text")


@dataclass(frozen=True)
class TermGradient:
    """One loss term's pull on one encoder.

    Args:
        term: its name, as in metrics.csv.
        encoder: "acoustic" or "text".
        value: of the term, before its weight.
        weight: its factor in the total.
        norm: L2 norm of the weighted term's gradient in the encoder's variables.
        cosine: between that gradient and the total's; below 0 the term works against the
            others together. On one batch norm * cosine, added up over the terms, is the norm of
            the total's gradient. None where the term does not reach the encoder.
    """

    term: str
    encoder: str
    value: float
    weight: float
    norm: float
    cosine: float | None


class TermGradients:
    """Measures the gradient of each weighted term by itself.

    The adversary's terms are as the encoders feel them, behind the gradient reversal. One graph is
    run once for each term, so that measuring takes about the memory of training. Where one term is
    not finite the gradients of others may not be either; `adml postmortem` tells which one it is.

    Args:
        step: model and losses; its model has the encoders as attributes.
    """

    def __init__(self, step: TrainingStep):
        self._step = step
        self._weights = {name: one for name, one in step.losses.term_weights.items() if one}
        self._encoders = {
            name: getattr(step.model, name).trainable_variables
            for name in ENCODERS
            if hasattr(step.model, name)
        }
        self._graph: Callable | None = None

    def measure(self, batch: Mapping[str, Any], margin_fraction: float) -> list[TermGradient]:
        """Measure on one batch, summed over replicas.

        It changes nothing: the moving averages, which every pass in training mode moves, are put
        back, so training goes on as if it had not been measured.

        Args:
            batch: arrays of `adml.data.batches`.
            margin_fraction: share of the keyword loss' margin in force.

        Returns:
            A row for each term of a weight other than 0 and each encoder of the model.
        """
        if self._graph is None:
            self._graph = self._step.compile(self._one, batch, tf.TensorSpec([], tf.int32))
        given = (self._step.shares(batch), tf.constant(margin_fraction, tf.float32))
        with kept(self._step.model.non_trainable_variables):
            values, first = self._graph(*given, tf.constant(0))
            names = self._names(values)
            others = [self._graph(*given, tf.constant(place))[1] for place in range(1, len(names))]
        factors = np.array([self._weights[name] for name in names])
        figures = {}
        for encoder, variables in self._encoders.items():
            products = np.zeros([len(names), len(names)])
            for position in range(len(variables)):
                found = [one[encoder][position].numpy() for one in (first, *others)]
                flat = np.stack([np.ravel(gradient).astype(np.float64) for gradient in found])
                products += flat @ flat.T
            figures[encoder] = _norms_and_cosines(products * np.outer(factors, factors))
        return [
            TermGradient(
                name, encoder, float(values[name]), self._weights[name], *figures[encoder][place]
            )
            for place, name in enumerate(names)
            for encoder in self._encoders
        ]

    def _names(self, terms: Mapping[str, Any]) -> list[str]:
        """Of the weighted terms that there are."""
        return [name for name in self._weights if name in terms]

    def _one(self, parts, fraction, place):
        """Term -> value, and encoder -> gradient of the term at `place` in each variable."""
        share = self._step.per_replica(parts)
        told = self._step.strategy.run(self._replica, args=(share, fraction, place))
        return tf.nest.map_structure(self._step.summed, told)

    def _replica(self, share, fraction, place):
        with tf.GradientTape() as tape:
            terms = self._step.terms(share, fraction)
            names = self._names(terms)
            asked = tf.gather(tf.stack([terms[name] for name in names]), place)
        # One way back for both encoders: the losses and the attention lie on it.
        found = tape.gradient(asked, list(self._encoders.values()))
        gradients = {
            encoder: [_dense(*pair) for pair in zip(parts, variables, strict=True)]
            for (encoder, variables), parts in zip(self._encoders.items(), found, strict=True)
        }
        return {name: terms[name] for name in names}, gradients


def _dense(gradient, variable) -> tf.Tensor:
    """The gradient as one tensor; a variable that the term does not reach has zeros."""
    if gradient is None:
        return tf.zeros(variable.shape, variable.dtype)
    return tf.convert_to_tensor(gradient)


def _norms_and_cosines(products: np.ndarray) -> list[tuple[float, float | None]]:
    """Each vector's norm and its cosine with the sum of all, from all products of two of them."""
    norms, length = np.sqrt(np.diag(products)), np.sqrt(max(products.sum(), 0.0))
    return [
        (float(norm), float(along / (norm * length)) if norm * length > 0 else None)
        for norm, along in zip(norms, products.sum(axis=1), strict=True)
    ]


@contextmanager
def kept(variables) -> Iterator[None]:
    """Put back, bit for bit, what each replica holds of these variables."""
    parts = [part for variable in variables for part in getattr(variable, "values", [variable])]
    before = [part.numpy() for part in parts]
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.assign(value)
