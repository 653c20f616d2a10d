"""InfoNCE in two forms: `clat` on phoneme pairs, `infonce` on utterances against keywords."""

from __future__ import annotations

import tensorflow as tf

from adml.numerics.similarity import cosine_similarity, matching

__all__ = ["clat", "infonce"]


def clat(text, audio, labels, *, temperature=0.07) -> tf.Tensor:
    """Contrastive phoneme loss: row i of text and row i of audio are the pair.

        (CE(text i -> audio) + CE(audio i -> text)) / 2,  logits = S / temperature

    Columns of the pair's own label, other than the pair itself, leave the denominator (chosen).

    Args:
        text: [P, D].
        audio: [P, D].
        labels: [P] integers; negative = neither anchor nor candidate.
        temperature: > 0.

    Returns:
        [P].
    """
    logits = cosine_similarity(text, audio)
    logits = logits / matching(temperature, logits)
    labels = tf.convert_to_tensor(labels)
    kept = (labels[:, tf.newaxis] != labels[tf.newaxis, :]) & (labels >= 0)[tf.newaxis, :]
    kept = tf.linalg.set_diag(kept, tf.ones_like(labels, tf.bool))
    pair = tf.linalg.diag_part(logits)
    to_audio = _masked_log_sum_exp(logits, kept, axis=1) - pair
    kept_columns = tf.transpose(kept)
    to_text = _masked_log_sum_exp(logits, kept_columns, axis=0) - pair
    losses = (to_audio + to_text) / 2
    return tf.where(labels >= 0, losses, tf.zeros_like(losses))


def infonce(
    audio, text, keyword_index, text_ids, *, scale=20.0, distractors=None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Symmetric InfoNCE of utterances and keywords, several utterances to a keyword.

        audio -> text: -log softmax_k(s S(a_b, t_k))[keyword of b]
        text -> audio: mean over the utterances b of k of -log softmax_b(s S(a_b, t_k))[b]

    Keywords of the same text elsewhere in the batch are masked out of both denominators;
    distractors stand in that of text -> audio, for every keyword.

    Args:
        audio: [B, D].
        text: [K, D].
        keyword_index: [B] integers in [0, K), each utterance's keyword.
        text_ids: [K] integers, equal for equal texts.
        scale: s, a scalar.
        distractors: [N, D], audio that says none of the keywords; None: there is none.

    Returns:
        [B] audio -> text, and [K] text -> audio (0 for a keyword without utterances).
    """
    logits = cosine_similarity(audio, text)
    scale = matching(scale, logits)
    logits = scale * logits
    keywords = tf.range(tf.shape(logits)[1], dtype=keyword_index.dtype)
    own = keyword_index[:, tf.newaxis] == keywords[tf.newaxis, :]
    other_text = tf.gather(text_ids, keyword_index)[:, tf.newaxis] != text_ids[tf.newaxis, :]
    kept = own | other_text
    target = tf.gather(logits, keyword_index, axis=1, batch_dims=1)
    to_text = _masked_log_sum_exp(logits, kept, axis=1) - target
    heard = _masked_log_sum_exp(logits, kept, axis=0)
    if distractors is not None:
        others = tf.reduce_logsumexp(scale * cosine_similarity(distractors, text), axis=0)
        heard = tf.reduce_logsumexp(tf.stack([heard, others]), axis=0)
    columns = tf.gather(heard, keyword_index)
    # A segment mean: 0 where a keyword has no utterance.
    to_audio = tf.math.unsorted_segment_mean(columns - target, keyword_index, tf.shape(logits)[1])
    return to_text, to_audio


def _masked_log_sum_exp(logits: tf.Tensor, mask: tf.Tensor, *, axis: int) -> tf.Tensor:
    """Log of the sum of exp over the mask; very low, and finite, where it is empty."""
    lowest = tf.constant(-1e30, logits.dtype)
    return tf.reduce_logsumexp(tf.where(mask, logits, lowest), axis=axis)
