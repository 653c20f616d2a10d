"""A pretrained speech embedding beside the mel features: the optional branch of PhonMatchNet."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from adml.audio.features import LogMel
from adml.errors import UsageError

WINDOW_SAMPLES, HOP_SAMPLES = 12400, 1280
"""775 ms seen by one embedding, 80 ms from one to the next, as of Google's speech embedding."""

_SIGNATURES = ("default", "serving_default")


class EmbeddedFeatures:
    """Front end that gives mel features and, behind them, a frozen pretrained embedding.

    The embedding of a window stands on the frames of the hop in the window's middle (chosen).

    Args:
        mel: the front end of the mel features, which gives the frames.
        folder: SavedModel with one signature, or one named default or serving_default, that
            takes a waveform [B, T] at 16 kHz and gives [B, R, ..., E], a row for each
            `HOP_SAMPLES` once `WINDOW_SAMPLES` are there.

    Raises:
        UsageError: the folder holds no such SavedModel.
    """

    def __init__(self, mel: LogMel, folder: str | Path):
        self.mel = mel
        self._loaded, self._signature = _load(Path(folder))
        self._waveform = next(iter(self._signature.structured_input_signature[1]))
        (shape,) = [output.shape for output in self._signature.structured_outputs.values()]
        self.embedding_width = int(shape[-1])
        self.settings = {**mel.settings, "speech_embedding": str(folder)}

    @property
    def num_features(self) -> int:
        """Width M + E of the features."""
        return self.mel.num_features + self.embedding_width

    def __call__(self, waveform: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute features.

        Args:
            waveform: float [B, T]; samples at or beyond `lengths` are not read.
            lengths: int [B].

        Returns:
            float32 [B, F, M + E], padded frames 0, and frame lengths int32 [B].
        """
        features, frame_lengths = self.mel(waveform, lengths)
        samples, frames = tf.shape(waveform)[1], tf.shape(features)[1]
        inside = tf.sequence_mask(lengths, samples, dtype=tf.float32)
        around = (WINDOW_SAMPLES - HOP_SAMPLES) // 2
        padded = tf.pad(waveform * inside, [[0, 0], [around, around + HOP_SAMPLES]])
        (rows,) = self._signature(**{self._waveform: padded}).values()
        count = 1 + samples // HOP_SAMPLES
        rows = tf.reshape(rows, [tf.shape(waveform)[0], count, self.embedding_width])
        middle = tf.range(frames) * self.mel.shift // HOP_SAMPLES
        embedded = tf.gather(rows, tf.minimum(middle, count - 1), axis=1)
        valid = tf.sequence_mask(frame_lengths, frames, dtype=tf.float32)
        embedded = tf.stop_gradient(embedded) * tf.expand_dims(valid, 2)
        return tf.concat([features, embedded], axis=2), frame_lengths


def _load(folder: Path):
    """The SavedModel, which must be kept alive, and its signature."""
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"There is no pretrained speech embedding in {folder}. Expected: the folder of a "
            "SavedModel. Fetch one, or leave the branch out."
        )
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UsageError(f"The SavedModel in {folder} cannot be loaded: {error}.") from error
    signatures = dict(loaded.signatures)
    named = [name for name in (*_SIGNATURES, *signatures) if name in signatures]
    found = signatures[named[0]] if named else None
    outputs = list(found.structured_outputs.values()) if found is not None else []
    inputs = list(found.structured_input_signature[1]) if found is not None else []
    if len(inputs) != 1 or len(outputs) != 1 or outputs[0].shape[-1] is None:
        raise UsageError(
            f"The SavedModel in {folder} is no speech embedding. Expected: a signature of one "
            "waveform that gives one tensor of a known last axis. "
            f"Received: signatures {', '.join(signatures) or 'none'}."
        )
    return loaded, found
