"""The utterance and the phoneme branch of the objective: gathered, paired and reduced terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from adml.losses import contrastive, proxy, relational
from adml.losses.layers import AdaptiveMargins, LearnableScale
from adml.losses.reduction import Reduction
from adml.numerics import ragged

__all__ = ["PHONEME_KINDS", "PhonemeTerms", "UtteranceTerms", "utterances_per_keyword"]

PHONEME_KINDS = ("asyp", "proxy_bd", "proxy_ms", "clat", "none")
WITH_MARGINS = ("asyp", "proxy_bd", "proxy_ms")


def utterances_per_keyword(outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """M = B / K, the utterances of each keyword, from the model's outputs."""
    return tf.shape(outputs["audio_utterance"])[0] // tf.shape(outputs["text_utterance"])[0]


class UtteranceTerms(keras.layers.Layer):
    """The terms of L_utt: AsyP on words, the relational proxy terms, and InfoNCE.

    Args:
        alpha, beta, margin: AsyP on words.
        prototype_scale, infonce_scale: initial values; learnable where the term is.
        learn_prototype, learn_infonce: whether the term has a weight.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 40.0,
        margin: float = 0.5,
        prototype_scale: float = 20.0,
        infonce_scale: float = 20.0,
        learn_prototype: bool = True,
        learn_infonce: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.settings = {
            "alpha": alpha,
            "beta": beta,
            "margin": margin,
            "prototype_scale": prototype_scale,
            "infonce_scale": infonce_scale,
            "learn_prototype": learn_prototype,
            "learn_infonce": learn_infonce,
        }
        self.prototype_scale = LearnableScale(
            prototype_scale, name="prototype_scale", trainable=learn_prototype, dtype=self.dtype
        )
        self.infonce_scale = LearnableScale(
            infonce_scale, name="infonce_scale", trainable=learn_infonce, dtype=self.dtype
        )

    def call(self, outputs, batch, reduction: Reduction) -> dict[str, tf.Tensor]:
        """Return the terms; see `TotalLoss.call`."""
        per_keyword = utterances_per_keyword(outputs)
        audio = reduction.gather(outputs["audio_utterance"])
        text = reduction.gather(outputs["text_utterance"])
        text_ids = reduction.gather(batch["text_ids"])
        index = tf.range(tf.shape(audio)[0]) // per_keyword
        centres = relational.prototypes(audio, index, tf.shape(text)[0])
        prototype = relational.prototype(audio, text, index, scale=self.prototype_scale(None))
        return {
            "utterance_asyp": self._asyp(audio, text, text_ids, index, reduction),
            "rpl_distance": reduction.share(relational.distance(text, centres)),
            "rpl_angle": reduction.share(relational.angle(text, centres)),
            "rpl_prototype": reduction.share(tf.reduce_mean(prototype)),
            "utterance_infonce": self._infonce(
                audio, text, text_ids, index, reduction, outputs.get("audio_distractors")
            ),
        }

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.settings}

    def _asyp(self, audio, text, text_ids, index, reduction) -> tf.Tensor:
        audio_ids = tf.gather(text_ids, index)
        positive, negative, _ = proxy.asyp_terms(
            text,
            audio,
            text_ids,
            alpha=self.settings["alpha"],
            beta=self.settings["beta"],
            margin=self.settings["margin"],
            audio_labels=audio_ids,
        )
        return reduction.proxy_mean(positive, negative, text_ids, audio_ids)

    def _infonce(self, audio, text, text_ids, index, reduction, distractors) -> tf.Tensor:
        if distractors is not None:
            distractors = reduction.gather(distractors)
        scale = self.infonce_scale(None)
        to_text, to_audio = contrastive.infonce(
            audio, text, index, text_ids, scale=scale, distractors=distractors
        )
        return reduction.share((tf.reduce_mean(to_text) + tf.reduce_mean(to_audio)) / 2)


class PhonemeTerms(keras.layers.Layer):
    """The term L_phn on the flattened phonemes of the batch.

    The text tower gives one row for each keyword, so each text phoneme stands for the same
    number of audio phonemes, and the proxy losses need it only once.

    Args:
        kind: one of PHONEME_KINDS.
        num_classes: V, for AdaMS.
        alpha, beta, margin: constants, or with adams initial values by class.
        adams: whether they are learnt (with the kinds that have them).
        parametrisation: of AdaMS.
        temperature: of clat.
    """

    def __init__(
        self,
        kind: str = "asyp",
        num_classes: int = 39,
        alpha: float = 0.01,
        beta: float = 1.5,
        margin: float = 0.01,
        adams: bool = True,
        parametrisation: str = "clamp",
        temperature: float = 0.07,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.settings = {
            "kind": kind,
            "num_classes": num_classes,
            "alpha": alpha,
            "beta": beta,
            "margin": margin,
            "adams": adams,
            "parametrisation": parametrisation,
            "temperature": temperature,
        }
        if kind not in PHONEME_KINDS:
            raise ValueError(
                f"PhonemeTerms: unknown kind. Expected: one of {', '.join(PHONEME_KINDS)}. "
                f"Received: {kind!r}."
            )
        self.adaptive_margins = None
        if adams and kind in WITH_MARGINS:
            self.adaptive_margins = AdaptiveMargins(
                num_classes, alpha, beta, margin, parametrisation, name="adaptive_margins",
                trainable=self.trainable, dtype=self.dtype,
            )  # fmt: skip

    def call(self, outputs, batch, reduction: Reduction) -> dict[str, tf.Tensor]:
        """Return "phoneme" and, for AsyP, "phoneme_centred"; see `TotalLoss.call`."""
        kind, per_keyword = self.settings["kind"], utterances_per_keyword(outputs)
        if kind == "none":
            return {}
        audio, audio_labels = _flat(outputs["audio_phonemes"], batch, per_keyword, reduction)
        if kind == "clat":
            # The only kind that needs the pairs: the text is repeated for each utterance.
            repeated = tf.repeat(outputs["text_phonemes"], per_keyword, axis=0)
            text, labels = _flat(repeated, batch, per_keyword, reduction)
            temperature = self.settings["temperature"]
            losses = contrastive.clat(text, audio, labels, temperature=temperature)
            return {"phoneme": reduction.gathered_mean(losses, labels >= 0)}
        text, labels = _flat(outputs["text_phonemes"], batch, 1, reduction)
        if kind == "asyp":
            return self._asyp(text, labels, audio, audio_labels, reduction)
        alpha, beta, margin = self._margins(labels)
        function = proxy.proxy_bd if kind == "proxy_bd" else proxy.proxy_ms
        losses = function(
            text, audio, labels, alpha=alpha, beta=beta, margin=margin, audio_labels=audio_labels
        )
        return {"phoneme": reduction.gathered_mean(losses, proxy.counted_anchors(labels))}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.settings}

    def _asyp(self, text, labels, audio, audio_labels, reduction) -> dict[str, tf.Tensor]:
        alpha, _, margin = self._margins(labels)
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

    def _margins(self, labels: tf.Tensor) -> tuple[Any, Any, Any]:
        """(alpha, beta, margin) of the anchors: learnt by class, or the constants."""
        if self.adaptive_margins is not None:
            return self.adaptive_margins(labels)
        return tuple(self.settings[key] for key in ("alpha", "beta", "margin"))


def _flat(values, batch, repeats, reduction: Reduction) -> tuple[tf.Tensor, tf.Tensor]:
    """Flattened, gathered phoneme embeddings [P, D] and their classes [P]."""
    lengths = tf.repeat(batch["phoneme_lengths"], repeats)
    classes = tf.repeat(batch["phoneme_classes"], repeats, axis=0)
    labels = ragged.flatten(classes[:, : tf.shape(values)[1]], lengths)
    return reduction.gather(ragged.flatten(values, lengths)), reduction.gather(labels)
