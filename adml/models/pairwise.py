"""What the baselines that score pairs have in common: the batch of pairs and the adversary."""

from __future__ import annotations

import tensorflow as tf

from adml.models.modality import ModalityClassifier
from adml.numerics.ragged import flatten
from adml.numerics.reversal import GradientReversal

SLOPE = 0.3
"""Of the leaky ReLU below 0, Keras' default."""


class PairwiseModel:
    """Mixed into a Keras model that fuses audio and text before it scores them.

    A subclass has `encode_audio`, `encode_text`, `read_audio` (what the audio alone gives to the
    fusion, made once for all its texts), `fuse` and `adversary_inputs`; this class makes of them
    `match`, one row a pair, and `call` on a batch of keywords for training.
    """

    pairwise = True

    def make_adversary(self, strength: float, width: int) -> None:
        """Makes the gradient reversal and the modality classifier."""
        self.reversal = GradientReversal(strength, dtype=self.dtype_policy)
        self.modality = ModalityClassifier(256, width, dtype=self.dtype_policy, name="modality")

    def encode_text(self, phonemes: tf.Tensor, lengths: tf.Tensor,
                    training: bool = False) -> tf.Tensor:
        """Returns the embeddings `[K, L, D]` of symbol ids `[K, L]`, 0 on padding."""
        # One column for each symbol; id 0, padding, has none.
        symbols = tf.one_hot(phonemes - 1, self.settings["num_symbols"] - 1,
                             dtype=self.compute_dtype)
        embedded = self.embed_symbols(symbols)
        valid = tf.sequence_mask(lengths, tf.shape(phonemes)[1], dtype=embedded.dtype)
        return embedded * tf.expand_dims(valid, -1)

    def match(self, audio: tf.Tensor, audio_lengths: tf.Tensor, text: tf.Tensor,
              text_lengths: tf.Tensor, training: bool = False) -> dict:
        """Judges pairs.

        Args:
            audio: `[N, F', D]` of `encode_audio`.
            audio_lengths: int `[N]`.
            text: `[N, L, D]` of `encode_text`.
            text_lengths: int `[N]`.
            training: Unused: nothing here differs in training.

        Returns:
            utterance_logit `[N]`; phoneme_logits `[N, L]` and attention `[N, L, F']`, None where
            the model has none.
        """
        fused = self.fuse(self.read_audio(audio, audio_lengths), text, text_lengths)
        return {name: fused[name] for name in ("utterance_logit", "phoneme_logits", "attention")}

    def call(self, inputs: dict, training: bool = False) -> dict:
        """Judges each utterance of a batch against its own text and its keyword's negatives.

        Args:
            inputs: `features` `[B, F, M]`, `frame_lengths` `[B]`, `phonemes` `[K, L]`,
                `phoneme_lengths` `[K]`, `negative_phonemes` `[K, n, L]`, `negative_lengths`
                `[K, n]`; B a multiple of K, utterance b says text b // (B // K).
            training: Whether batch statistics are used.

        Returns:
            utterance_logits `[B, 1 + n]`, the own text first; phoneme_logits `[B, 1 + n, L]` or
            None; attention `[B, L, F']` on the own text, or None; audio_lengths `[B]`;
            modality_logits, a dict of phoneme_audio `[P, 2]` and phoneme_text `[Q, 2]`, empty
            without the adversary.
        """
        audio, audio_lengths = self.encode_audio(inputs["features"], inputs["frame_lengths"],
                                                 training=training)
        ids = tf.concat([inputs["phonemes"][:, tf.newaxis], inputs["negative_phonemes"]], 1)
        counts = tf.concat([inputs["phoneme_lengths"][:, tf.newaxis],
                            inputs["negative_lengths"]], 1)
        keywords, texts, longest = (tf.shape(ids)[axis] for axis in range(3))
        utterances = tf.shape(audio)[0]
        repeats = utterances // tf.maximum(keywords, 1)
        text = self.encode_text(tf.reshape(ids, [-1, longest]), tf.reshape(counts, [-1]),
                                training=training)
        width = text.shape[-1]
        text = tf.repeat(tf.reshape(text, [keywords, texts, longest, width]), repeats, axis=0)
        counts = tf.repeat(counts, repeats, axis=0)
        memory = {name: tf.repeat(value, texts, axis=0)
                  for name, value in self.read_audio(audio, audio_lengths).items()}
        fused = self.fuse(memory, tf.reshape(text, [-1, longest, width]),
                          tf.reshape(counts, [-1]))
        fused = {name: value if value is None else tf.reshape(
                     value, tf.concat([[utterances, texts], tf.shape(value)[1:]], 0))
                 for name, value in fused.items()}
        own = {name: value if value is None else value[:, 0] for name, value in fused.items()}
        outputs = {"utterance_logits": fused["utterance_logit"],
                   "phoneme_logits": fused["phoneme_logits"], "attention": own["attention"],
                   "audio_lengths": audio_lengths, "modality_logits": {}}
        if self.settings["adversary"]:
            heard, heard_lengths = self.adversary_inputs(audio, audio_lengths, own, counts[:, 0])
            logits = outputs["modality_logits"]
            logits["phoneme_audio"] = self._modality(heard, heard_lengths)
            logits["phoneme_text"] = self._modality(text[:, 0], counts[:, 0])
        return outputs

    def _modality(self, values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the modality logits `[P, 2]` of what is valid in `[B, L, D]`."""
        return self.modality(self.reversal(flatten(values, lengths)))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal model."""
        return {"name": self.name, **self.settings}


def last_state(layer, values: tf.Tensor, lengths: tf.Tensor, initial=None) -> tf.Tensor:
    """Returns the state `[B, H]` of a Keras GRU after the last valid step of `[B, L, C]`."""
    valid = tf.sequence_mask(lengths, tf.shape(values)[1])
    _, state = layer(values, mask=valid, initial_state=initial)
    return state
