"""PhonMatchNet, a baseline: self-attention over an utterance followed by a text."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.attention import SingleHeadAttention
from adml.layers.subsampling import StridedConvolutionUnit, masked
from adml.models.pairwise import SLOPE, PairwiseModel, last_state


class PhonMatchNet(PairwiseModel, keras.Model):
    """Phoneme-guided zero-shot keyword spotting (paper, section 4.3, its baseline).

    Audio: two convolutions of 3 frames (the first with stride 2), to which a pretrained speech
    embedding is added where the features carry one. Text: a dense layer with leaky ReLU on
    one-hot symbols. Frames and phonemes are joined along time; one head of attention sees the
    past only, a GRU over all of it gives the logit of "this is said here", and a dense layer on
    the phonemes' places the logit of "this phoneme is said at this place".

    Frames come first and see no text, so all they contribute (keys, values, the GRU's state after
    the last frame) is computed once for all texts of an utterance.

    Args:
        num_symbols: Symbols, padding (id 0) included.
        mel_bins: Width M of the mel features.
        width: Channels D of all layers.
        embedding_width: Channels E of the speech embedding behind the mel features; 0: none.
        adversary: Whether a modality classifier sees both sides. Chosen: there are no phonemes of
            the audio before the fusion, so the frames against the phonemes of the own texts.
        reversal_strength: lambda_adv of its gradient reversal layer.
    """

    def __init__(self, num_symbols: int = 70, mel_bins: int = 40, width: int = 128, *,
                 embedding_width: int = 0, adversary: bool = False,
                 reversal_strength: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"num_symbols": num_symbols, "mel_bins": mel_bins, "width": width,
                         "embedding_width": embedding_width, "adversary": adversary,
                         "reversal_strength": reversal_strength}
        policy = self.dtype_policy
        self.convolutions = [
            StridedConvolutionUnit(width, 3, 2, dtype=policy, name="convolution_0"),
            StridedConvolutionUnit(width, 3, dtype=policy, name="convolution_1")]
        self.embedding_projection = (
            keras.layers.Dense(width, dtype=policy, name="speech_embedding")
            if embedding_width else None)
        self.text_projection = keras.layers.Dense(width, dtype=policy, name="text")
        self.attention = SingleHeadAttention(width, dtype=policy, name="attention")
        self.judge = keras.layers.GRU(width, return_state=True, dtype=policy, name="judge")
        self.utterance_logit = keras.layers.Dense(1, dtype=policy, name="utterance_logit")
        self.phoneme_logit = keras.layers.Dense(1, dtype=policy, name="phoneme_logit")
        if adversary:
            self.make_adversary(reversal_strength, width)

    def encode_audio(self, features: tf.Tensor, frame_lengths: tf.Tensor,
                     training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes all that depends on the audio alone, but for what `read_audio` does.

        Args:
            features: `[B, F, M + E]`; what stands on padded frames is ignored.
            frame_lengths: int `[B]`.
            training: Whether batch statistics are used.

        Returns:
            Frames `[B, F', D]` of twice the shift, 0 on padding, and their lengths `[B]`.
        """
        features = tf.cast(features, self.compute_dtype)
        hidden, lengths = features[..., :self.settings["mel_bins"]], frame_lengths
        for unit in self.convolutions:
            hidden, lengths = unit(hidden, lengths, training=training)
        if self.embedding_projection is not None:
            pretrained = features[:, ::2, self.settings["mel_bins"]:]
            hidden += tf.nn.leaky_relu(self.embedding_projection(pretrained), SLOPE)
        return masked(hidden, lengths), lengths

    def embed_symbols(self, symbols: tf.Tensor) -> tf.Tensor:
        """Returns `[K, L, D]` of one-hot symbols."""
        return tf.nn.leaky_relu(self.text_projection(symbols), SLOPE)

    def read_audio(self, audio: tf.Tensor, audio_lengths: tf.Tensor) -> dict:
        """Returns keys and values of the frames `[N, F', D]`, and the GRU's state after them."""
        keys, values = self.attention.keys_and_values(audio)
        attended, _ = self.attention.attend(audio, keys, values, _past(audio, audio_lengths))
        return {"keys": keys, "values": values, "lengths": audio_lengths,
                "state": last_state(self.judge, attended, audio_lengths)}

    def fuse(self, memory: dict, text: tf.Tensor, text_lengths: tf.Tensor) -> dict:
        """Judges texts `[N, L, D]` against what `read_audio` gave, a row for a row; as `match`."""
        keys, values = self.attention.keys_and_values(text)
        frames = tf.sequence_mask(memory["lengths"], tf.shape(memory["keys"])[1])
        past = _past(text, text_lengths)
        heard = past[:, :, :1] & frames[:, tf.newaxis, :]
        attended, _ = self.attention.attend(
            text, tf.concat([memory["keys"], keys], 1), tf.concat([memory["values"], values], 1),
            tf.concat([heard, past], 2))
        state = last_state(self.judge, attended, text_lengths, memory["state"])
        return {"utterance_logit": tf.squeeze(self.utterance_logit(state), -1),
                "phoneme_logits": tf.squeeze(self.phoneme_logit(attended), -1),
                "attention": None}

    def adversary_inputs(self, audio: tf.Tensor, audio_lengths: tf.Tensor, own: dict,
                         text_lengths) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the frames `[B, F', D]` and their counts."""
        return audio, audio_lengths


def _past(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Which places of `[B, L, C]` a place sees: bool `[B, L, L]`, itself and those before it.

    The first column tells which places are valid at all.
    """
    places = tf.range(tf.shape(values)[1])
    valid = tf.sequence_mask(lengths, tf.shape(values)[1])
    return (places[:, tf.newaxis] >= places) & valid[:, tf.newaxis, :] & valid[:, :, tf.newaxis]
