"""A linear phone classifier on the frame embeddings."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


class FrameClassifier(keras.layers.Layer):
    """Linear layer from frame embeddings to phone classes and a blank (the last class).

    Not in the paper; an option for training the frames with a CTC loss.

    Args:
        num_classes: Phone classes V; the layer has V + 1 outputs.
        embedding_dim: Width D of the frames.
    """

    def __init__(self, num_classes: int, embedding_dim: int = 256, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.embedding_dim = num_classes, embedding_dim
        self.projection = keras.layers.Dense(num_classes + 1, dtype=self.dtype_policy,
                                             name="projection")

    def build(self, input_shape) -> None:
        """Makes the linear layer."""
        self.projection.build((None, None, self.embedding_dim))
        super().build(input_shape)

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        """Returns the logits `[B, F, V + 1]` of frames `[B, F, D]`."""
        return self.projection(frames)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "num_classes": self.num_classes,
                "embedding_dim": self.embedding_dim}
