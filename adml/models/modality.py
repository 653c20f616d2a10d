"""The modality classifier of the adversarial objective."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


class ModalityClassifier(keras.layers.Layer):
    """Tells audio from text embeddings: two dense layers (paper, section 3.3).

    The input is L2-normalised first (chosen: its length would give the modality away). One
    classifier serves the phoneme and the utterance level.

    Args:
        units: Hidden nodes.
        embedding_dim: Width D of the embeddings.
    """

    def __init__(self, units: int = 256, embedding_dim: int = 256, **kwargs):
        super().__init__(**kwargs)
        self.units, self.embedding_dim = units, embedding_dim
        self.hidden = keras.layers.Dense(units, activation="relu", dtype=self.dtype_policy,
                                         name="hidden")
        self.logits = keras.layers.Dense(2, dtype=self.dtype_policy, name="logits")

    def build(self, input_shape) -> None:
        """Makes both dense layers."""
        self.hidden.build((None, self.embedding_dim))
        self.logits.build((None, self.units))
        super().build(input_shape)

    def call(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Returns the logits `[P, 2]` (audio, text) of embeddings `[P, D]`."""
        unit = tf.math.l2_normalize(embeddings, axis=-1, epsilon=1e-12)
        return self.logits(self.hidden(unit))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "units": self.units,
                "embedding_dim": self.embedding_dim}
