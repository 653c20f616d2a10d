"""The weighted total of all loss terms: the only place where losses are weighted and reduced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from adml.losses import adversarial, contrastive, ctc, keyword, monotonic, proxy, relational
from adml.losses.layers import KEYWORD_MARGINS, AdaptiveMargins, KeywordClassifier, LearnableScale
from adml.losses.reduction import Reduction
from adml.numerics import ragged

__all__ = ["TotalLoss"]

PHONEME_KINDS = ("asyp", "proxy_bd", "proxy_ms", "clat", "none")
KEYWORD_KINDS = ("sphereface2", "aam_softmax", "triplet", "none")
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
        phoneme_kind: one of PHONEME_KINDS; phoneme_alpha, _beta, _margin: its constants, or
            with adams (which goes with "asyp", "proxy_bd" and "proxy_ms") their initial values.
        keyword_kind: one of KEYWORD_KINDS; keyword_margin None: the default of the kind.
        keyword_initial_margin_fraction: share of the margin at the first step (see
            `KeywordClassifier`).
        monotonic_kind: one of MONOTONIC_KINDS; monotonic_width: g of the first.
    """

    def __init__(
        self,
        *,
        num_phoneme_classes: int = 39,
        num_keyword_classes: int = 0,
        embedding_dim: int = 256,
        utterance_asyp_weight: float = 1.0,
        utterance_alpha: float = 2.0,
        utterance_beta: float = 40.0,
        utterance_margin: float = 0.5,
        rpl_distance_weight: float = 1.0,
        rpl_angle_weight: float = 2.0,
        rpl_prototype_weight: float = 1.0,
        prototype_scale: float = 20.0,
        utterance_infonce_weight: float = 0.0,
        infonce_scale: float = 20.0,
        phoneme_weight: float = 0.1,
        phoneme_kind: str = "asyp",
        phoneme_alpha: float = 0.01,
        phoneme_beta: float = 1.5,
        phoneme_margin: float = 0.01,
        adams: bool = True,
        adams_parametrisation: str = "clamp",
        clat_temperature: float = 0.07,
        monotonic_weight: float = 1.0,
        monotonic_kind: str = "guided",
        monotonic_width: float = 0.2,
        keyword_weight: float = 1.0,
        keyword_kind: str = "sphereface2",
        keyword_scale: float = 32.0,
        keyword_margin: float | None = None,
        keyword_exponent: float = 3.0,
        keyword_balance: float = 0.7,
        keyword_variant: str = "C",
        keyword_initial_margin_fraction: float = 1.0,
        adversarial_phoneme_weight: float = 1.0,
        adversarial_utterance_weight: float = 1.0,
        ctc_weight: float = 0.0,
        name: str = "total_loss",
    ) -> None:
        settings = {key: value for key, value in locals().items() if key not in _NOT_SETTINGS}
        super().__init__(name=name, dtype="float32", autocast=False)
        _check_kinds(settings)
        self.settings = settings
        self.weights_of_terms = {
            key.removesuffix("_weight"): float(value)
            for key, value in settings.items()
            if key.endswith("_weight")
        }
        self.prototype_scale = LearnableScale(prototype_scale, name="prototype_scale")
        self.infonce_scale = LearnableScale(infonce_scale, name="infonce_scale")
        self.adaptive_margins = self._make_adaptive_margins()
        self.keyword_classifier = self._make_keyword_classifier()

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
                frame_lengths [B], modality_logits, ctc_logits; absent or None without the branch.
            batch: phoneme_classes [K, L], phoneme_lengths [K], text_ids [K], keyword_labels [K].
                Utterance b belongs to keyword b // (B // K).
            margin_fraction: share of the keyword margin in force.
            scope: "global": pairs form across replicas and the gradients, summed over replicas,
                are those of one replica on the whole batch. "replica": the mean of the
                replicas' own losses.
            training: unused.

        Returns:
            Term name -> scalar; "total" is the weighted sum. `phoneme_centred` is AsyP without
            its label-count constant, to look at only.
        """
        reduction = Reduction(scope)
        terms = self._utterance_terms(outputs, batch, reduction)
        if outputs.get("audio_phonemes") is not None:
            terms |= self._phoneme_terms(outputs, batch, reduction)
        if outputs.get("attention") is not None:
            terms["monotonic"] = self._monotonic_term(outputs, batch, reduction)
        if self.settings["keyword_kind"] != "none":
            terms["keyword"] = self._keyword_term(outputs, batch, margin_fraction, reduction)
        terms |= self._adversarial_terms(outputs.get("modality_logits") or {}, reduction)
        if outputs.get("ctc_logits") is not None:
            terms["ctc"] = self._ctc_term(outputs, batch, reduction)
        return self._weighted(terms)

    @property
    def no_decay_no_clip_variables(self) -> list[tf.Variable]:
        """Learnable constants that weight decay and gradient clipping must leave alone."""
        layers = (self.adaptive_margins, self.prototype_scale, self.infonce_scale)
        return [v for layer in layers if layer is not None for v in layer.trainable_variables]

    @property
    def bias_variables(self) -> list[tf.Variable]:
        """The SphereFace2 bias, which has its own learning rate."""
        classifier = self.keyword_classifier
        return [] if classifier is None or classifier.bias is None else [classifier.bias]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**self.settings, "name": self.name}

    def _utterance_terms(self, outputs, batch, reduction) -> dict[str, tf.Tensor]:
        """utterance_asyp, rpl_* and utterance_infonce, on the words of the batch."""
        settings = self.settings
        per_keyword = _utterances_per_keyword(outputs)
        audio = reduction.gather(outputs["audio_utterance"])
        text = reduction.gather(outputs["text_utterance"])
        text_ids = reduction.gather(batch["text_ids"])
        audio_ids = tf.repeat(text_ids, per_keyword)
        index = tf.range(tf.shape(audio)[0]) // per_keyword
        centres = relational.prototypes(audio, index, tf.shape(text)[0])
        asyp = proxy.asyp_terms(
            text,
            audio,
            text_ids,
            alpha=settings["utterance_alpha"],
            beta=settings["utterance_beta"],
            margin=settings["utterance_margin"],
            audio_labels=audio_ids,
        )
        prototype = relational.prototype(audio, text, index, scale=self.prototype_scale(None))
        to_text, to_audio = contrastive.infonce(
            audio, text, index, text_ids, scale=self.infonce_scale(None)
        )
        return {
            "utterance_asyp": reduction.proxy_mean(asyp[0], asyp[1], text_ids, audio_ids),
            "rpl_distance": reduction.share(relational.distance(text, centres)),
            "rpl_angle": reduction.share(relational.angle(text, centres)),
            "rpl_prototype": reduction.share(tf.reduce_mean(prototype)),
            "utterance_infonce": reduction.share(
                (tf.reduce_mean(to_text) + tf.reduce_mean(to_audio)) / 2
            ),
        }

    def _phoneme_terms(self, outputs, batch, reduction) -> dict[str, tf.Tensor]:
        """phoneme, and for AsyP phoneme_centred, on the flattened phonemes of the batch."""
        kind = self.settings["phoneme_kind"]
        if kind == "none":
            return {}
        if kind == "clat":
            return {"phoneme": self._clat_term(outputs, batch, reduction)}
        text, labels = _flat_phonemes(outputs["text_phonemes"], batch, 1, reduction)
        per_keyword = _utterances_per_keyword(outputs)
        audio, audio_labels = _flat_phonemes(
            outputs["audio_phonemes"], batch, per_keyword, reduction
        )
        alpha, beta, margin = self._margins(labels)
        if kind != "asyp":
            function = proxy.proxy_bd if kind == "proxy_bd" else proxy.proxy_ms
            losses = function(
                text,
                audio,
                labels,
                alpha=alpha,
                beta=beta,
                margin=margin,
                audio_labels=audio_labels,
            )
            return {"phoneme": reduction.gathered_mean(losses, proxy.counted_anchors(labels))}
        _, audio_beta, audio_margin = self._margins(audio_labels)
        positive, negative, centred = proxy.asyp_terms(
            text,
            audio,
            labels,
            alpha=alpha,
            beta=audio_beta,
            margin=margin,
            audio_labels=audio_labels,
            audio_margin=audio_margin,
        )
        return {
            "phoneme": reduction.proxy_mean(positive, negative, labels, audio_labels),
            "phoneme_centred": tf.stop_gradient(
                reduction.proxy_mean(centred, negative, labels, audio_labels)
            ),
        }

    def _clat_term(self, outputs, batch, reduction) -> tf.Tensor:
        """clat needs the pairs: the text is repeated for each utterance."""
        per_keyword = _utterances_per_keyword(outputs)
        repeated = tf.repeat(outputs["text_phonemes"], per_keyword, axis=0)
        text, labels = _flat_phonemes(repeated, batch, per_keyword, reduction)
        audio, _ = _flat_phonemes(outputs["audio_phonemes"], batch, per_keyword, reduction)
        losses = contrastive.clat(
            text, audio, labels, temperature=self.settings["clat_temperature"]
        )
        return reduction.gathered_mean(losses, labels >= 0)

    def _monotonic_term(self, outputs, batch, reduction) -> tf.Tensor:
        lengths = tf.repeat(batch["phoneme_lengths"], _utterances_per_keyword(outputs))
        attention, frames = outputs["attention"], outputs["frame_lengths"]
        if self.settings["monotonic_kind"] == "diagonal":
            return reduction.mean(monotonic.diagonal_error(attention, lengths, frames))
        width = self.settings["monotonic_width"]
        losses = monotonic.monotonic_matching(attention, lengths, frames, width=width)
        return reduction.mean(losses)

    def _keyword_term(self, outputs, batch, margin_fraction, reduction) -> tf.Tensor:
        audio, per_keyword = outputs["audio_utterance"], _utterances_per_keyword(outputs)
        if self.keyword_classifier is None:
            audio = reduction.gather(audio)
            labels = tf.repeat(reduction.gather(batch["text_ids"]), per_keyword)
            margin = self.settings["keyword_margin"]
            margin = KEYWORD_MARGINS["triplet"] if margin is None else margin
            losses = keyword.triplet(audio, labels, margin=margin * margin_fraction)
            return reduction.gathered_mean(losses, labels >= 0)
        labels = tf.repeat(batch["keyword_labels"], per_keyword)
        losses = self.keyword_classifier(audio, labels, margin_fraction=margin_fraction)
        return reduction.mean(losses, labels >= 0)

    def _adversarial_terms(self, logits, reduction) -> dict[str, tf.Tensor]:
        """adversarial_phoneme and adversarial_utterance, where the model has them."""
        terms = {}
        for level in ("phoneme", "utterance"):
            if logits.get(f"{level}_audio") is not None:
                losses = adversarial.modality_cross_entropy(
                    logits[f"{level}_audio"], logits[f"{level}_text"]
                )
                terms[f"adversarial_{level}"] = reduction.mean(losses)
        return terms

    def _ctc_term(self, outputs, batch, reduction) -> tf.Tensor:
        per_keyword = _utterances_per_keyword(outputs)
        losses = ctc.frame_ctc(
            outputs["ctc_logits"],
            outputs["frame_lengths"],
            tf.repeat(batch["phoneme_classes"], per_keyword, axis=0),
            tf.repeat(batch["phoneme_lengths"], per_keyword),
        )
        return reduction.mean(losses)

    def _weighted(self, terms: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Add "total"; a term of weight 0 is cut from the gradient."""
        weights = {name: self.weights_of_terms.get(name, 0.0) for name in terms}
        parts = [weights[name] * value for name, value in terms.items() if weights[name]]
        total = tf.add_n(parts) if parts else tf.zeros([], tf.float32)
        curves = {
            name: value if weights[name] else tf.stop_gradient(value)
            for name, value in terms.items()
        }
        return {**curves, "total": total}

    def _margins(self, labels) -> tuple[Any, Any, Any]:
        """(alpha, beta, margin) of the phoneme anchors: learnt by class, or the constants."""
        if self.adaptive_margins is not None:
            return self.adaptive_margins(labels)
        return tuple(self.settings[f"phoneme_{key}"] for key in ("alpha", "beta", "margin"))

    def _make_adaptive_margins(self) -> AdaptiveMargins | None:
        settings = self.settings
        if not settings["adams"] or settings["phoneme_kind"] in ("clat", "none"):
            return None
        return AdaptiveMargins(
            settings["num_phoneme_classes"],
            alpha=settings["phoneme_alpha"],
            beta=settings["phoneme_beta"],
            margin=settings["phoneme_margin"],
            parametrisation=settings["adams_parametrisation"],
            name="adaptive_margins",
        )

    def _make_keyword_classifier(self) -> KeywordClassifier | None:
        settings = self.settings
        if settings["keyword_kind"] not in ("sphereface2", "aam_softmax"):
            return None
        return KeywordClassifier(
            settings["num_keyword_classes"],
            settings["embedding_dim"],
            kind=settings["keyword_kind"],
            scale=settings["keyword_scale"],
            margin=settings["keyword_margin"],
            exponent=settings["keyword_exponent"],
            balance=settings["keyword_balance"],
            variant=settings["keyword_variant"],
            initial_margin_fraction=settings["keyword_initial_margin_fraction"],
            name="keyword_classifier",
        )


_NOT_SETTINGS = ("self", "name", "__class__")


def _check_kinds(settings: Mapping[str, Any]) -> None:
    """Raise where a kind is unknown or the classifier has no classes."""
    kinds = {
        "phoneme_kind": PHONEME_KINDS,
        "keyword_kind": KEYWORD_KINDS,
        "monotonic_kind": MONOTONIC_KINDS,
    }
    for key, known in kinds.items():
        if settings[key] not in known:
            raise ValueError(
                f"TotalLoss: unknown {key}. Expected: one of {', '.join(known)}. "
                f"Received: {settings[key]!r}."
            )
    needs_classes = settings["keyword_kind"] in ("sphereface2", "aam_softmax")
    if needs_classes and settings["num_keyword_classes"] < 2:
        raise ValueError(
            f"TotalLoss: {settings['keyword_kind']} has no classes to tell apart. Expected: "
            f"num_keyword_classes >= 2. Received: {settings['num_keyword_classes']}. "
            "Give the number of classes, or keyword_kind='none'."
        )


def _utterances_per_keyword(outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """M = B / K."""
    return tf.shape(outputs["audio_utterance"])[0] // tf.shape(outputs["text_utterance"])[0]


def _flat_phonemes(values, batch, repeats, reduction) -> tuple[tf.Tensor, tf.Tensor]:
    """Flattened, gathered phoneme embeddings [P, D] and their classes [P]."""
    lengths = tf.repeat(batch["phoneme_lengths"], repeats)
    classes = tf.repeat(batch["phoneme_classes"], repeats, axis=0)
    width = tf.shape(values)[1]
    labels = ragged.flatten(classes[:, :width], lengths)
    return reduction.gather(ragged.flatten(values, lengths)), reduction.gather(labels)
