"""Cross-attention from phonemes to frames."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras as keras

PROJECTIONS = ("none", "qk", "qkv")


class CrossAttention(keras.layers.Layer):
    """Aligns acoustic frames with phonemes (paper, section 3.1, Eq. 1).

        output = softmax(Q K^T / sqrt(d)) V,  Q from the text, K and V from the audio

    Args:
        dimension: Width d of queries and keys.
        projections: "qk": learned W_Q and W_K, V as it comes (chosen; the paper lists a
            cross-attention layer among the trained parameters but writes plain Q, K, V);
            "qkv": V projected too; "none": nothing learned.
    """

    def __init__(self, dimension: int = 256, projections: str = "qk", **kwargs):
        super().__init__(**kwargs)
        if projections not in PROJECTIONS:
            raise ValueError(f"Unknown projections. Expected: one of {PROJECTIONS}. "
                             f"Received: {projections!r}.")
        self.dimension, self.projections = dimension, projections
        self.projectors = {
            role: keras.layers.Dense(dimension, use_bias=False, dtype=self.dtype_policy,
                                     name=name)
            for role, name in (("q", "query"), ("k", "key"), ("v", "value"))
            if role in projections and projections != "none"}

    def build(self, input_shape) -> None:
        """Makes the projections; queries and frames have `dimension` channels."""
        for projector in self.projectors.values():
            projector.build((None, None, self.dimension))
        super().build(input_shape)

    def call(self, phonemes: tf.Tensor, frames: tf.Tensor, phoneme_lengths: tf.Tensor,
             frame_lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Attends.

        Args:
            phonemes: `[B, L, D]` text embeddings.
            frames: `[B, F, D]` acoustic embeddings.
            phoneme_lengths: int `[B]`.
            frame_lengths: int `[B]`.

        Returns:
            The aggregated acoustic embedding of each phoneme `[B, L, D]` and the attention
            `[B, L, F]`: a valid phoneme's row sums to 1 over valid frames; padded phonemes, and
            all phonemes of a clip without frames, are 0.
        """
        query = self._project("q", phonemes)
        key = self._project("k", frames)
        value = self._project("v", frames)
        logits = tf.matmul(query, key, transpose_b=True) / math.sqrt(self.dimension)
        columns = tf.expand_dims(tf.sequence_mask(frame_lengths, tf.shape(frames)[1]), 1)
        rows = tf.expand_dims(tf.sequence_mask(phoneme_lengths, tf.shape(phonemes)[1]), 2)
        lowest = tf.constant(-1e9 if logits.dtype != tf.float16 else -6e4, logits.dtype)
        attention = tf.nn.softmax(tf.where(columns, logits, lowest), axis=-1)
        attention = tf.where(rows & columns, attention, tf.zeros([], logits.dtype))
        return tf.matmul(attention, value), attention

    def _project(self, role: str, values: tf.Tensor) -> tf.Tensor:
        """Returns `values` through the projection of this role, if it has one."""
        return self.projectors[role](values) if role in self.projectors else values

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "dimension": self.dimension,
                "projections": self.projections}
