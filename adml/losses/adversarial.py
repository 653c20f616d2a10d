"""Modality adversarial loss: a classifier must tell audio from text embeddings."""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import at_least_float32

__all__ = ["AUDIO", "TEXT", "modality_accuracy", "modality_cross_entropy"]

AUDIO, TEXT = 0, 1


def modality_cross_entropy(logits_audio, logits_text) -> tf.Tensor:
    """Cross-entropy of both modalities, summed; chance is 2 ln 2.

        CE(M(a_i), audio) + CE(M(t_i), text)                                      (Eq. 4)

    The gradient reversal is in front of the classifier M, not here.

    Args:
        logits_audio: [P, 2] of the audio embeddings.
        logits_text: [P, 2] of the text embeddings.

    Returns:
        [P].

    Source:
        paper, section 3.3, Eq. 4 and 5.
    """
    return _cross_entropy(logits_audio, AUDIO) + _cross_entropy(logits_text, TEXT)


def modality_accuracy(logits_audio, logits_text) -> tf.Tensor:
    """Share of both modalities that the classifier tells right; chance is 0.5.

    Equal logits tell nothing and count as half right. To look at only: it has no gradient.

    Args:
        logits_audio: [P, 2] of the audio embeddings.
        logits_text: [P, 2] of the text embeddings.

    Returns:
        [P], from 0 to 1.
    """
    return (_right(logits_audio, AUDIO) + _right(logits_text, TEXT)) / 2


def _right(logits, modality: int) -> tf.Tensor:
    """1 where the own modality has the larger logit, 0 where the other has, [P]."""
    logits = tf.stop_gradient(at_least_float32(logits))
    return (tf.sign(logits[:, modality] - logits[:, 1 - modality]) + 1) / 2


def _cross_entropy(logits, modality: int) -> tf.Tensor:
    """-log softmax(logits)[modality], [P]."""
    logits = at_least_float32(logits)
    # Two classes: log(1 + exp(other - own)).
    return tf.nn.softplus(logits[:, 1 - modality] - logits[:, modality])
