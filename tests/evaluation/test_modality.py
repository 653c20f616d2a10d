"""The suite of the two modalities: what is measured, on which rows, with what intervals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from adml.errors import DataError
from adml.evaluation import modality
from adml.evaluation.modality import aligner, evaluate_modality
from adml.layers.attention import CrossAttention
from adml.metrics import centroid_gap, mmd, retrieval
from adml.text.phonemes import to_ids

WORDS = ("alpha", "beta", "gamma", "eight", "ate")


def own_texts(toys, count=15, **changes):
    """Each clip against its own text; "eight" and "ate" sound alike."""
    clips = tuple(
        toys.Clip(f"{n}.wav", 0.0, 0.01 * (n % 4 + 1), WORDS[n % 5], WORDS[n % 5])
        for n in range(count)
    )
    values = {
        "protocol": "modality", "settings": {"seed": 2}, "clips": clips,
        "texts": WORDS, "pair_clip": np.arange(count),
        "pair_text": np.arange(count) % 5, "pair_label": np.ones(count, np.int8),
    }  # fmt: skip
    return toys.trials(**(values | changes))


def noise(path, start_s, end_s):
    generator = np.random.default_rng(int(path.split(".")[0]))
    return generator.normal(size=int(16_000 * (end_s - start_s))).astype(np.float32)


def toy_align(waveform, lengths, phonemes, phoneme_lengths):
    """Phonemes as (id, 1) and the audio's as (-id, 1), with rubbish on the padding."""
    ids = tf.cast(phonemes, tf.float32)
    ids = tf.where(tf.sequence_mask(phoneme_lengths, tf.shape(phonemes)[1]), ids, np.nan)
    ones = tf.ones_like(ids)
    return tf.stack([-ids, ones], axis=2), tf.stack([ids, ones], axis=2)


def test_figures_are_those_of_the_embeddings(embedder, toys):
    trials = own_texts(toys)
    result = evaluate_modality(embedder, trials, noise, toys.g2p, resamples=50)
    audio = embedder.audio([noise(*clip[:3]) for clip in trials.clips])
    text = embedder.phonemes([to_ids(toys.g2p(word)) for word in WORDS])
    sounds = np.array([0, 1, 2, 3, 3])
    own = np.arange(15) % 5
    figures = result.metrics["utterance"]
    assert set(result.metrics) == {"utterance"}
    values = {name: figure["value"] for name, figure in figures.items()}
    assert values["centroid_gap"] == pytest.approx(centroid_gap(audio, text[own]))
    scaled = centroid_gap(audio, text[own], scaled=True)
    assert values["centroid_gap_scaled"] == pytest.approx(scaled)
    assert values["mmd"] == pytest.approx(mmd(audio, text[own], sounds[own]))
    for name, value in retrieval(audio, text, sounds[own], sounds).items():
        assert values[name] == pytest.approx(value)
    for name in ("probe_accuracy", "mlp_probe_accuracy"):
        assert 0 <= values[name] <= 1
        assert figures[name]["low"] is None, "one text is tested on"
    drawn = [figure for name, figure in figures.items() if "probe" not in name]
    assert len(drawn) == 7 and all(figure["low"] <= figure["high"] for figure in drawn)
    counts = {name: figure["n"] for name, figure in figures.items()}
    assert counts["mmd"] == counts["audio_to_text_recall_1"] == 15
    assert counts["text_to_audio_recall_1"] == 5
    assert result.details["pairs"] == result.details["pairs_measured"] == 15
    again = evaluate_modality(embedder, trials, noise, toys.g2p, resamples=50)
    assert again.metrics == result.metrics
    trials.settings = {"seed": 3}
    other = evaluate_modality(embedder, trials, noise, toys.g2p, resamples=50)
    assert other.metrics["utterance"]["mmd"]["value"] == values["mmd"]
    assert other.metrics["utterance"]["mmd"]["low"] != figures["mmd"]["low"]


def test_phonemes_are_flattened_with_the_word_they_stand_in(embedder, toys):
    trials = own_texts(toys, count=6)
    result = evaluate_modality(embedder, trials, noise, toys.g2p, align=toy_align, resamples=0)
    spelled = [to_ids(toys.g2p(WORDS[n % 5])) for n in range(6)]
    text = np.array([[symbol, 1.0] for row in spelled for symbol in row])
    groups = [min(n % 5, 3) for n, row in enumerate(spelled) for _ in row]
    figures = result.metrics["phoneme"]
    assert set(figures) == {
        "centroid_gap", "centroid_gap_scaled", "mmd", "probe_accuracy", "mlp_probe_accuracy",
    }  # fmt: skip
    audio = text * [-1.0, 1.0]
    assert figures["mmd"]["value"] == pytest.approx(mmd(audio, text, groups), rel=1e-4)
    assert figures["centroid_gap"]["value"] == pytest.approx(centroid_gap(audio, text), rel=1e-5)
    assert figures["probe_accuracy"] == {
        "value": 1.0, "low": None, "high": None, "n": figures["probe_accuracy"]["n"],
    }  # fmt: skip
    assert result.details["phonemes_measured"] == figures["mmd"]["n"] == len(text) == 20


def test_long_lists_are_thinned_by_whole_clips(embedder, toys, monkeypatch):
    monkeypatch.setattr(modality, "_MOST_ROWS", 8)
    trials = own_texts(toys)
    heard = []

    def read(path, *span):
        heard.append(path)
        return noise(path, *span)

    result = evaluate_modality(embedder, trials, read, toys.g2p, align=toy_align, resamples=0)
    assert result.details["pairs"] == 15 and result.details["pairs_measured"] == 8
    assert result.details["phonemes_measured"] <= 8
    assert result.metrics["utterance"]["audio_to_text_recall_1"]["n"] == 15
    assert 15 < len(heard) <= 18, "only what is measured is read again"
    assert modality._thinned(np.array([3, 3, 3])).tolist() == [0, 2]
    assert modality._thinned(np.ones(5, int)).tolist() == [0, 1, 2, 3, 4]


def test_a_model_aligns_by_its_own_attention(toys):
    table = np.random.default_rng(3).normal(size=(2, 80, 4)).astype(np.float32)
    model = SimpleNamespace(
        acoustic=lambda features, lengths, training: (features * table[0, 0], None),
        text=lambda phonemes, lengths, training: (tf.gather(table[1], phonemes), None),
        attention=CrossAttention(4, "none"),
    )
    samples = np.repeat(np.float32([[0.5, -2.0, 1.0], [3.0, 0.25, 99.0]]), 10, axis=1)
    phonemes, counts = np.array([[3, 5, 9], [4, 7, 0]], np.int32), np.array([3, 2], np.int32)
    align = aligner(model, toys.log_mel)
    audio, text = align(samples, np.array([30, 20], np.int32), phonemes, counts)
    for row, frames in enumerate(([0.5, -2.0, 1.0], [3.0, 0.25])):
        frames = np.outer(frames, table[0, 0])
        for place in range(counts[row]):
            query = table[1][phonemes[row, place]]
            np.testing.assert_allclose(text[row, place], query, rtol=1e-6)
            weights = np.exp(frames @ query / 2)
            expected = weights / weights.sum() @ frames
            np.testing.assert_allclose(audio[row, place], expected, rtol=1e-4, atol=1e-5)
    model.attention = None
    assert aligner(model, toys.log_mel) is None


def test_what_cannot_be_measured_is_named(embedder, toys):
    alike = own_texts(toys, pair_text=np.full(15, 3))
    with pytest.raises(DataError, match="sound alike.*Received: 'eight' only"):
        evaluate_modality(embedder, alike, noise, toys.g2p)
    empty = own_texts(toys, pair_label=np.zeros(15, np.int8))
    with pytest.raises(DataError, match="'toy' is empty"):
        evaluate_modality(embedder, empty, noise, toys.g2p)
    strange = own_texts(toys, texts=("alpha", "beta", "x", "y", "z"), pair_text=np.full(15, 3))
    with pytest.raises(DataError, match="No pair of 'toy' can be scored"):
        evaluate_modality(embedder, strange, noise, toys.g2p)


def test_bad_clips_and_texts_are_set_aside(embedder, toys):
    trials = own_texts(toys, texts=("alpha", "beta", "gamma", "x", "ate"))
    trials.clips = (toys.Clip("bad.wav", 0.0, 1.0, "alpha", "alpha"), *trials.clips[1:])

    def read(path, *span):
        return toys.read(path, *span) if path.startswith("bad") else noise(path, *span)

    result = evaluate_modality(embedder, trials, read, toys.g2p, align=toy_align, resamples=0)
    assert result.details["clips_set_aside"] == result.details["texts_set_aside"] == 1
    assert result.details["pairs"] == 11
