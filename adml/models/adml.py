"""The whole model: both encoders, cross-attention and the modality classifier."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.attention import CrossAttention
from adml.layers.spans import Spans
from adml.models.acoustic import AcousticEncoder
from adml.models.ctc import FrameClassifier
from adml.models.modality import ModalityClassifier
from adml.models.text import TextEncoder
from adml.numerics.ragged import flatten
from adml.numerics.reversal import GradientReversal


class ADML(keras.Model):
    """Adversarial deep metric learning (paper, Fig. 1).

    Everything the losses need, from a batch of K texts and M utterances of each. The text
    encoder runs on the K texts; its outputs are repeated M times where each utterance needs one.

    Args:
        num_symbols: Size of the text encoder's lookup table.
        mel_bins: Width of the acoustic features.
        embedding_dim: Width D of all embeddings.
        text_units: LSTM units of one direction.
        phoneme_branch: Whether frames are aligned with phonemes (Eq. 1).
        adversary_phoneme: Whether the modality classifier sees phonemes; needs `phoneme_branch`.
        adversary_utterance: Whether it sees utterances.
        ctc_classes: Phone classes of the frame classifier; 0: there is none.
        reversal_strength: lambda_adv of the gradient reversal layer (Eq. 5).
        projections: What the cross-attention learns: "none", "qk" or "qkv".
        fast: Whether the encoders take their fast paths.
    """

    pairwise = False

    def __init__(self, num_symbols: int = 70, *, mel_bins: int = 40, embedding_dim: int = 256,
                 text_units: int = 256, phoneme_branch: bool = True,
                 adversary_phoneme: bool = True, adversary_utterance: bool = True,
                 ctc_classes: int = 0, reversal_strength: float = 0.1,
                 projections: str = "qk", fast: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "num_symbols": num_symbols, "mel_bins": mel_bins, "embedding_dim": embedding_dim,
            "text_units": text_units, "phoneme_branch": phoneme_branch,
            "adversary_phoneme": adversary_phoneme, "adversary_utterance": adversary_utterance,
            "ctc_classes": ctc_classes, "reversal_strength": reversal_strength,
            "projections": projections, "fast": fast}
        if adversary_phoneme and not phoneme_branch:
            raise ValueError("The phoneme adversary needs the phoneme branch. Expected: "
                             "adversary_phoneme=False with phoneme_branch=False. Received: "
                             "adversary_phoneme=True.")
        policy = self.dtype_policy
        self.acoustic = AcousticEncoder(mel_bins, embedding_dim=embedding_dim, fast=fast,
                                        dtype=policy, name="acoustic")
        self.text = TextEncoder(num_symbols, embedding_dim, text_units, fast=fast, dtype=policy,
                                name="text")
        self.attention = (CrossAttention(embedding_dim, projections, dtype=policy,
                                         name="attention") if phoneme_branch else None)
        adversary = adversary_phoneme or adversary_utterance
        self.reversal = (GradientReversal(reversal_strength, dtype=policy) if adversary
                         else None)
        self.modality = (ModalityClassifier(256, embedding_dim, dtype=policy, name="modality")
                         if adversary else None)
        self.frame_classifier = (FrameClassifier(ctc_classes, embedding_dim, dtype=policy,
                                                 name="frame_classifier")
                                 if ctc_classes else None)

    def call(self, inputs: dict, training: bool = False) -> dict:
        """Encodes a batch.

        Args:
            inputs: `features` `[B, F, M]`, `frame_lengths` `[B]`, `phonemes` `[K, L]`,
                `phoneme_lengths` `[K]`; B a multiple of K, utterance b says text b // (B // K).
                With `span_recordings`, `span_starts`, `span_frames` `[S]` (see `Spans`) the
                utterances are these stretches, and S stands for B in what follows. With
                `distractor_recordings`, ... `[N]` these stretches are embedded too.
            training: Whether batch statistics are used.

        Returns:
            audio_frames `[B, F, D]`, frame_lengths `[B]`, audio_utterance `[B, D]`,
            text_phonemes `[K, L, D]`, text_utterance `[K, D]`; attention `[B, L, F]` and
            audio_phonemes `[B, L, D]` (None without the phoneme branch); modality_logits, a dict
            of phoneme_audio, phoneme_text `[P, 2]`, utterance_audio, utterance_text `[B, 2]`
            (those that are switched on); ctc_logits `[B, F, V + 1]` where there is a classifier;
            audio_distractors `[N, D]` where there are distractors.
        """
        lengths, spans = inputs["frame_lengths"], None
        if "span_starts" in inputs:
            spans = Spans(*(inputs[f"span_{name}"] for name in Spans._fields))
        frames, audio, distractors = self._hear(inputs, spans, training)
        phonemes, text = self.text(inputs["phonemes"], inputs["phoneme_lengths"],
                                   training=training)
        outputs = {"audio_frames": frames, "frame_lengths": spans.frames if spans else lengths,
                   "audio_utterance": audio, "text_phonemes": phonemes, "text_utterance": text,
                   "attention": None, "audio_phonemes": None, "modality_logits": {}, **distractors}
        repeats = tf.shape(audio)[0] // tf.maximum(tf.shape(text)[0], 1)
        if self.attention is not None:
            self._align(outputs, inputs["phoneme_lengths"], repeats)
        if self.settings["adversary_utterance"]:
            logits = outputs["modality_logits"]
            logits["utterance_audio"] = self.modality(self.reversal(audio))
            logits["utterance_text"] = tf.repeat(self.modality(self.reversal(text)), repeats, 0)
        if self.frame_classifier is not None:
            outputs["ctc_logits"] = self.frame_classifier(frames)
        return outputs

    def _hear(self, inputs: dict, spans: Spans | None, training: bool) -> tuple:
        """Frames and embeddings of the utterances, and those of distractors where there are."""
        features, lengths = inputs["features"], inputs["frame_lengths"]
        if "distractor_starts" not in inputs:
            return *self.acoustic(features, lengths, training=training, spans=spans), {}
        added = (inputs[f"distractor_{name}"] for name in Spans._fields)
        both = Spans(*(tf.concat(parts, 0) for parts in zip(spans, added, strict=True)))
        frames, audio = self.acoustic(features, lengths, training=training, spans=both)
        count, longest = tf.shape(spans.starts)[0], tf.reduce_max(spans.frames)
        return frames[:count, :longest], audio[:count], {"audio_distractors": audio[count:]}

    def _align(self, outputs: dict, phoneme_lengths: tf.Tensor, repeats: tf.Tensor) -> None:
        """Adds attention, audio_phonemes and the phoneme level's modality logits."""
        lengths = tf.repeat(phoneme_lengths, repeats, axis=0)
        phonemes = tf.repeat(outputs["text_phonemes"], repeats, axis=0)
        aligned, attention = self.attention(phonemes, outputs["audio_frames"], lengths,
                                            outputs["frame_lengths"])
        outputs["attention"], outputs["audio_phonemes"] = attention, aligned
        if self.settings["adversary_phoneme"]:
            logits = outputs["modality_logits"]
            logits["phoneme_audio"] = self.modality(self.reversal(flatten(aligned, lengths)))
            logits["phoneme_text"] = self.modality(self.reversal(flatten(phonemes, lengths)))

    def get_config(self) -> dict:
        """Returns the arguments that make an equal model."""
        return {"name": self.name, **self.settings}
