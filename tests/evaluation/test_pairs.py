"""Fused pairs: a score is that of the pair alone, whatever its batch; suites as with cosines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from adml.errors import DataError, NumericError
from adml.evaluation import pairs
from adml.evaluation.pairs import PairScorer
from adml.evaluation.suites import evaluate_trials
from adml.models.cmcd import CMCD
from adml.models.phonmatchnet import PhonMatchNet
from adml.text.phonemes import to_ids

RNG = np.random.default_rng(5)
WIDTH = 6


class ToyPairs:
    """Every second frame and every phoneme as a vector; the logit is the best match, averaged.

    Padding holds ones wherever the model may write it, so that a scorer which ignores lengths
    is found out.
    """

    pairwise = True

    def __init__(self):
        generator = np.random.default_rng(2)
        self.frames = tf.constant(generator.normal(size=(1, WIDTH)), tf.float32)
        self.table = tf.constant(generator.normal(size=(80, WIDTH)), tf.float32)
        self.encoded = {"audio": 0, "text": 0, "read": 0}
        self.sizes = []

    def encode_audio(self, features, frame_lengths):
        self._count("audio", features)
        lengths = (frame_lengths + 1) // 2
        frames = tf.sin(features[:, ::2] @ self.frames)
        valid = tf.sequence_mask(lengths, tf.shape(frames)[1])[:, :, tf.newaxis]
        return tf.where(valid, frames, 1.0), lengths

    def encode_text(self, phonemes, lengths):
        self._count("text", phonemes)
        valid = tf.sequence_mask(lengths, tf.shape(phonemes)[1])[:, :, tf.newaxis]
        return tf.where(valid, tf.gather(self.table, phonemes), 1.0)

    def read_audio(self, audio, audio_lengths):
        self._count("read", audio)
        return {"frames": audio, "lengths": audio_lengths}

    def fuse(self, memory, text, text_lengths):
        frames = memory["frames"]
        tf.py_function(
            lambda *shapes: self.sizes.append([s.numpy() for s in shapes]),
            [tf.shape(frames), tf.shape(text)],
            [],
        )
        products = text @ tf.transpose(frames, [0, 2, 1])
        heard = tf.sequence_mask(memory["lengths"], tf.shape(frames)[1])[:, tf.newaxis]
        best = tf.reduce_max(tf.where(heard, products, -1e9), axis=2)
        said = tf.sequence_mask(text_lengths, tf.shape(text)[1], dtype=tf.float32)
        mean = tf.reduce_sum(best * said, axis=1) / tf.cast(text_lengths, tf.float32)
        return {"utterance_logit": mean}

    def _count(self, name, batch):
        def add(count):
            self.encoded[name] += int(count)

        tf.py_function(add, [tf.shape(batch)[0]], [])

    def by_hand(self, clip, ids):
        """The logit of one pair in float64 loops; `toy_log_mel` averages ten samples a frame."""
        frames = -(-len(clip) // 10)
        samples = np.zeros(frames * 10)
        samples[: len(clip)] = clip
        means = samples.reshape(frames, 10).mean(axis=1)[::2]
        audio = [np.sin(mean * self.frames.numpy()[0].astype(float)) for mean in means]
        text = [self.table.numpy()[symbol].astype(float) for symbol in ids]
        return np.mean([max(float(t @ a) for a in audio) for t in text])


@pytest.fixture(scope="module")
def model():
    return ToyPairs()


@pytest.fixture
def scorer(model, toys):
    return PairScorer(model, toys.log_mel, progress=False)


def noise_trials(toys, **changes):
    """Twelve clips of three words, of different lengths; their samples follow from their names."""
    clips = tuple(
        toys.Clip(f"{n}.wav", 0.0, 0.01 * (n + 1), ("alpha", "eight", "gamma")[n % 3], f"s{n % 4}")
        for n in range(12)
    )
    grid = np.array([(c, t) for c in range(12) for t in range(3)])
    values = {
        "clips": clips, "texts": ("alpha", "eight", "gamma"), "pair_clip": grid[:, 0],
        "pair_text": grid[:, 1], "pair_label": (grid[:, 0] % 3 == grid[:, 1]).astype(np.int8),
    }  # fmt: skip
    return toys.trials(**(values | changes))


def noise(path, start_s, end_s):
    generator = np.random.default_rng(int(path.split(".")[0]))
    return generator.normal(size=int(16_000 * (end_s - start_s))).astype(np.float32)


def test_scores_are_those_of_each_pair_alone(scorer, model, toys, monkeypatch):
    trials = noise_trials(toys)
    wanted = [
        model.by_hand(noise(*trials.clips[c][:3]), to_ids(toys.g2p(trials.texts[t])))
        for c, t in zip(trials.pair_clip, trials.pair_text, strict=True)
    ]
    for positions, count in ((65_536, 1), (300, 10)):
        monkeypatch.setattr(pairs, "_POSITIONS_AT_ONCE", positions)
        model.encoded.update(audio=0, text=0, read=0)
        model.sizes.clear()
        result = evaluate_trials(scorer, trials, noise, toys.g2p, score=scorer, resamples=20)
        np.testing.assert_allclose(result.scores, wanted, atol=1e-5)
        read = model.encoded["read"]
        assert (model.encoded["audio"], model.encoded["text"]) == (12, 3), "each of them once"
        assert read == 12 if count == 1 else 12 < read < 36
        assert len(model.sizes) >= count
        assert all(a[0] * (a[1] + t[1]) <= positions for a, t in model.sizes if a[0] > 1)
    assert 0 <= result.metrics["all"]["average_precision"]["value"] <= 1


@pytest.mark.parametrize("kind", [CMCD, PhonMatchNet])
def test_baselines_judge_a_pair_alike_in_every_batch(kind, toys, monkeypatch):
    """Against `match` on the pair alone, which knows no padding and no clip shared by pairs."""
    model = kind(mel_bins=1, width=8)
    monkeypatch.setattr(pairs, "_POSITIONS_AT_ONCE", 500)
    scorer = PairScorer(model, toys.log_mel, progress=False)
    samples = [noise(f"{n}.wav", 0.0, 0.01 * (n + 1)) for n in range(5)]
    spelled = [[3, 9, 1, 1, 20, 7], [5], [4, 4, 60]]
    test = SimpleNamespace(audio=scorer.audio(samples), text=scorer.phonemes(spelled))
    clips, texts = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    scores = scorer(test, clips, texts)
    assert np.std(scores) > 1e-4
    for clip, text in ((0, 0), (3, 1), (4, 2)):
        features, length = toys.log_mel(
            tf.constant(samples[clip][np.newaxis]), tf.constant([len(samples[clip])])
        )
        heard = model.encode_audio(features, length)
        ids, count = tf.constant([spelled[text]]), tf.constant([len(spelled[text])])
        alone = model.match(*heard, model.encode_text(ids, count), count)["utterance_logit"]
        assert scores[3 * clip + text] == pytest.approx(float(alone[0]), abs=1e-5)


def test_a_classification_takes_the_best_logit(scorer, model, toys):
    trials = noise_trials(toys, protocol="classification")
    result = evaluate_trials(scorer, trials, noise, toys.g2p, score=scorer, resamples=0)
    rows = [to_ids(toys.g2p(text)) for text in trials.texts]
    chosen = [np.argmax([model.by_hand(noise(*c[:3]), row) for row in rows]) for c in trials.clips]
    expected = np.zeros((3, 3), int)
    np.add.at(expected, ([n % 3 for n in range(12)], chosen), 1)
    assert result.confusions.tolist() == expected.tolist()


def test_bad_clips_and_texts_are_set_aside_as_for_two_encoders(scorer, embedder, toys):
    trials = noise_trials(toys, texts=("alpha", "zzz", "gamma"))
    trials.clips = (toys.Clip("bad.wav", 0.0, 1.0, "alpha", "s0"), *trials.clips[1:])

    def read(path, *span):
        return toys.read(path, *span) if path.startswith("bad") else noise(path, *span)

    fused = evaluate_trials(scorer, trials, read, toys.g2p, score=scorer, resamples=0)
    dual = evaluate_trials(embedder, trials, read, toys.g2p, resamples=0)
    assert fused.details == dual.details and fused.details["trials_scored"] == 22
    assert fused.details["clips_set_aside"] == fused.details["texts_set_aside"] == 1
    assert np.isfinite(fused.scores).all()


def test_batches_hold_every_pair_once_and_little(monkeypatch):
    monkeypatch.setattr(pairs, "_POSITIONS_AT_ONCE", 400)
    monkeypatch.setattr(pairs, "_CELLS_AT_ONCE", 10_000)
    frames, phonemes = RNG.integers(1, 120, size=40), RNG.integers(1, 15, size=30)
    clips, texts = RNG.integers(40, size=300), RNG.integers(30, size=300)
    sequences = [
        np.array([np.zeros((n, 1)) for n in lengths] + [None], object)
        for lengths in (frames, phonemes)
    ]
    test = SimpleNamespace(audio=sequences[0], text=sequences[1])
    parts = list(pairs._pair_batches(test, clips, texts))
    assert sorted(np.concatenate(parts)) == list(range(300))
    for part in parts:
        heard, said = frames[clips[part]], phonemes[texts[part]]
        width = heard.max() + said.max()
        assert len(part) == 1 or (len(part) * width <= 400 and len(part) * width**2 <= 10_000)
        assert np.ptp(heard) < 40
    frames[0], pair = 900, np.zeros(1, int)
    sequences[0][0] = np.zeros((900, 1))
    assert [len(part) for part in pairs._pair_batches(test, pair, pair)] == [1]


def test_bad_input_and_a_broken_encoder_are_named(scorer, toys):
    with pytest.raises(DataError, match="Clip 0.*at least one sample"):
        scorer.audio([np.zeros(0, np.float32)])
    with pytest.raises(DataError, match="Text 1 cannot be embedded"):
        scorer.phonemes([[3], [0]])

    class Broken(ToyPairs):
        def encode_text(self, phonemes, lengths):
            rows = super().encode_text(phonemes, lengths)
            return tf.where(phonemes[:, :1, tf.newaxis] == 7, np.float32(np.nan), rows)

    with pytest.raises(
        NumericError, match="text encoder.* 1 of 2 items, the first of them number 1"
    ):
        PairScorer(Broken(), toys.log_mel, progress=False).phonemes([[3], [7]])
