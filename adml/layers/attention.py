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


class SingleHeadAttention(keras.layers.Layer):
    """Attention of one head: queries, keys, values and the output are linear with a bias.

        output = (softmax(Q K^T / sqrt(d)) V) W_o + b_o

    The keys and values can be made once and attended to by many queries.

    Args:
        width: d of queries, keys, values and output.
    """

    def __init__(self, width: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.query, self.key, self.value, self.output_projection = (
            keras.layers.Dense(width, dtype=self.dtype_policy, name=name)
            for name in ("query", "key", "value", "output"))

    def build(self, input_shape) -> None:
        """Makes the projections; queries and memory have the same number of channels."""
        channels = tf.TensorShape(input_shape)[-1]
        for projection in (self.query, self.key, self.value):
            with tf.name_scope(projection.name):
                projection.build((None, None, channels))
        with tf.name_scope(self.output_projection.name):
            self.output_projection.build((None, None, self.width))
        super().build(input_shape)

    def keys_and_values(self, memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `attend` needs of a memory `[B, S, C]`, each `[B, S, width]`."""
        if not self.built:
            with tf.name_scope(self.name):
                self.build(memory.shape)
        return self.key(memory), self.value(memory)

    def attend(self, queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor,
               visible: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Attends; see `call`."""
        logits = tf.matmul(self.query(queries), keys, transpose_b=True) / math.sqrt(self.width)
        lowest = tf.constant(-1e9 if logits.dtype != tf.float16 else -6e4, logits.dtype)
        attention = tf.nn.softmax(tf.where(visible, logits, lowest), axis=-1)
        attention = tf.where(visible, attention, tf.zeros([], logits.dtype))
        return self.output_projection(tf.matmul(attention, values)), attention

    def call(self, queries: tf.Tensor, memory: tf.Tensor,
             visible: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Attends.

        Args:
            queries: `[B, Q, C]`.
            memory: `[B, S, C]`.
            visible: bool, broadcasts to `[B, Q, S]`: which rows of the memory a query sees.

        Returns:
            `[B, Q, width]` and the attention `[B, Q, S]`, whose rows sum to 1; the row of a query
            that sees nothing is 0.
        """
        return self.attend(queries, *self.keys_and_values(memory), visible)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal layer."""
        return {**super().get_config(), "width": self.width}
