"""The pretrained speech embedding beside the mel features, with a stand-in for its SavedModel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.audio.pretrained import HOP_SAMPLES, WINDOW_SAMPLES, EmbeddedFeatures
from adml.errors import UsageError


class Windows(tf.Module):
    """Gives each window's mean and its middle sample."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def __call__(self, waveform):
        windows = tf.signal.frame(waveform, WINDOW_SAMPLES, HOP_SAMPLES)
        middle = windows[..., WINDOW_SAMPLES // 2]
        rows = tf.stack([tf.reduce_mean(windows, -1), middle], -1)[:, :, tf.newaxis]
        return tf.ensure_shape(rows, [None, None, 1, 2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, module = tmp_path_factory.mktemp("embedding"), Windows()
    tf.saved_model.save(module, str(path), signatures={"default": module.__call__})
    return path


def test_embeddings_stand_on_the_frames_in_their_middle(folder):
    front_end = EmbeddedFeatures(LogMel(compression="power"), folder)
    assert front_end.num_features == 42 and front_end.embedding_width == 2
    ramp = np.arange(8000, dtype=np.float32) / 8000
    features, lengths = front_end(ramp[None], np.array([8000]))
    assert features.shape == (1, int(lengths[0]), 42)
    for frame in range(int(lengths[0])):
        middle = frame * 160 // HOP_SAMPLES * HOP_SAMPLES + HOP_SAMPLES // 2
        expected = ramp[middle] if middle < 8000 else 0
        assert float(features[0, frame, 41]) == pytest.approx(expected)
        assert abs(middle - frame * 160) <= HOP_SAMPLES


def test_neighbours_and_padding_change_nothing(folder):
    front_end = EmbeddedFeatures(LogMel(), folder)
    rng = np.random.default_rng(0)
    short = rng.normal(size=2000).astype(np.float32)
    alone, count = front_end(short[None], np.array([2000]))
    both = rng.normal(size=(2, 9000)).astype(np.float32)
    both[0, :2000] = short
    together, counts = front_end(both, np.array([2000, 9000]))
    assert counts[0] == count[0]
    np.testing.assert_allclose(together[0, : int(count[0])], alone[0], atol=1e-5)
    assert not np.any(together[0, int(count[0]) :])


def test_what_is_no_embedding_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no pretrained speech embedding in .*missing"):
        EmbeddedFeatures(LogMel(), tmp_path / "missing")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="is no speech embedding.*signatures none"):
        EmbeddedFeatures(LogMel(), tmp_path / "empty")
