"""The loss of the baselines that score pairs: binary cross-entropy of texts and of phonemes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from adml.losses import adversarial, monotonic
from adml.losses.reduction import Reduction
from adml.numerics.similarity import at_least_float32

__all__ = ["MatchingLoss", "binary_cross_entropy", "phoneme_labels"]

MONOTONIC_KINDS = ("guided", "diagonal")


def binary_cross_entropy(logits, labels) -> tf.Tensor:
    """-y log p - (1 - y) log(1 - p) of p = sigmoid(logit); chance is ln 2.

    Args:
        logits: any shape.
        labels: 0 or 1, of the same shape.

    Returns:
        A tensor of that shape, float32 or float64.
    """
    logits = at_least_float32(logits)
    return tf.nn.softplus(logits) - tf.cast(labels, logits.dtype) * logits


def phoneme_labels(spoken, texts) -> tf.Tensor:
    """Whether the phoneme at the same place of what is spoken is that of the text.

    Args:
        spoken: int [B, L] classes of the phonemes of what is said, -1 on padding.
        texts: int [B, T, L] classes of the texts' phonemes, -1 on padding.

    Returns:
        bool [B, T, L]; False on the texts' padding.

    Source:
        the baseline PhonMatchNet of the paper's section 4.3; classes without stress (chosen).
    """
    return (spoken[:, tf.newaxis, :] == texts) & (texts >= 0)


class MatchingLoss(keras.layers.Layer):
    """The terms of CMCD and PhonMatchNet and their weighted sum; called as `TotalLoss` is.

        total = w_u BCE_utt + w_p BCE_phn + w_m L_MM + L_adv^phn

    BCE_utt is the mean over all pairs, BCE_phn over the texts' phonemes of all pairs (both
    chosen: negatives outnumber the matches and no pair is weighted), L_MM over the pairs that
    match. L_adv^phn is summed over both modalities, each a mean over its own count (chosen: frames
    may outnumber phonemes); the reversal strength is in the model, so its weight here is 1.

    Args:
        utterance_weight, phoneme_weight: w_u and w_p.
        monotonic_weight: w_m (chosen).
        monotonic_kind: "guided" or "diagonal"; monotonic_width: g of the first.

    Raises:
        ValueError: the kind is unknown.
    """

    def __init__(
        self,
        *,
        utterance_weight: float = 1.0,
        phoneme_weight: float = 1.0,
        monotonic_weight: float = 0.3,
        monotonic_kind: str = "guided",
        monotonic_width: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            **{"name": "matching_loss", "dtype": "float32", "autocast": False, **kwargs}
        )
        if monotonic_kind not in MONOTONIC_KINDS:
            raise ValueError(
                f"MatchingLoss: unknown monotonic_kind. Expected: one of "
                f"{', '.join(MONOTONIC_KINDS)}. Received: {monotonic_kind!r}."
            )
        self.settings = {
            "utterance_weight": utterance_weight,
            "phoneme_weight": phoneme_weight,
            "monotonic_weight": monotonic_weight,
            "monotonic_kind": monotonic_kind,
            "monotonic_width": monotonic_width,
        }
        self.term_weights = {
            "utterance_matching": float(utterance_weight),
            "phoneme_matching": float(phoneme_weight),
            "monotonic": float(monotonic_weight),
            "adversarial_phoneme": 1.0,
        }

    @tf.autograph.experimental.do_not_convert
    def call(
        self,
        outputs: Mapping[str, Any],
        batch: Mapping[str, tf.Tensor],
        *,
        margin_fraction: float | tf.Tensor = 1.0,
        scope: str = "global",
        training: bool | None = None,
    ) -> dict[str, tf.Tensor]:
        """Reduce all terms to scalars whose *sum* over replicas is the batch's loss.

        Args:
            outputs: of the model: utterance_logits [B, 1 + n], the match first; phoneme_logits
                [B, 1 + n, L] and attention [B, L, F'] on the match, or None; audio_lengths [B];
                modality_logits, a dict of phoneme_audio [P, 2] and phoneme_text [Q, 2], or empty.
            batch: phoneme_classes [K, L], phoneme_lengths [K], negative_classes [K, n, L].
                Utterance b belongs to keyword b // (B // K).
            margin_fraction: unused; there is no margin.
            scope: as of `TotalLoss`. No pair crosses replicas, so the two differ only where the
                replicas' counts do.
            training: unused.

        Returns:
            Term name -> scalar; "total" is the weighted sum. Terms that the model has no outputs
            for are left out; one of weight 0 keeps its curve but gives no gradient. To look at
            only: `modality_accuracy_phoneme`, half of it of each modality.
        """
        reduction = Reduction(scope)
        logits = outputs["utterance_logits"]
        per_keyword = tf.shape(logits)[0] // tf.shape(batch["phoneme_lengths"])[0]
        matches = tf.range(tf.shape(logits)[1])[tf.newaxis] + tf.zeros_like(logits, tf.int32) == 0
        losses = binary_cross_entropy(logits, matches)
        terms = {"utterance_matching": reduction.mean(tf.reshape(losses, [-1]))}
        if outputs.get("phoneme_logits") is not None:
            terms["phoneme_matching"] = _phonemes(outputs, batch, per_keyword, reduction)
        if outputs.get("attention") is not None:
            terms["monotonic"] = self._monotonic(outputs, batch, per_keyword, reduction)
        modality = outputs.get("modality_logits") or {}
        if modality:
            terms |= _adversarial(modality, reduction)
        return self._weighted(terms)

    @property
    def no_decay_no_clip_variables(self) -> list[tf.Variable]:
        """There are none: nothing here is learnt."""
        return []

    @property
    def bias_variables(self) -> list[tf.Variable]:
        """There are none."""
        return []

    def constants(self) -> dict[str, tf.Tensor]:
        """Return the learnable constants: there are none."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**self.settings, "name": self.name}

    def _monotonic(self, outputs, batch, per_keyword, reduction: Reduction) -> tf.Tensor:
        lengths = tf.repeat(batch["phoneme_lengths"], per_keyword)
        attention, frames = outputs["attention"], outputs["audio_lengths"]
        if self.settings["monotonic_kind"] == "diagonal":
            return reduction.mean(monotonic.diagonal_error(attention, lengths, frames))
        width = self.settings["monotonic_width"]
        losses = monotonic.monotonic_matching(attention, lengths, frames, width=width)
        return reduction.mean(losses)

    def _weighted(self, terms: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Add "total"; a term of weight 0 is cut from the gradient."""
        weights = {name: self.term_weights.get(name, 0.0) for name in terms}
        parts = [weights[name] * value for name, value in terms.items() if weights[name]]
        curves = {
            name: value if weights[name] else tf.stop_gradient(value)
            for name, value in terms.items()
        }
        return {**curves, "total": tf.add_n(parts) if parts else tf.zeros([], self.dtype)}


def _phonemes(outputs, batch, per_keyword, reduction: Reduction) -> tf.Tensor:
    own = batch["phoneme_classes"]
    texts = tf.concat([own[:, tf.newaxis], batch["negative_classes"]], axis=1)
    texts = tf.repeat(texts, per_keyword, axis=0)
    labels = phoneme_labels(texts[:, 0], texts)
    losses = binary_cross_entropy(outputs["phoneme_logits"], labels)
    return reduction.mean(tf.reshape(losses, [-1]), tf.reshape(texts >= 0, [-1]))


def _adversarial(logits: Mapping[str, tf.Tensor], reduction: Reduction) -> dict[str, tf.Tensor]:
    """Modality cross-entropy and accuracy, with a mean of its own for each modality."""
    # Audio with its classes swapped is a text of the same loss: that makes pairs of one count.
    audio, text = logits["phoneme_audio"], logits["phoneme_text"]
    pairs = ((audio, audio[:, ::-1]), (text[:, ::-1], text))
    losses = [reduction.mean(adversarial.modality_cross_entropy(*pair)) / 2 for pair in pairs]
    right = [reduction.mean(adversarial.modality_accuracy(*pair)) / 2 for pair in pairs]
    return {"adversarial_phoneme": sum(losses), "modality_accuracy_phoneme": sum(right)}
