"""From a configuration to objects: every choice reaches what it is meant for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from adml.audio import features
from adml.build.data import build_segments_of, build_source, held_out_speakers, set_path
from adml.build.model import build_log_mel, build_losses, build_model, build_strategy
from adml.build.training import build_training
from adml.build.trials import build_trials, chosen_trials, write_trials
from adml.config import TrialsConfig, load_config
from adml.config_checks import LONGEST_WINDOW_MS, SAMPLE_RATE_HZ
from adml.errors import ConfigError, DataError
from adml.text.g2p import G2P

pytestmark = pytest.mark.usefixtures("thin_encoders")


@pytest.fixture(scope="module")
def tiny(tiny_overrides):
    """Makes the tiny configuration with some more overrides."""
    return lambda *more: load_config(None, [*tiny_overrides, *more])


@pytest.fixture(scope="module")
def g2p():
    return G2P()


def test_strategy_has_the_replicas_asked_for(two_devices):
    assert build_strategy(1).num_replicas_in_sync == 1
    mirrored = build_strategy(2)
    assert isinstance(mirrored, tf.distribute.MirroredStrategy)
    assert mirrored.num_replicas_in_sync == 2
    with pytest.raises(ConfigError, match="training.replicas.*Received: 99"):
        build_strategy(99)


@pytest.fixture(scope="module")
def two_devices():
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPU devices")


def test_every_replica_has_a_keyword(tiny, speech_cache, g2p, two_devices, monkeypatch):
    strategy = build_strategy(2)
    monkeypatch.setattr(type(strategy), "num_replicas_in_sync", 5)
    monkeypatch.setattr("adml.build.training.build_strategy", lambda replicas: strategy)
    with pytest.raises(ConfigError, match="batches.keywords.*Expected: at least 5.*Received: 4"):
        build_training(tiny(), speech_cache, g2p)


def test_features_reach_the_front_end():
    log_mel = build_log_mel(load_config(None, ["features.mel_bins=24", "features.shift_ms=20"]))
    features, frames = log_mel(tf.zeros([1, 16000]), tf.constant([16000]))
    assert features.shape[-1] == 24
    assert int(frames[0]) == 1 + (16000 - 400) // 320


def test_what_the_features_have_built_in_is_what_the_configuration_refuses():
    assert SAMPLE_RATE_HZ == features.SAMPLE_RATE_HZ
    assert LONGEST_WINDOW_MS == 1000 * features.FFT_SIZE / SAMPLE_RATE_HZ
    longest = load_config(None, [f"features.window_ms={LONGEST_WINDOW_MS}"])
    assert build_log_mel(longest).window == features.FFT_SIZE
    with pytest.raises(ConfigError, match="features.mel_bins.*mel_bins=250"):
        build_log_mel(load_config(None, ["features.mel_bins=250"]))


def test_masks_are_of_the_frames_and_bins_of_the_features(tiny, speech_cache, g2p):
    changed = ["features.window_ms=32", "features.shift_ms=20", "features.mel_bins=24"]
    masks = ["augmentation.time_masks=1", "augmentation.time_mask_frames=100"]
    config = tiny(*changed, *masks, "augmentation.frequency_mask_bins=40")
    cutter = build_source(config, speech_cache, g2p).cutter
    lengths = np.full(300, 16000)
    over_time, over_bins = cutter.masks(np.random.default_rng(0), lengths)
    _, frames = build_log_mel(config)(tf.zeros([1, 16000]), tf.constant([16000]))
    assert over_time.sum(2).max() == int(frames[0]) == 1 + (16000 - 512) // 320
    assert over_bins.sum(2).max() == 24


@pytest.mark.parametrize(
    "overrides, present",
    [
        ([], {"attention", "phoneme_audio", "utterance_audio"}),
        (["losses.phoneme.kind=none"], {"attention", "phoneme_audio", "utterance_audio"}),
        (["losses.adversarial.utterance=false"], {"attention", "phoneme_audio"}),
        (
            ["losses.phoneme.kind=none", "losses.adversarial.phoneme=false", "losses.ctc_weight=1"],
            {"utterance_audio", "ctc_logits"},
        ),
    ],
)
def test_branches_are_there_where_a_loss_needs_them(tiny, overrides, present):
    outputs = build_model(tiny(*overrides))(
        {
            "features": tf.zeros([2, 5, 40]),
            "frame_lengths": tf.constant([5, 4]),
            "phonemes": tf.ones([2, 3], tf.int32),
            "phoneme_lengths": tf.constant([3, 1]),
        }
    )
    found = {**outputs, **outputs["modality_logits"]}
    optional = {"attention", "phoneme_audio", "utterance_audio", "ctc_logits"}
    assert {name for name in optional if found.get(name) is not None} == present


def test_loss_options_reach_the_loss():
    config = load_config(
        None,
        [
            "losses.utterance.asyp_margin=0.25",
            "losses.utterance.angle_weight=3",
            "losses.phoneme.kind=proxy_bd",
            "losses.phoneme.parametrisation=softplus",
            "losses.monotonic.width=0.3",
            "losses.keyword.kind=aam_softmax",
            "losses.keyword.scale=20",
            "losses.ctc_weight=0.5",
        ],
    )
    settings = build_losses(config, 7).settings
    expected = {
        "num_keyword_classes": 7,
        "utterance_margin": 0.25,
        "rpl_angle_weight": 3,
        "phoneme_kind": "proxy_bd",
        "adams_parametrisation": "softplus",
        "monotonic_width": 0.3,
        "keyword_kind": "aam_softmax",
        "keyword_scale": 20,
        "ctc_weight": 0.5,
        "keyword_initial_margin_fraction": 0.0,
    }
    assert {name: settings[name] for name in expected} == expected


BASELINE = [
    "losses.phoneme.kind=none",
    "losses.keyword.kind=none",
    "losses.adversarial.utterance=false",
]


def test_baselines_get_their_own_parts(tiny, speech_cache, g2p):
    """Model, loss, front end and negatives follow model.kind."""
    for kind, compression in (("cmcd", "log"), ("phonmatchnet", "power")):
        more = ["losses.matching.utterance_weight=0.5", "losses.adversarial.strength=0.4"]
        config = tiny(f"model.kind={kind}", *BASELINE, *more, "batches.negative_texts=1")
        model = build_model(config)
        assert model.pairwise and type(model).__name__.lower() == kind
        assert model.reversal.strength == 0.4
        assert build_losses(config, 7).term_weights["utterance_matching"] == 0.5
        assert build_log_mel(config).settings["compression"] == compression
        assert build_source(config, speech_cache, g2p).negative_texts == 1
    assert build_log_mel(tiny()).settings["compression"] == "log"
    assert build_source(tiny(), speech_cache, g2p).negative_texts == 0


def test_a_missing_speech_embedding_is_named(tiny, tmp_path):
    folder = tmp_path / "missing"
    config = tiny("model.kind=phonmatchnet", *BASELINE, f"model.speech_embedding={folder}")
    with pytest.raises(ConfigError, match="model.speech_embedding: There is no .*missing"):
        build_model(config)


def test_held_out_speakers_depend_on_the_name_alone():
    names = [f"voice {number}" for number in range(400)]
    held_out = held_out_speakers(names, 0.25)
    assert 70 < held_out.sum() < 130
    np.testing.assert_array_equal(held_out_speakers(names[::-1], 0.25)[::-1], held_out)
    assert (held_out <= held_out_speakers(names, 0.5)).all()
    assert not held_out_speakers(names, 0.0).any()


def test_a_set_may_have_a_prefix(tmp_path):
    assert set_path(str(tmp_path), "a:audio/train") == (tmp_path / "a", "audio/train")
    assert set_path(str(tmp_path), "a") == (tmp_path / "a", "")


def test_words_and_speakers_are_left_out(tiny):
    whole = build_segments_of(tiny())
    assert "music" in whole.texts and "music water" in whole.texts
    without = build_segments_of(tiny("data.exclude_words=[music]"))
    assert set(without.texts) == {t for t in whole.texts if "music" not in t.split()}
    fewer = build_segments_of(tiny("data.held_out_speakers=0.5"))
    gone = set(whole.speakers) - set(fewer.speakers)
    assert gone == {n for n in whole.speakers if held_out_speakers([n], 0.5)[0]} != set()


@pytest.mark.parametrize(
    "overrides, error, words",
    [
        (["data.root=''"], ConfigError, "--speech"),
        (["data.root=/absent"], DataError, "/absent"),
        (["data.train=[absent]"], DataError, "absent"),
        (["data.words_file=absent.tsv"], DataError, "absent.tsv"),
        (["data.train=['train:elsewhere']"], DataError, "elsewhere"),
        (["data.train=[train, './train:']"], ConfigError, "twice.*'train' and './train:'"),
        (["data.min_seconds=30", "data.max_seconds=31"], DataError, "No segments are left"),
        (["data.held_out_speakers=0.9"], DataError, "No segments are left"),
    ],
)
def test_data_that_cannot_be_used_are_named(tiny, overrides, error, words):
    with pytest.raises(error, match=words):
        build_segments_of(tiny(*overrides))


def test_a_keyword_with_one_utterance_is_left_out(tiny, speech_cache, speech_set, tmp_path, g2p):
    speech_set(tmp_path / "once", speakers=1)
    root = [f"data.root={tmp_path}", "data.train=[once]", "augmentation.noise=[]"]
    with pytest.raises(DataError, match="fewer than 2 segments"):
        build_source(tiny(*root), speech_cache, g2p)
    source = build_source(tiny(*root, "batches.min_utterances=1"), speech_cache, g2p)
    assert source.num_keywords >= 10


def test_one_class_is_an_error(tiny, speech_cache, g2p):
    others = "no, left, right, green, house, music, water, river, stone"
    one = tiny(f"data.exclude_words=[{others}]", "batches.keywords=2")
    with pytest.raises(DataError, match="too few keywords.*Received: 1 "):
        build_source(one, speech_cache, g2p)
    with pytest.raises(ConfigError, match="batches.keyword_classes.*out of range"):
        tiny("batches.keyword_classes=1")


def test_noise_and_impulse_responses_are_found_or_named(tiny, speech_cache, g2p, tmp_path):
    with pytest.raises(DataError, match="nothing"):
        build_source(tiny("augmentation.noise=[nothing]"), speech_cache, g2p)
    with pytest.raises(DataError, match="No impulse responses"):
        build_source(tiny("augmentation.impulse_responses=[nothing]"), speech_cache, g2p)
    source = build_source(
        tiny("augmentation.impulse_responses=[noise]", "augmentation.reverberation_probability=1"),
        speech_cache,
        g2p,
    )
    assert np.isfinite(source.batch(0, 0)["waveform"]).all()


def test_music_babble_speed_and_codec_reach_the_batches(tiny, speech_cache, g2p):
    """Each alone changes a batch; a set that is not there is named."""
    off = ["augmentation.noise=[]", "augmentation.gain_db=[0, 0]"]
    certain = [*off, "augmentation.noise_probability=1"]
    plain = build_source(tiny(*off), speech_cache, g2p).batch(0, 0)
    for options in (
        [*certain, "augmentation.music=[noise]"],
        [*certain, "augmentation.babble=[noise]"],
        [*off, "augmentation.speed_probability=1"],
        [*off, "augmentation.codec_probability=1", "augmentation.codecs=[mu_law]"],
    ):
        batch = build_source(tiny(*options), speech_cache, g2p).batch(0, 0)
        same = batch["waveform"].shape == plain["waveform"].shape
        assert not same or not np.array_equal(batch["waveform"], plain["waveform"]), options
        assert np.isfinite(batch["waveform"]).all()
    for kind in ("music", "babble"):
        with pytest.raises(DataError, match="nothing"):
            build_source(tiny(f"augmentation.{kind}=[nothing]"), speech_cache, g2p)


def test_training_has_the_length_and_rates_asked_for(tiny, speech_cache, g2p):
    training = build_training(
        tiny(
            "training.steps=null",
            "training.epochs=1.5",
            "optimizer.schedule=cosine",
            "optimizer.warmup_steps=4",
            "optimizer.bias_learning_rate=0.5",
            "optimizer.constants_learning_rate=0.25",
            "losses.keyword.ramp_start_epoch=1",
            "losses.keyword.ramp_end_epoch=2",
        ),
        speech_cache,
        g2p,
    )
    assert training.total_steps == round(1.5 * training.source.batches_per_epoch)
    assert float(training.learning_rate(0)) == pytest.approx(1e-3 / 4)
    assert [training.margin(epoch) for epoch in (0.5, 1.5, 2.5)] == [0, 0.5, 1]
    groups = training.step.groups
    assert float(groups["bias"].optimizer.learning_rate) == 0.5
    assert float(groups["constants"].optimizer.learning_rate) == pytest.approx(0.25 / 4)
    assert groups["network"].clip_norm == 5.0


@pytest.mark.parametrize(
    "settings, protocol",
    [
        ({"kind": "words", "negatives": 3}, "wsj"),
        ({"kind": "words", "words_file": "mfa_words.tsv", "prefix": "audio/test"}, "wsj"),
        ({"kind": "phrases_easy", "negatives": 2, "positives": 20}, "phrases"),
        ({"kind": "phrases_hard", "negatives": 2, "positives": 20}, "phrases"),
        ({"kind": "classification"}, "classification"),
        ({"kind": "choice", "choices": 3, "max_clips": 9}, "classification"),
        ({"kind": "keywords", "vocabulary": "train"}, "wake-words"),
    ],
)
def test_every_kind_of_trials_is_drawn_alike_twice(speech_folder, g2p, settings, protocol):
    trials = replace(TrialsConfig(name="t", folder="test", min_seconds=0.2), **settings)
    drawn = [build_trials(trials, speech_folder, g2p) for _ in range(2)]
    assert drawn[0].sha256 == drawn[1].sha256
    assert protocol in drawn[0].protocol
    assert drawn[0].num_trials > 0
    assert all(not clip.path.startswith("/") for clip in drawn[0].clips)
    if trials.max_clips:
        assert len(drawn[0].clips) <= trials.max_clips and len(drawn[0].texts) == 3


def test_a_list_that_was_drawn_beforehand_is_read_as_it_is(speech_folder, g2p, tmp_path):
    drawn = build_trials(TrialsConfig(name="t", folder="test", min_seconds=0.2), speech_folder, g2p)
    drawn.write(tmp_path / "lists" / "t.tsv")
    trials = TrialsConfig(name="t", kind="file", folder="lists/t.tsv")
    assert build_trials(trials, tmp_path, g2p).sha256 == drawn.sha256
    with pytest.raises(DataError, match="t.tsv is another one.*'other'.*Received: 't'"):
        build_trials(replace(trials, name="other"), tmp_path, g2p)
    with pytest.raises(DataError, match="Cannot read the trial list.*nowhere"):
        build_trials(replace(trials, folder="nowhere.tsv"), tmp_path, g2p)


def test_trials_of_held_out_speakers_hold_no_others(speech_folder, g2p):
    trials = TrialsConfig(name="t", folder="test", min_seconds=0.2, held_out_only=True)
    every = build_trials(replace(trials, held_out_only=False), speech_folder, g2p)
    some = build_trials(trials, speech_folder, g2p, held_out=0.5)
    assert 0 < len({clip.path for clip in some.clips}) < len({clip.path for clip in every.clips})
    with pytest.raises(ConfigError, match="held_out_only of 't'.*data.held_out_speakers above 0"):
        build_trials(trials, speech_folder, g2p)


def test_lists_are_written_and_chosen_by_name(tiny, speech_folder, g2p, tmp_path):
    config = tiny()
    assert [t.name for t in chosen_trials(config, ())] == ["words", "choice"]
    chosen = chosen_trials(config, ["choice"])
    lists = write_trials(chosen, speech_folder, g2p, tmp_path / "trials")
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["choice.tsv"]
    assert lists[0].sha256[:16]
    with pytest.raises(ConfigError, match="'nothing'.*words, choice"):
        chosen_trials(config, ["nothing"])
    with pytest.raises(ConfigError, match="names no trials"):
        chosen_trials(load_config(), ())
    twice = load_config(None, ["evaluation.trials=[{name: a}, {name: a}]"])
    with pytest.raises(ConfigError, match="name of its own"):
        chosen_trials(twice, ())
