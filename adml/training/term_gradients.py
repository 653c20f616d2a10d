"""What each loss term asks of the two encoders: the norm and direction of its gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def measure_term_gradients(
    step: TrainingStep, batch: Mapping[str, Any], margin_fraction: float
) -> list[TermGradient]:
    """Measure the gradient of each weighted term by itself, summed over replicas.

    The adversary's terms are as the encoders feel them, behind the gradient reversal. It runs
    outside the graph of the training step and changes nothing: the moving averages, which every
    pass in training mode moves, are put back, so training goes on as if it had not been measured.

    Args:
        step: model and losses; its model has the encoders as attributes.
        batch: arrays of `adml.data.batches`.
        margin_fraction: share of the keyword loss' margin in force.

    Returns:
        A row for each term of a weight other than 0 and each encoder of the model.
    """
    weights = {name: weight for name, weight in step.losses.term_weights.items() if weight}
    encoders = {
        name: getattr(step.model, name).trainable_variables
        for name in ENCODERS
        if hasattr(step.model, name)
    }
    fraction = tf.constant(margin_fraction, tf.float32)

    def replica(share):
        return _values_and_gradients(step, share, fraction, list(weights), encoders)

    with kept(step.model.non_trainable_variables):
        values, gradients = step.strategy.run(replica, args=(step.distribute(batch),))
    values = {name: float(_summed(step.strategy, value)) for name, value in values.items()}
    factors = np.array([weights[name] for name in values])
    figures = {}
    for encoder, one in gradients.items():
        products = np.zeros([len(values), len(values)])
        for position in range(len(encoders[encoder])):
            summed = [_summed(step.strategy, one[name][position]) for name in values]
            flat = np.stack([np.ravel(gradient).astype(np.float64) for gradient in summed])
            products += flat @ flat.T
        figures[encoder] = _norms_and_cosines(products * np.outer(factors, factors))
    return [
        TermGradient(name, encoder, value, weights[name], *figures[encoder][place])
        for place, (name, value) in enumerate(values.items())
        for encoder in encoders
    ]


def _values_and_gradients(step: TrainingStep, share, fraction, names, encoders):
    """Term -> value, and encoder -> term -> gradient of each variable, of this replica's share."""
    with tf.GradientTape(persistent=True) as tape:
        terms = step.terms(share, fraction)
    names = [name for name in terms if name in names]
    gradients = {encoder: {} for encoder in encoders}
    for name in names:
        # One way back for both encoders: the losses and the attention lie on it.
        found = tape.gradient(terms[name], list(encoders.values()))
        for (encoder, variables), parts in zip(encoders.items(), found, strict=True):
            pairs = zip(parts, variables, strict=True)
            gradients[encoder][name] = [_dense(part, variable) for part, variable in pairs]
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


def _summed(strategy: tf.distribute.Strategy, value) -> np.ndarray:
    return strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None).numpy()


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
