"""Log-mel features: one Keras layer for training and export, and its NumPy twin.

Paper, section 4.1: 40 log-mel coefficients, 25 ms windows, 10 ms shift, mean normalisation over
the utterance. The paper is silent on the rest; chosen: periodic Hann window, power spectrum of a
512-point FFT, HTK mel scale from 20 to 7600 Hz, natural logarithm, floor 1e-5.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from adml.errors import UsageError

SAMPLE_RATE_HZ = 16000
WINDOW_MS = 25.0
SHIFT_MS = 10.0
MEL_BINS = 40
LOW_HZ = 20.0
HIGH_HZ = 7600.0
FFT_SIZE = 512
# Added to every mel power. White noise of -73 dBFS has about this power in the lowest bin: digital
# silence becomes log(1e-5) = -11.5, and differences far below -60 dBFS are not blown up.
FLOOR = 1e-5
COMPRESSIONS = ("log", "power")


def mel_matrix(
    mel_bins: int = MEL_BINS,
    fft_size: int = FFT_SIZE,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    low_hz: float = LOW_HZ,
    high_hz: float = HIGH_HZ,
) -> np.ndarray:
    """Triangular filters, equally spaced and linear on the HTK scale m = 1127 ln(1 + f / 700).

    Args:
        mel_bins: number of filters, M.
        fft_size: points of the FFT.
        sample_rate_hz: sampling rate.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter.

    Returns:
        float64 [fft_size // 2 + 1, M]; the row of 0 Hz is zero.

    Raises:
        UsageError: an edge lies outside 0 .. sample_rate_hz / 2, or a filter holds no FFT bin.
    """
    if not 0 <= low_hz < high_hz <= sample_rate_hz / 2:
        raise UsageError(
            f"The mel filters have impossible edges. Expected: 0 <= low_hz < high_hz <= "
            f"{sample_rate_hz / 2:g}. Received: low_hz={low_hz:g}, high_hz={high_hz:g}."
        )

    def to_mel(frequency_hz):
        return 1127.0 * np.log1p(np.asarray(frequency_hz, dtype=np.float64) / 700.0)

    bins = to_mel(np.arange(fft_size // 2 + 1) * (sample_rate_hz / fft_size))[:, np.newaxis]
    edges = np.linspace(to_mel(low_hz), to_mel(high_hz), mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    if not np.all(weights.sum(axis=0) > 0):
        raise UsageError(
            f"Some mel filters hold no FFT bin. Expected: fewer mel_bins or a longer fft_size. "
            f"Received: mel_bins={mel_bins}, fft_size={fft_size}."
        )
    return weights


def hann_window(size: int) -> np.ndarray:
    """Periodic Hann window, w[n] = 0.5 - 0.5 cos(2 pi n / size).

    Args:
        size: samples.

    Returns:
        float64 [size].
    """
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)


def frame_count(samples: int, window: int, shift: int) -> int:
    """Number of frames, max(1, 1 + floor((T - window) / shift)); a short clip is padded to one.

    Args:
        samples: T.
        window: samples of a window.
        shift: samples between two windows.

    Returns:
        F.
    """
    return max(1, 1 + (samples - window) // shift)


@keras.saving.register_keras_serializable(package="adml")
class LogMel(keras.layers.Layer):
    """Waveform to mean-normalised log-mel features, always in float32.

    For frame f, log(floor + sum_k |FFT(window * x_f)[k]|^2 mel[k, m]), less its mean over the valid
    frames of the utterance. A frame depends on the samples of its own utterance alone.

    With compression "power", p = floor + sum_k ... itself, over its mean over the valid frames,
    less 1 (chosen: as the mean of the logarithms does, this takes out level and channel, without
    which the loudest utterance of a batch would leave nothing of the others under a batch norm).

    Args:
        sample_rate_hz: sampling rate of the waveform.
        window_ms, shift_ms: length and distance of the windows.
        mel_bins: M.
        low_hz, high_hz: outer edges of the mel filters (chosen).
        fft_size: points of the FFT, at least a window.
        floor: added to every mel power, chosen.
        mean_normalise: subtract the mean over valid frames.
        compression: "log" or "power".

    Raises:
        UsageError: the settings contradict each other.
    """

    def __init__(
        self,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        window_ms: float = WINDOW_MS,
        shift_ms: float = SHIFT_MS,
        mel_bins: int = MEL_BINS,
        low_hz: float = LOW_HZ,
        high_hz: float = HIGH_HZ,
        fft_size: int = FFT_SIZE,
        floor: float = FLOOR,
        mean_normalise: bool = True,
        compression: str = "log",
        dtype: str = "float32",
        **kwargs,
    ):
        super().__init__(trainable=kwargs.pop("trainable", False), dtype=dtype, **kwargs)
        self.window = round(sample_rate_hz * window_ms / 1000)
        self.shift = round(sample_rate_hz * shift_ms / 1000)
        if not 0 < self.shift <= self.window <= fft_size or floor <= 0:
            raise UsageError(
                f"The features' settings contradict each other. Expected: 0 < shift <= window <= "
                f"fft_size and floor > 0. Received: shift={self.shift} samples, "
                f"window={self.window} samples, fft_size={fft_size}, floor={floor}."
            )
        if compression not in COMPRESSIONS:
            raise UsageError(
                f"Unknown compression of the features. Expected: one of {', '.join(COMPRESSIONS)}. "
                f"Received: {compression!r}."
            )
        self.settings = {
            "sample_rate_hz": sample_rate_hz,
            "window_ms": window_ms,
            "shift_ms": shift_ms,
            "mel_bins": mel_bins,
            "low_hz": low_hz,
            "high_hz": high_hz,
            "fft_size": fft_size,
            "floor": floor,
            "mean_normalise": mean_normalise,
            "compression": compression,
        }
        self.mel = mel_matrix(mel_bins, fft_size, sample_rate_hz, low_hz, high_hz)
        self.taper = hann_window(self.window)

    def call(self, waveform: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute features.

        Args:
            waveform: float [B, T]; samples at or beyond `lengths` are not read.
            lengths: int32 [B], valid samples.

        Returns:
            features float32 [B, F, M], padded frames 0; frame lengths int32 [B].
        """
        lengths = tf.cast(lengths, tf.int32)
        waveform = tf.cast(waveform, tf.float32)
        waveform = tf.where(tf.sequence_mask(lengths, tf.shape(waveform)[1]), waveform, 0.0)
        frame_lengths = tf.maximum(1, 1 + (lengths - self.window) // self.shift)
        spectrum = tf.signal.rfft(self._windows(waveform), [self.settings["fft_size"]])
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        mel = tf.constant(self.mel, tf.float32)
        features = tf.matmul(power, mel) + self.settings["floor"]
        if self.settings["compression"] == "log":
            features = tf.math.log(features)
        valid = tf.sequence_mask(frame_lengths, tf.shape(features)[1], dtype=tf.float32)
        valid = tf.expand_dims(valid, 2)
        if self.settings["mean_normalise"]:
            total = tf.reduce_sum(features * valid, axis=1, keepdims=True)
            count = tf.cast(tf.reshape(frame_lengths, [-1, 1, 1]), tf.float32)
            mean = total / count
            logarithmic = self.settings["compression"] == "log"
            features = features - mean if logarithmic else features / mean - 1.0
        return features * valid, frame_lengths

    @property
    def num_features(self) -> int:
        """Width M of the features."""
        return self.settings["mel_bins"]

    def _windows(self, waveform: tf.Tensor) -> tf.Tensor:
        """Overlapping tapered windows padded to the FFT: [B, T] -> [B, F, fft_size].

        Slices of whole shifts are set side by side: one copy, where tf.signal.frame gathers.
        """
        batch, samples = tf.shape(waveform)[0], tf.shape(waveform)[1]
        frames = tf.maximum(1, 1 + (samples - self.window) // self.shift)
        pieces = -(-self.window // self.shift)
        needed = (frames + pieces - 1) * self.shift
        waveform = tf.pad(waveform, [[0, 0], [0, tf.maximum(0, needed - samples)]])
        blocks = tf.reshape(waveform[:, :needed], [batch, frames + pieces - 1, self.shift])
        taper = np.zeros(pieces * self.shift, np.float32)
        taper[: self.window] = self.taper
        columns = []
        for piece in range(pieces):
            width = min(self.shift, self.window - piece * self.shift)
            part = taper[piece * self.shift : piece * self.shift + width]
            columns.append(blocks[:, piece : piece + frames, :width] * part)
        padding = self.settings["fft_size"] - self.window
        columns.append(tf.zeros([batch, frames, padding], tf.float32))
        windows = tf.concat(columns, axis=2)
        windows.set_shape([None, None, self.settings["fft_size"]])
        return windows

    def get_config(self) -> dict:
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), **self.settings}


def log_mel(
    waveform: np.ndarray,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    window_ms: float = WINDOW_MS,
    shift_ms: float = SHIFT_MS,
    mel_bins: int = MEL_BINS,
    low_hz: float = LOW_HZ,
    high_hz: float = HIGH_HZ,
    fft_size: int = FFT_SIZE,
    floor: float = FLOOR,
    mean_normalise: bool = True,
    compression: str = "log",
) -> np.ndarray:
    """NumPy twin of `LogMel` for one utterance, in float64; the reference of the tests.

    Args:
        waveform: [T] samples.
        sample_rate_hz, window_ms, shift_ms, mel_bins, low_hz, high_hz, fft_size, floor,
            mean_normalise, compression: as in `LogMel`.

    Returns:
        float64 [F, M].
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    window = round(sample_rate_hz * window_ms / 1000)
    shift = round(sample_rate_hz * shift_ms / 1000)
    waveform = np.pad(waveform, (0, max(0, window - len(waveform))))
    starts = np.arange(frame_count(len(waveform), window, shift)) * shift
    windows = waveform[starts[:, np.newaxis] + np.arange(window)] * hann_window(window)
    power = np.abs(np.fft.rfft(windows, fft_size)) ** 2
    features = power @ mel_matrix(mel_bins, fft_size, sample_rate_hz, low_hz, high_hz) + floor
    if compression == "power":
        return features / features.mean(axis=0) - 1 if mean_normalise else features
    features = np.log(features)
    return features - features.mean(axis=0) if mean_normalise else features


def mask_spans(features: tf.Tensor, time_masks: tf.Tensor, frequency_masks: tf.Tensor) -> tf.Tensor:
    """Set spans of frames and of mel bins to 0, the mean of normalised features.

    Args:
        features: float [B, F, M].
        time_masks: int32 [B, n, 2], (first frame, width); width 0 masks nothing.
        frequency_masks: int32 [B, n, 2], (first bin, width).

    Returns:
        float [B, F, M].
    """
    shape = tf.shape(features)
    frames = _outside(time_masks, shape[1], features.dtype)
    bins = _outside(frequency_masks, shape[2], features.dtype)
    return features * tf.expand_dims(frames, 2) * tf.expand_dims(bins, 1)


def _outside(spans: tf.Tensor, size: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """1 at positions in no span, 0 inside: int32 [B, n, 2] -> [B, size]."""
    first, width = spans[:, :, :1], spans[:, :, 1:]
    position = tf.range(size)
    inside = tf.logical_and(position >= first, position < first + width)
    return tf.cast(tf.logical_not(tf.reduce_any(inside, axis=1)), dtype)
