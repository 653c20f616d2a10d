"""The text encoder: phoneme lookup, two bidirectional LSTM layers, mean pooling."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.pooling import masked_mean


class TextEncoder(keras.Model):
    """Bi-LSTM over phonemes (paper, section 4.1).

    Lookup table -> bidirectional LSTM layers -> linear to D per phoneme (the phoneme
    embeddings; chosen, the paper does not say how 2 x 256 becomes 256) -> mean over the
    phonemes -> dense (the utterance embedding).

    Args:
        num_symbols: Size of the lookup table, padding (id 0) included.
        embedding_dim: Width D of the lookup table and of both outputs.
        units: LSTM units of one direction (256; 128 is the other reading of the paper).
        num_layers: Number of bidirectional layers.
    """

    def __init__(self, num_symbols: int = 70, embedding_dim: int = 256, units: int = 256,
                 num_layers: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.num_symbols, self.embedding_dim = num_symbols, embedding_dim
        self.units, self.num_layers = units, num_layers
        policy = self.dtype_policy
        self.lookup = keras.layers.Embedding(num_symbols, embedding_dim, dtype=policy,
                                             name="lookup")
        self.recurrent = [
            keras.layers.Bidirectional(
                keras.layers.LSTM(units, return_sequences=True, dtype=policy),
                dtype=policy, name=f"recurrent_{index}")
            for index in range(num_layers)]
        self.phoneme_projection = keras.layers.Dense(embedding_dim, dtype=policy,
                                                     name="phonemes")
        self.utterance_projection = keras.layers.Dense(embedding_dim, dtype=policy,
                                                       name="utterance")

    def call(self, phonemes: tf.Tensor, lengths: tf.Tensor,
             training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes.

        Args:
            phonemes: int `[B, L]` symbol ids, 0 on padding.
            lengths: int `[B]` number of phonemes.
            training: Unused; there for the sake of one calling convention.

        Returns:
            Phoneme embeddings `[B, L, D]`, 0 on padding, and utterance embeddings `[B, D]`.
        """
        valid = tf.sequence_mask(lengths, tf.shape(phonemes)[1])
        hidden = self.lookup(phonemes)
        for layer in self.recurrent:
            hidden = layer(hidden, mask=valid, training=training)
        outputs = self.phoneme_projection(hidden)
        outputs = outputs * tf.cast(tf.expand_dims(valid, -1), outputs.dtype)
        return outputs, self.utterance_projection(masked_mean(outputs, lengths))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal model."""
        return {"name": self.name, "num_symbols": self.num_symbols,
                "embedding_dim": self.embedding_dim, "units": self.units,
                "num_layers": self.num_layers}
