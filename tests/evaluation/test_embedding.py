import numpy as np
import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.errors import DataError, NumericError
from adml.evaluation.embedding import Embedder, padded_phonemes, padded_samples
from adml.models.acoustic import AcousticEncoder
from adml.models.text import TextEncoder


def clips_of(lengths, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=length).astype(np.float32) for length in lengths]


def test_ladder_holds_every_length_with_few_rungs():
    rungs = {padded_samples(length) for length in range(1, 160_001, 7)}
    assert all(rung % 1600 == 0 for rung in rungs)
    assert all(padded_samples(length) >= length for length in range(1, 50_000, 13))
    assert len(rungs) < 35
    assert padded_samples(1) == padded_samples(1600) == 1600
    assert [padded_phonemes(length) for length in (1, 4, 5)] == [4, 4, 8]


def test_rows_come_back_in_order_and_of_unit_length(embedder, toys):
    lengths = [500, 16_000, 3000, 1600, 1601, 40_000, 3]
    clips = clips_of(lengths)
    embedded = embedder.audio(clips)
    assert embedded.shape == (7, 8) and embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1.0, atol=1e-6)
    for clip, row in zip(clips, embedded, strict=True):
        frames = -(-len(clip) // 10)
        means = np.zeros(frames * 10, np.float64)
        means[: len(clip)] = clip
        expected = np.array([means.mean(), 1.0]) @ toys.Acoustic().weights.numpy().astype(float)
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-5)


def test_neighbours_and_batch_size_change_nothing(embedder, toys):
    clips = clips_of([900, 5000, 5100, 20_000, 1600])
    alone = np.concatenate([embedder.audio([clip]) for clip in clips])
    small = Embedder(
        toys.Acoustic(), toys.Text(), toys.log_mel, max_batch_items=2, max_batch_samples=1,
        progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(embedder.audio(clips), alone, atol=1e-6)
    np.testing.assert_allclose(small.audio(clips), alone, atol=1e-6)
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [4]]
    embedded = embedder.phonemes(rows)
    np.testing.assert_array_equal(embedded[1], embedded[3])
    np.testing.assert_allclose(embedded[2:3], small.phonemes(rows[2:3]), atol=1e-6)


def test_neighbours_change_nothing_with_encoders_of_full_size():
    """From the waveform on; the moving averages are away from 0 and 1."""
    acoustic, text = AcousticEncoder(), TextEncoder()
    features = tf.random.stateless_normal([4, 30, 40], [1, 2])
    acoustic(features, tf.constant([30, 20, 9, 4]), training=True)
    embedder = Embedder(acoustic, text, LogMel(), progress=False)
    clips, rows = clips_of([900, 3000, 7000, 1600]), [[3, 9, 4, 4, 1], [7], [2, 5]]
    alone = np.concatenate([embedder.audio([clip]) for clip in clips])
    np.testing.assert_allclose(embedder.audio(clips), alone, atol=1e-6)
    alone = np.concatenate([embedder.phonemes([row]) for row in rows])
    np.testing.assert_allclose(embedder.phonemes(rows), alone, atol=1e-6)


def test_batches_stay_within_the_sample_limit(toys):
    shapes = []

    def log_mel(waveform, lengths):
        tf.py_function(lambda shape: shapes.append(tuple(shape.numpy())), [tf.shape(waveform)], [])
        return toys.log_mel(waveform, lengths)

    embedder = Embedder(
        toys.Acoustic(), toys.Text(), log_mel, max_batch_samples=8000, progress=False
    )
    embedder.audio(clips_of([1600] * 12 + [3000] * 3 + [30_000]))
    assert max(rows * width for rows, width in shapes if rows > 1) <= 8000
    assert sum(rows for rows, _ in shapes) == 16
    assert shapes[0][1] >= 30_000


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no clips"),
        ([np.zeros(0, np.float32)], "Clip 0.*at least one sample"),
        ([np.ones(5, np.float32), np.ones((2, 5), np.float32)], "Clip 1.*shape"),
        ([np.ones(5, np.int16)], "int16"),
        ([np.array([0.0, np.nan], np.float32)], "NaN"),
    ],
)
def test_bad_clips_are_named(embedder, clips, message):
    with pytest.raises(DataError, match=message):
        embedder.audio(clips)


@pytest.mark.parametrize("rows", [[], [[]], [[3, 0]]])
def test_bad_texts_are_named(embedder, rows):
    with pytest.raises(DataError, match="Expected: at least one"):
        embedder.phonemes(rows)


def test_an_embedding_that_is_not_finite_is_an_error(toys):
    def broken(phonemes, lengths, training):
        vectors, utterance = toys.Text()(phonemes, lengths, training)
        return vectors, tf.where(phonemes[:, :1] == 7, np.float32(np.nan), utterance)

    embedder = Embedder(toys.Acoustic(), broken, toys.log_mel, progress=False)
    with pytest.raises(
        NumericError, match="text encoder.* 1 of 2 items, the first of them number 1"
    ):
        embedder.phonemes([[3], [7]])
