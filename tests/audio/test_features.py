"""The feature layer against its NumPy twin and loops written from the description."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from adml.audio.features import FLOOR, LogMel, frame_count, log_mel, mask_spans, mel_matrix
from adml.errors import UsageError


def _speechlike(samples: int, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding pitch with a syllable's envelope, over noise of -60 dBFS."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * time_s)) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = np.maximum(0, np.sin(2 * np.pi * 3 * time_s + seed))
    return (0.1 * voice * envelope + 1e-3 * rng.standard_normal(samples)).astype(np.float32)


@pytest.fixture(scope="module")
def layer() -> LogMel:
    return LogMel()


def _one(layer: LogMel, waveform: np.ndarray) -> np.ndarray:
    features, lengths = layer(waveform[np.newaxis], np.array([len(waveform)], np.int32))
    assert features.shape[1] == lengths[0]
    return features[0].numpy()


def test_mel_filters_are_triangles_on_the_htk_scale():
    weights = mel_matrix(40, 512, 16000, 20.0, 7600.0)
    low, high = 2595 * math.log10(1 + 20 / 700), 2595 * math.log10(1 + 7600 / 700)
    for bin_number in (3, 50, 200):
        mel = 2595 * math.log10(1 + bin_number * 31.25 / 700)
        for filter_number in range(40):
            step = (high - low) / 41
            centre = low + (filter_number + 1) * step
            expected = max(0.0, 1 - abs(mel - centre) / step)
            assert weights[bin_number, filter_number] == pytest.approx(expected, abs=2e-4)
    assert np.all(weights[0] == 0) and np.all(weights[244:] == 0)


def test_twin_equals_a_loop_over_the_definition():
    waveform = _speechlike(720).astype(np.float64)
    mel = mel_matrix()
    expected = np.zeros((3, 40))
    for frame in range(3):
        power = np.zeros(257)
        for k in range(257):
            total = 0j
            for n in range(400):
                taper = 0.5 - 0.5 * math.cos(2 * math.pi * n / 400)
                angle = -2 * math.pi * k * n / 512
                sample = waveform[frame * 160 + n] * taper
                total += sample * complex(math.cos(angle), math.sin(angle))
            power[k] = abs(total) ** 2
        expected[frame] = [math.log(FLOOR + float(power @ mel[:, m])) for m in range(40)]
    np.testing.assert_allclose(log_mel(waveform, mean_normalise=False), expected, atol=1e-9)
    np.testing.assert_allclose(log_mel(waveform), expected - expected.mean(0), atol=1e-9)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 559, 560, 16000, 19333])
def test_layer_equals_twin(layer, samples):
    waveform = _speechlike(samples)
    expected = log_mel(waveform)
    actual = _one(layer, waveform)
    assert actual.shape == expected.shape == (frame_count(samples, 400, 160), 40)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_layer_equals_twin_with_other_settings():
    settings = {
        "sample_rate_hz": 8000,
        "window_ms": 32,
        "shift_ms": 12.5,
        "mel_bins": 24,
        "low_hz": 50,
        "high_hz": 3800,
        "fft_size": 256,
        "floor": 1e-4,
        "mean_normalise": False,
    }
    waveform = _speechlike(5000)
    actual = _one(LogMel(**settings), waveform)
    np.testing.assert_allclose(actual, log_mel(waveform, **settings), atol=1e-4)


def test_real_speech_equals_twin(layer, speech_root):
    soundfile = pytest.importorskip("soundfile")
    for path in sorted((speech_root / "librispeech_dev" / "audio").rglob("*.opus"))[:3]:
        waveform = soundfile.read(path, dtype="float32")[0][:48000]
        np.testing.assert_allclose(_one(layer, waveform), log_mel(waveform), atol=2e-4)
        error = np.abs(_one(layer, waveform) - log_mel(waveform))
        assert np.quantile(error, 0.999) < 1e-4


def test_neighbours_padding_and_batch_size_change_nothing(layer):
    clips = [_speechlike(n, seed) for seed, n in enumerate((300, 4000, 16000, 19200))]
    batch = np.zeros((4, 20800), np.float32)
    for row, clip in zip(batch, clips, strict=False):
        row[: len(clip)] = clip
    lengths = np.array([len(clip) for clip in clips], np.int32)
    features, frame_lengths = layer(batch, lengths)
    assert features.shape == (4, 1 + (20800 - 400) // 160, 40)
    for clip, row, frames in zip(clips, features.numpy(), frame_lengths.numpy(), strict=False):
        np.testing.assert_allclose(row[:frames], _one(layer, clip), atol=1e-5)
        assert np.all(row[frames:] == 0)


def test_samples_beyond_the_length_are_not_read(layer):
    waveform = np.stack([_speechlike(8000)] * 2)
    waveform[1, 300:] = np.nan
    features, lengths = layer(waveform, np.array([8000, 300], np.int32))
    assert lengths.numpy().tolist() == [48, 1]
    assert np.all(np.isfinite(features.numpy()))


def test_silence_is_finite_and_noise_of_minus_60_decibels_stays_calm(layer):
    assert np.all(_one(layer, np.zeros(16000, np.float32)) == 0)
    rng = np.random.default_rng(0)
    speech = _speechlike(16000)
    quiet = np.zeros(8000, np.float32)
    noisy = (1e-3 * rng.standard_normal(8000)).astype(np.float32)
    plain = LogMel(mean_normalise=False)
    loudest = _one(plain, speech).max()
    assert _one(plain, quiet) == pytest.approx(math.log(FLOOR), abs=1e-5)
    assert _one(plain, noisy).mean() < loudest - 7
    assert _one(plain, noisy).mean() > math.log(FLOOR) + 2


def test_mean_over_valid_frames_is_zero(layer):
    waveform = np.zeros((1, 32000), np.float32)
    waveform[0, :16000] = _speechlike(16000)
    features, lengths = layer(waveform, np.array([16000], np.int32))
    assert np.abs(features[0, : lengths[0]].numpy().mean(axis=0)).max() < 1e-4


def test_gain_is_taken_out_by_the_mean():
    waveform = _speechlike(16000)
    exact = LogMel(floor=1e-12)
    np.testing.assert_allclose(_one(exact, waveform), _one(exact, 0.25 * waveform), atol=5e-4)


def test_graph_saved_model_and_config_keep_the_result(layer, tmp_path):
    waveform = np.stack([_speechlike(8000, 1), _speechlike(8000, 2)])
    lengths = np.array([8000, 5000], np.int32)
    expected = layer(waveform, lengths)[0].numpy()

    class Front(tf.Module):
        def __init__(self):
            super().__init__()
            self.log_mel = LogMel.from_config(layer.get_config())

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)
            ]
        )  # fmt: skip
        def features(self, waveform, lengths):
            values, frames = self.log_mel(waveform, lengths)
            return {"features": values, "lengths": frames}

    front = Front()
    np.testing.assert_allclose(front.features(waveform, lengths)["features"], expected, atol=1e-6)
    tf.saved_model.save(front, str(tmp_path / "front"))
    loaded = tf.saved_model.load(str(tmp_path / "front"))
    result = loaded.features(waveform, lengths)
    np.testing.assert_allclose(result["features"], expected, atol=1e-6)
    short = loaded.features(waveform[:1, :100], np.array([100], np.int32))
    assert short["features"].shape == (1, 1, 40)


def test_stays_in_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        waveform = _speechlike(4000)
        features = LogMel()(waveform[np.newaxis], np.array([4000], np.int32))[0]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert features.dtype == tf.float32
    np.testing.assert_allclose(features[0], log_mel(waveform), atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"fft_size": 256}, {"shift_ms": 30}, {"shift_ms": 0}, {"floor": 0}, {"high_hz": 9000},
     {"mel_bins": 400}, {"low_hz": 8000}],
)  # fmt: skip
def test_contradicting_settings_are_refused(settings):
    with pytest.raises(UsageError, match="Expected: .*Received: "):
        LogMel(**settings)


def test_masks_are_spans_of_zero():
    features = tf.ones([2, 6, 5])
    time_masks = tf.constant([[[1, 2], [5, 9]], [[0, 0], [3, 0]]])
    frequency_masks = tf.constant([[[0, 0], [0, 0]], [[4, 1], [0, 2]]])
    masked = mask_spans(features, time_masks, frequency_masks).numpy()
    assert masked[0].tolist() == [[1] * 5, [0] * 5, [0] * 5, [1] * 5, [1] * 5, [0] * 5]
    assert masked[1].tolist() == [[0, 0, 1, 1, 0]] * 6


def test_no_masks_at_all_change_nothing():
    features = tf.random.stateless_normal([3, 4, 5], [1, 2])
    none = tf.zeros([3, 0, 2], tf.int32)
    np.testing.assert_array_equal(mask_spans(features, none, none), features)


def test_power_is_over_its_mean():
    layer = LogMel(compression="power")
    waveform = _speechlike(4000)
    features = _one(layer, waveform)
    power = np.exp(log_mel(waveform, mean_normalise=False))
    np.testing.assert_allclose(features, power / power.mean(0) - 1, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(features, log_mel(waveform, compression="power"), atol=1e-3)
    np.testing.assert_allclose(_one(layer, 5 * waveform), features, rtol=2e-2, atol=2e-2)
    both, lengths = layer(
        np.stack([waveform, np.pad(waveform[:1500], (0, 2500))]), np.array([4000, 1500], np.int32)
    )
    np.testing.assert_allclose(both[1, : lengths[1]], _one(layer, waveform[:1500]), atol=1e-4)
    assert not np.any(_one(layer, np.zeros(900, np.float32)))


def test_unknown_compression():
    with pytest.raises(UsageError, match="compression.*log, power.*'root'"):
        LogMel(compression="root")
