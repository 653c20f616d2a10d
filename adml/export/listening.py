"""What an exported acoustic encoder does for running audio: features once, spans of them often."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from adml.layers.spans import Spans


def listening(
    encoder: Callable, log_mel: Callable, frame_classifier: Callable | None
) -> tuple[Callable, Callable]:
    """Make the two functions of `ExportedAcoustic` that running audio is heard with.

    log_mel(waveform [B, T]): log_mel [B, F, M], not normalised, so that a frame depends on its own
    samples alone and stretches that overlap can share it.

    listen(log_mel [B, F, M], lengths [B], recordings [S], starts [S], frames [S]): the features are
    normalised over each stretch, the encoder hears it as a whole, and S spans of them are pooled:
    embedding [S, D] of unit length; phones [B, F, V + 1], log-probabilities under the frame
    classifier with the blank last, where there is one.

    Args:
        encoder: `AcousticEncoder`.
        log_mel: `LogMel`.
        frame_classifier: `FrameClassifier` or None.
    """
    raw = type(log_mel).from_config(log_mel.get_config() | {"mean_normalise": False})

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="waveform")])
    def plain_log_mel(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        lengths = tf.fill([tf.shape(waveform)[0]], tf.shape(waveform)[1])
        return {"log_mel": raw(waveform, lengths)[0]}

    names = ("lengths", "recordings", "starts", "frames")
    given = [tf.TensorSpec([None, None, log_mel.num_features], tf.float32, name="log_mel")]
    given += [tf.TensorSpec([None], tf.int32, name=name) for name in names]

    @tf.function(input_signature=given)
    def listen(log_mel, lengths, recordings, starts, frames) -> dict[str, tf.Tensor]:
        valid = tf.sequence_mask(lengths, tf.shape(log_mel)[1], dtype=tf.float32)[..., tf.newaxis]
        count = tf.maximum(tf.cast(lengths, tf.float32), 1.0)[:, tf.newaxis, tf.newaxis]
        mean = tf.reduce_sum(log_mel * valid, axis=1, keepdims=True) / count
        hidden, _ = encoder((log_mel - mean) * valid, lengths, training=False)
        pooled = encoder.pool(hidden, Spans(recordings, starts, frames))
        heard = {"embedding": tf.math.l2_normalize(tf.cast(pooled, tf.float32), axis=-1)}
        if frame_classifier is not None:
            heard["phones"] = tf.nn.log_softmax(tf.cast(frame_classifier(hidden), tf.float32))
        return heard

    return plain_log_mel, listen
