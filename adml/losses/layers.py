"""The learnable constants of the losses, as thin layers."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from adml.losses import keyword
from adml.losses.keyword_chunks import aam_softmax_in_chunks, sphereface2_in_chunks
from adml.numerics.similarity import at_least_float32, cosine_similarity, matching

__all__ = ["KEYWORD_MARGINS", "AdaptiveMargins", "KeywordClassifier", "LearnableScale"]

KEYWORD_MARGINS = {"sphereface2": {"C": 0.2, "A": 0.15}, "aam_softmax": 0.2, "triplet": 0.4}


class AdaptiveMargins(keras.layers.Layer):
    """AdaMS: one learnable (alpha, beta, margin) for each phoneme class.

    The raw alpha and beta are clamped from below, with the gradient of the raw value above
    the limit ("clamp", chosen), or pass through a softplus.

    Args:
        num_classes: V.
        alpha, beta, margin: initial values.
        parametrisation: "clamp" or "softplus".
        lowest: the limit of alpha and beta under "clamp".

    Source:
        paper, section 3.1; the anchor's class selects its triple in both terms (chosen).
    """

    def __init__(
        self,
        num_classes: int,
        alpha: float = 0.01,
        beta: float = 1.5,
        margin: float = 0.01,
        parametrisation: str = "clamp",
        lowest: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if parametrisation not in ("clamp", "softplus"):
            raise ValueError(
                "AdaptiveMargins: unknown parametrisation. Expected: 'clamp' or 'softplus'. "
                f"Received: {parametrisation!r}."
            )
        self.settings = {
            "num_classes": num_classes,
            "alpha": alpha,
            "beta": beta,
            "margin": margin,
            "parametrisation": parametrisation,
            "lowest": lowest,
        }
        self.parametrisation = parametrisation
        self.lowest = lowest
        raw = (lambda value: value) if parametrisation == "clamp" else _inverse_softplus
        self.raw_alpha = self._vector("raw_alpha", raw(alpha))
        self.raw_beta = self._vector("raw_beta", raw(beta))
        self.raw_margin = self._vector("raw_margin", margin)

    def call(self, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (alpha, beta, margin), each [P], of the anchors' `classes` [P]."""
        # A negative class is outside the loss; any triple will do.
        classes = tf.maximum(classes, tf.zeros([], classes.dtype))
        # A sum over one-hot rows instead of tf.gather: its gradient is dense and repeatable.
        chosen = tf.one_hot(classes, self.settings["num_classes"], dtype=self.dtype)
        vectors = (self._positive(self.raw_alpha), self._positive(self.raw_beta), self.raw_margin)
        return tuple(tf.reduce_sum(chosen * vector, axis=1) for vector in vectors)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.settings}

    def _vector(self, name: str, value: float) -> tf.Variable:
        shape = [self.settings["num_classes"]]
        return self.add_weight(
            name=f"{self.name}/{name}", shape=shape, initializer=keras.initializers.Constant(value)
        )

    def _positive(self, raw: tf.Tensor) -> tf.Tensor:
        if self.parametrisation == "softplus":
            return tf.nn.softplus(raw)
        return tf.maximum(raw, self.lowest)


class KeywordClassifier(keras.layers.Layer):
    """Class weights and loss of SphereFace2 or AAM-Softmax.

    Args:
        num_classes: C >= 2.
        embedding_dim: D.
        kind: "sphereface2" or "aam_softmax".
        scale, margin, exponent, balance, variant: as for the functions; margin None: the
            default of the kind.
        initial_margin_fraction: share of the margin in force at the first step, for which the
            bias is balanced.
        chunk: more classes than this are taken so many at a time, in memory that does not grow
            with their number (`adml.losses.keyword_chunks`); the values are the same.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int = 256,
        kind: str = "sphereface2",
        scale: float = 32.0,
        margin: float | None = None,
        exponent: float = 3.0,
        balance: float = 0.7,
        variant: str = "C",
        initial_margin_fraction: float = 1.0,
        chunk: int = 16384,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if kind not in ("sphereface2", "aam_softmax") or variant not in ("A", "C"):
            raise ValueError(
                "KeywordClassifier: unknown kind or variant. Expected: kind 'sphereface2' or "
                f"'aam_softmax', variant 'A' or 'C'. Received: {kind!r}, {variant!r}."
            )
        default = KEYWORD_MARGINS[kind]
        default = default[variant] if isinstance(default, dict) else default
        self.settings = {
            "num_classes": num_classes,
            "embedding_dim": embedding_dim,
            "kind": kind,
            "scale": scale,
            "margin": default if margin is None else margin,
            "exponent": exponent,
            "balance": balance,
            "variant": variant,
            "initial_margin_fraction": initial_margin_fraction,
            "chunk": chunk,
        }
        self.class_weights = self.add_weight(
            name=f"{self.name}/class_weights",
            shape=[num_classes, embedding_dim],
            initializer=keras.initializers.GlorotUniform(),
        )
        self.bias = self._make_bias() if kind == "sphereface2" else None

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor, margin_fraction=1.0) -> tf.Tensor:
        """Return the losses [B] of `embeddings` [B, D]; label -1 gives 0.

        margin_fraction scales the margin (the ramp of training).
        """
        settings = self.settings
        embeddings = at_least_float32(embeddings)
        terms = {"scale": settings["scale"],
                 "margin": settings["margin"] * matching(margin_fraction, embeddings)}  # fmt: skip
        function, in_chunks = keyword.aam_softmax, aam_softmax_in_chunks
        if settings["kind"] == "sphereface2":
            function, in_chunks = keyword.sphereface2, sphereface2_in_chunks
            terms |= {name: settings[name] for name in ("exponent", "balance", "variant")}
            terms["bias"] = self.bias
        if settings["num_classes"] > settings["chunk"]:
            return in_chunks(
                embeddings, self.class_weights, labels, chunk=settings["chunk"], **terms
            )
        return function(cosine_similarity(embeddings, self.class_weights), labels, **terms)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.settings}

    def _make_bias(self) -> tf.Variable:
        settings = self.settings
        value = keyword.sphereface2_bias(
            settings["num_classes"],
            scale=settings["scale"],
            margin=settings["margin"] * settings["initial_margin_fraction"],
            exponent=settings["exponent"],
            balance=settings["balance"],
            variant=settings["variant"],
        )
        return self.add_weight(
            name=f"{self.name}/bias", shape=[], initializer=keras.initializers.Constant(value)
        )


class LearnableScale(keras.layers.Layer):
    """A positive scale s = exp(v), held as its logarithm and bounded above (chosen).

    Args:
        initial: s at the start.
        highest: upper bound of s.
    """

    def __init__(self, initial: float = 20.0, highest: float = 100.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0 < initial <= highest:
            raise ValueError(
                f"LearnableScale: initial is out of range. Expected: 0 < initial <= {highest}. "
                f"Received: {initial}."
            )
        self.settings = {"initial": initial, "highest": highest}
        self.logarithm = self.add_weight(
            name=f"{self.name}/logarithm",
            shape=[],
            initializer=keras.initializers.Constant(math.log(initial)),
        )

    def call(self, inputs: Any = None) -> tf.Tensor:
        """Return s, a scalar."""
        return tf.exp(tf.minimum(self.logarithm, math.log(self.settings["highest"])))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.settings}


def _inverse_softplus(value: float) -> float:
    """The x with softplus(x) = value."""
    return math.log(math.expm1(value))
