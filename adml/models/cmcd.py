"""CMCD, a baseline: cross-attention of a text on an utterance, judged by a GRU."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.attention import SingleHeadAttention
from adml.layers.subsampling import StridedConvolutionUnit, masked
from adml.models.pairwise import SLOPE, PairwiseModel, last_state


class CMCD(PairwiseModel, keras.Model):
    """Cross-modal correspondence detector (paper, section 4.3, its baseline CMCD).

    Audio: two convolutions of 5 frames (128 filters with stride 2, then 256), two GRUs, a dense
    layer with leaky ReLU. Text: a dense layer on one-hot symbols. The text's phonemes attend to
    the audio frames, and a GRU over what they find gives the logit of "this is said here".

    Args:
        num_symbols: Symbols, padding (id 0) included.
        mel_bins: Width M of the features.
        width: Channels D of the embeddings, the attention and the GRUs.
        adversary: Whether a modality classifier sees the phonemes of both sides. Chosen: of the
            audio, what the attention gathers for each phoneme of the utterance's own text.
        reversal_strength: lambda_adv of its gradient reversal layer.
    """

    def __init__(self, num_symbols: int = 70, mel_bins: int = 40, width: int = 128, *,
                 adversary: bool = False, reversal_strength: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"num_symbols": num_symbols, "mel_bins": mel_bins, "width": width,
                         "adversary": adversary, "reversal_strength": reversal_strength}
        policy = self.dtype_policy
        self.convolutions = [
            StridedConvolutionUnit(width, 5, 2, dtype=policy, name="convolution_0"),
            StridedConvolutionUnit(2 * width, 5, dtype=policy, name="convolution_1")]
        self.recurrent = [keras.layers.GRU(width, return_sequences=True, dtype=policy,
                                           name=f"recurrent_{index}") for index in range(2)]
        self.audio_projection = keras.layers.Dense(width, dtype=policy, name="audio")
        self.embed_symbols = keras.layers.Dense(width, dtype=policy, name="text")
        self.attention = SingleHeadAttention(width, dtype=policy, name="attention")
        self.judge = keras.layers.GRU(width, return_state=True, dtype=policy, name="judge")
        self.utterance_logit = keras.layers.Dense(1, dtype=policy, name="utterance_logit")
        if adversary:
            self.make_adversary(reversal_strength, width)

    def encode_audio(self, features: tf.Tensor, frame_lengths: tf.Tensor,
                     training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes all that depends on the audio alone.

        Args:
            features: `[B, F, M]`; what stands on padded frames is ignored.
            frame_lengths: int `[B]`.
            training: Whether batch statistics are used.

        Returns:
            Frames `[B, F', D]` of twice the shift, 0 on padding, and their lengths `[B]`.
        """
        hidden, lengths = tf.cast(features, self.compute_dtype), frame_lengths
        for unit in self.convolutions:
            hidden, lengths = unit(hidden, lengths, training=training)
        valid = tf.sequence_mask(lengths, tf.shape(hidden)[1])
        for layer in self.recurrent:
            hidden = layer(hidden, mask=valid)
        hidden = tf.nn.leaky_relu(self.audio_projection(hidden), SLOPE)
        return masked(hidden, lengths), lengths

    def read_audio(self, audio: tf.Tensor, audio_lengths: tf.Tensor) -> dict:
        """Returns the keys and values of the frames `[N, F', D]`, with their lengths."""
        keys, values = self.attention.keys_and_values(audio)
        return {"keys": keys, "values": values, "lengths": audio_lengths}

    def fuse(self, memory: dict, text: tf.Tensor, text_lengths: tf.Tensor) -> dict:
        """Judges texts `[N, L, D]` against what `read_audio` gave, a row for a row.

        Returns:
            As `match`, and audio_phonemes `[N, L, D]`, what each phoneme gathers from the frames.
        """
        columns = tf.sequence_mask(memory["lengths"], tf.shape(memory["keys"])[1])
        rows = tf.sequence_mask(text_lengths, tf.shape(text)[1])
        visible = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
        gathered, attention = self.attention.attend(
            text, memory["keys"], memory["values"], visible)
        state = last_state(self.judge, gathered, text_lengths)
        return {"utterance_logit": tf.squeeze(self.utterance_logit(state), -1),
                "phoneme_logits": None, "attention": attention, "audio_phonemes": gathered}

    def adversary_inputs(self, audio, audio_lengths, own: dict,
                         text_lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the audio phonemes `[B, L, D]` of the own texts and their counts."""
        return own["audio_phonemes"], text_lengths
