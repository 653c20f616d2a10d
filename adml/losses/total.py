"""The weighted total of all loss terms: the only place where they are weighted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from adml.losses import adversarial, ctc, keyword, monotonic
from adml.losses.branches import PhonemeTerms, UtteranceTerms, utterances_per_keyword
from adml.losses.layers import KEYWORD_MARGINS, KeywordClassifier
from adml.losses.reduction import Reduction

__all__ = ["TotalLoss"]

KEYWORD_KINDS = ("sphereface2", "aam_softmax", "triplet", "none")
WITH_CLASSES = ("sphereface2", "aam_softmax")
MONOTONIC_KINDS = ("guided", "diagonal")


class TotalLoss(keras.layers.Layer):
    """All terms of the objective and their weighted sum.

        total = L_utt + L_key + L_MM + lambda_phn L_phn + L_adv       (Eq. 3 to 5)

    L_utt is the sum of the `utterance_*` and `rpl_*` terms. The reversal strength of L_adv is in
    the model, so its weight here is 1. A term of weight 0 keeps its curve but gives no
    gradient; a term whose branch is absent from the model's outputs is left out.

    Args: (defaults are the paper's, or chosen where it is silent)
        num_phoneme_classes: V, for AdaMS.
        num_keyword_classes: C, for "sphereface2" and "aam_softmax".
        embedding_dim: D.
        *_weight: factor of the term in the total.
        utterance_alpha, utterance_beta, utterance_margin: AsyP on words.
        prototype_scale, infonce_scale: initial values, learnable.
        phoneme_kind: "asyp", "proxy_bd", "proxy_ms", "clat" or "none".
        phoneme_alpha, phoneme_beta, phoneme_margin: its constants, or with adams (which goes
            with the first three kinds) their initial values.
        adams_parametrisation: "clamp" or "softplus".
        monotonic_kind: "guided" or "diagonal"; monotonic_width: g of the first.
        keyword_kind: "sphereface2", "aam_softmax", "triplet" or "none".
        keyword_margin: None: the default of the kind.
        keyword_initial_margin_fraction: share of the margin at the first step (see
            `KeywordClassifier`). keyword_chunk: classes at a time, where there are more.
        dtype: of the constants and class weights: "float32", or "float64" for a float64 model.

    Raises:
        ValueError: a kind is unknown, or a classifier has fewer than two classes.
    """

    def __init__(
        self, *, num_phoneme_classes: int = 39, num_keyword_classes: int = 0,
        embedding_dim: int = 256,
        utterance_asyp_weight: float = 1.0, utterance_alpha: float = 2.0,
        utterance_beta: float = 40.0, utterance_margin: float = 0.5,
        rpl_distance_weight: float = 1.0, rpl_angle_weight: float = 2.0,
        rpl_prototype_weight: float = 1.0, prototype_scale: float = 20.0,
        utterance_infonce_weight: float = 0.0, infonce_scale: float = 20.0,
        phoneme_weight: float = 0.1, phoneme_kind: str = "asyp", phoneme_alpha: float = 0.01,
        phoneme_beta: float = 1.5, phoneme_margin: float = 0.01,
        adams: bool = True, adams_parametrisation: str = "clamp", clat_temperature: float = 0.07,
        monotonic_weight: float = 1.0, monotonic_kind: str = "guided", monotonic_width: float = 0.2,
        keyword_weight: float = 1.0, keyword_kind: str = "sphereface2",
        keyword_scale: float = 32.0, keyword_margin: float | None = None,
        keyword_exponent: float = 3.0, keyword_balance: float = 0.7, keyword_variant: str = "C",
        keyword_initial_margin_fraction: float = 1.0, keyword_chunk: int = 16384,
        adversarial_phoneme_weight: float = 1.0, adversarial_utterance_weight: float = 1.0,
        ctc_weight: float = 0.0, name: str = "total_loss", dtype: str = "float32",
    ) -> None:  # fmt: skip
        arguments = dict(locals())
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.settings = {key: arguments[key] for key in sorted(arguments) if key not in _NO_SETTING}
        self.term_weights = {
            key.removesuffix("_weight"): float(value)
            for key, value in self.settings.items()
            if key.endswith("_weight")
        }
        _check_kinds(self.settings)
        self.utterance_terms = UtteranceTerms(
            utterance_alpha, utterance_beta, utterance_margin, prototype_scale, infonce_scale,
            learn_prototype=rpl_prototype_weight != 0,
            learn_infonce=utterance_infonce_weight != 0,
            name="utterance_terms", dtype=dtype,
        )  # fmt: skip
        self.phoneme_terms = PhonemeTerms(
            phoneme_kind, num_phoneme_classes, phoneme_alpha, phoneme_beta, phoneme_margin,
            adams, adams_parametrisation, clat_temperature,
            trainable=phoneme_weight != 0, name="phoneme_terms", dtype=dtype,
        )  # fmt: skip
        self.keyword_classifier = None
        if keyword_kind in WITH_CLASSES:
            self.keyword_classifier = KeywordClassifier(
                num_keyword_classes, embedding_dim, keyword_kind, keyword_scale, keyword_margin,
                keyword_exponent, keyword_balance, keyword_variant,
                keyword_initial_margin_fraction, keyword_chunk,
                trainable=keyword_weight != 0, name="keyword_classifier", dtype=dtype,
            )  # fmt: skip

    # Nothing below branches on a tensor, and AutoGraph would double the time to trace a step.
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
            outputs: of the model: audio_utterance [B, D], text_utterance [K, D],
                text_phonemes [K, L, D], audio_phonemes [B, L, D], attention [B, L, F],
                frame_lengths [B], ctc_logits [B, F, V + 1], and modality_logits, a dict of
                phoneme_audio, phoneme_text [P, 2], utterance_audio, utterance_text [B, 2].
                Absent or None where the model has no such branch.
            batch: phoneme_classes [K, L], phoneme_lengths [K], text_ids [K], keyword_labels [K].
                Utterance b belongs to keyword b // (B // K).
            margin_fraction: share of the keyword margin in force.
            scope: "global": pairs form across replicas and the gradients, summed over replicas,
                are those of one replica on the whole batch. "replica": the mean of the
                replicas' own losses.
            training: unused.

        Returns:
            Term name -> scalar; "total" is the weighted sum. To look at only: `phoneme_centred`,
            AsyP without its label-count constant, and `modality_accuracy_*`, the share of
            embeddings whose modality the classifier tells.
        """
        reduction = Reduction(scope)
        terms = self.utterance_terms(outputs, batch, reduction)
        if outputs.get("audio_phonemes") is not None:
            terms |= self.phoneme_terms(outputs, batch, reduction)
        if outputs.get("attention") is not None:
            terms["monotonic"] = self._monotonic(outputs, batch, reduction)
        if self.settings["keyword_kind"] != "none":
            terms["keyword"] = self._keyword(outputs, batch, margin_fraction, reduction)
        terms |= _adversarial(outputs.get("modality_logits") or {}, reduction)
        if outputs.get("ctc_logits") is not None:
            terms["ctc"] = _ctc(outputs, batch, reduction)
        return self._weighted(terms)

    @property
    def no_decay_no_clip_variables(self) -> list[tf.Variable]:
        """Learnable constants that weight decay and gradient clipping must leave alone."""
        return [
            *self.phoneme_terms.trainable_variables,
            *self.utterance_terms.trainable_variables,
        ]

    @property
    def bias_variables(self) -> list[tf.Variable]:
        """The SphereFace2 bias, which has its own learning rate."""
        classifier = self.keyword_classifier
        if classifier is None or classifier.bias is None or not classifier.trainable:
            return []
        return [classifier.bias]

    def constants(self) -> dict[str, tf.Tensor]:
        """What the learnable constants are now, as they act in the losses.

        Returns:
            alpha, beta and lambda [V], by phoneme class, where the loss has AdaMS;
            prototype_scale, infonce_scale and keyword_bias [], where they are learnt.
        """
        found, margins = {}, self.phoneme_terms.adaptive_margins
        if margins is not None and margins.trainable:
            classes = tf.range(self.settings["num_phoneme_classes"])
            found = dict(zip(("alpha", "beta", "lambda"), margins(classes), strict=True))
        for name in ("prototype_scale", "infonce_scale"):
            scale = getattr(self.utterance_terms, name)
            if scale.trainable:
                found[name] = scale(None)
        for bias in self.bias_variables:
            found["keyword_bias"] = tf.convert_to_tensor(bias)
        return found

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**self.settings, "name": self.name}

    def _monotonic(self, outputs, batch, reduction: Reduction) -> tf.Tensor:
        lengths = tf.repeat(batch["phoneme_lengths"], utterances_per_keyword(outputs))
        attention, frames = outputs["attention"], outputs["frame_lengths"]
        if self.settings["monotonic_kind"] == "diagonal":
            return reduction.mean(monotonic.diagonal_error(attention, lengths, frames))
        width = self.settings["monotonic_width"]
        losses = monotonic.monotonic_matching(attention, lengths, frames, width=width)
        return reduction.mean(losses)

    def _keyword(self, outputs, batch, margin_fraction, reduction: Reduction) -> tf.Tensor:
        audio, per_keyword = outputs["audio_utterance"], utterances_per_keyword(outputs)
        if self.keyword_classifier is not None:
            labels = tf.repeat(batch["keyword_labels"], per_keyword)
            losses = self.keyword_classifier(audio, labels, margin_fraction=margin_fraction)
            return reduction.mean(losses, labels >= 0)
        # The triplet needs no classes, so the texts themselves are its labels.
        labels = tf.repeat(reduction.gather(batch["text_ids"]), per_keyword)
        margin = self.settings["keyword_margin"]
        margin = KEYWORD_MARGINS["triplet"] if margin is None else margin
        losses = keyword.triplet(reduction.gather(audio), labels, margin=margin * margin_fraction)
        return reduction.gathered_mean(losses, labels >= 0)

    def _weighted(self, terms: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Add "total"; a term of weight 0 is cut from the gradient."""
        weights = {name: self.term_weights.get(name, 0.0) for name in terms}
        parts = [weights[name] * value for name, value in terms.items() if weights[name]]
        curves = {
            name: value if weights[name] else tf.stop_gradient(value)
            for name, value in terms.items()
        }
        return {**curves, "total": tf.add_n(parts) if parts else tf.zeros([], self.dtype)}


_NO_SETTING = ("self", "name", "__class__")


def _adversarial(logits: Mapping[str, tf.Tensor], reduction: Reduction) -> dict[str, tf.Tensor]:
    """adversarial_* and modality_accuracy_* of the levels that the model has."""
    terms = {}
    for level in ("phoneme", "utterance"):
        audio, text = logits.get(f"{level}_audio"), logits.get(f"{level}_text")
        if audio is not None:
            losses = adversarial.modality_cross_entropy(audio, text)
            terms[f"adversarial_{level}"] = reduction.mean(losses)
            right = adversarial.modality_accuracy(audio, text)
            terms[f"modality_accuracy_{level}"] = reduction.mean(right)
    return terms


def _ctc(outputs, batch, reduction: Reduction) -> tf.Tensor:
    per_keyword = utterances_per_keyword(outputs)
    losses = ctc.frame_ctc(
        outputs["ctc_logits"],
        outputs["frame_lengths"],
        tf.repeat(batch["phoneme_classes"], per_keyword, axis=0),
        tf.repeat(batch["phoneme_lengths"], per_keyword),
    )
    return reduction.mean(losses)


def _check_kinds(settings: Mapping[str, Any]) -> None:
    """Raise where a kind is unknown or a classifier has too few classes."""
    for key, known in (("keyword_kind", KEYWORD_KINDS), ("monotonic_kind", MONOTONIC_KINDS)):
        if settings[key] not in known:
            raise ValueError(
                f"TotalLoss: unknown {key}. Expected: one of {', '.join(known)}. "
                f"Received: {settings[key]!r}."
            )
    if settings["keyword_kind"] in WITH_CLASSES and settings["num_keyword_classes"] < 2:
        raise ValueError(
            f"TotalLoss: {settings['keyword_kind']} has no classes to tell apart. Expected: "
            f"num_keyword_classes >= 2. Received: {settings['num_keyword_classes']}. "
            "Give the number of classes, or keyword_kind='none'."
        )
