"""The text encoder: phoneme lookup, two bidirectional LSTM layers, mean pooling."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.pooling import masked_mean
from adml.layers.recurrent import pack_sequences, packed_bidirectional


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
        fast: Whether training runs on packed phonemes (no work is spent on padding) instead of
            Keras' masked LSTM; the weights are the same, the values are equal.
    """

    def __init__(self, num_symbols: int = 70, embedding_dim: int = 256, units: int = 256,
                 num_layers: int = 2, *, fast: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.num_symbols, self.embedding_dim = num_symbols, embedding_dim
        self.units, self.num_layers, self.fast = units, num_layers, fast
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

    def build(self, input_shape) -> None:
        """Makes the recurrent weights, which the packed path reads without calling the layers."""
        width = self.embedding_dim
        for layer in self.recurrent:
            with tf.name_scope(layer.name):
                layer.build((None, None, width))
            width = 2 * self.units
        self.built = True

    def call(self, phonemes: tf.Tensor, lengths: tf.Tensor,
             training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes.

        Args:
            phonemes: int `[B, L]` symbol ids, 0 on padding.
            lengths: int `[B]` number of phonemes.
            training: Whether the packed path may be taken.

        Returns:
            Phoneme embeddings `[B, L, D]`, 0 on padding, and utterance embeddings `[B, D]`.
        """
        if self.fast and training:
            outputs = self._encode_packed(phonemes, lengths)
        else:
            outputs = self._encode_padded(phonemes, lengths)
        return outputs, self.utterance_projection(masked_mean(outputs, lengths))

    def _encode_packed(self, phonemes, lengths) -> tf.Tensor:
        """Returns the phoneme embeddings `[B, L, D]`, computed without padding."""
        shape = tf.shape(phonemes)
        packed = pack_sequences(lengths, shape[1])
        hidden = self.lookup(tf.gather(tf.reshape(phonemes, [-1]), packed.padded_rows))
        for layer in self.recurrent:
            hidden = packed_bidirectional(hidden, packed, layer)
        outputs = self.phoneme_projection(hidden)
        padded = tf.scatter_nd(tf.expand_dims(packed.padded_rows, 1), outputs,
                               [shape[0] * shape[1], self.embedding_dim])
        return tf.reshape(padded, [shape[0], shape[1], self.embedding_dim])

    def _encode_padded(self, phonemes, lengths) -> tf.Tensor:
        """Returns the phoneme embeddings `[B, L, D]` from Keras' masked layers."""
        valid = tf.sequence_mask(lengths, tf.shape(phonemes)[1])
        hidden = self.lookup(phonemes)
        for layer in self.recurrent:
            hidden = layer(hidden, mask=valid)
        outputs = self.phoneme_projection(hidden)
        return outputs * tf.cast(tf.expand_dims(valid, -1), outputs.dtype)

    def get_config(self) -> dict:
        """Returns the arguments that make an equal model."""
        return {"name": self.name, "num_symbols": self.num_symbols,
                "embedding_dim": self.embedding_dim, "units": self.units,
                "num_layers": self.num_layers, "fast": self.fast}
