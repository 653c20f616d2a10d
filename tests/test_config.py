"""Configuration: the defaults are the paper's; every mistake is an error with its dotted path."""

from __future__ import annotations

import dataclasses

import pytest

from adml.config import Config, dump_config, load_config
from adml.config_file import parse_yaml
from adml.errors import ConfigError


def test_defaults_are_the_papers_values():
    config = load_config()
    assert (config.batches.keywords, config.batches.utterances) == (250, 2)
    assert config.optimizer.learning_rate == 1e-4
    assert config.optimizer.weight_decay == 1e-5
    assert config.optimizer.halve_every_epochs == 20
    assert config.training.epochs == 100
    assert config.losses.phoneme.weight == 0.1
    assert config.losses.adversarial.strength == 0.1
    phoneme = config.losses.phoneme
    assert (phoneme.alpha, phoneme.beta, phoneme.margin) == (0.01, 1.5, 0.01)
    assert config.losses.keyword.kind == "sphereface2"
    assert (config.features.mel_bins, config.features.window_ms, config.features.shift_ms) == (
        40,
        25,
        10,
    )


def test_dump_and_load_are_inverse(tmp_path):
    config = load_config(
        None, ["name='no'", "data.train=[a, 'b:c']", "evaluation.trials=[{name: x}]", "seed=3"]
    )
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config
    assert config.name == "no"


def test_every_numeric_field_has_a_default_in_its_own_range():
    assert load_config(None, []) == Config()
    text = dump_config(Config())
    assert parse_yaml(text, source="x") == parse_yaml(dump_config(load_config()), source="x")


@pytest.mark.parametrize(
    "override, words",
    [
        ("losses.phonem.kind=asyp", ["'losses.phonem'", "'phoneme'"]),
        ("losses.phoneme.kind=proxi_bd", ["losses.phoneme.kind", "'proxy_bd'"]),
        ("seed=no", ["seed", "int", "'no'"]),
        ("seed=-1", ["seed", "out of range", "-1"]),
        ("training.epochs=0", ["training.epochs", "out of range", "0.001"]),
        ("seed=99999999999999999999", ["seed", "out of range"]),
        ("seed=true", ["seed", "int"]),
        ("optimizer.learning_rate=fast", ["optimizer.learning_rate", "float", "'fast'"]),
        ("optimizer.learning_rate=.nan", ["optimizer.learning_rate"]),
        ("data.train=speech", ["data.train", "list"]),
        ("augmentation.gain_db=[1]", ["augmentation.gain_db", "2 items"]),
        ("augmentation=3", ["augmentation", "mapping"]),
        ("data.min_words=5", ["data.min_words", "data.max_words, 4", "Received: 5."]),
        ("data.min_seconds=3", ["data.min_seconds", "data.max_seconds, 2.5", "Received: 3.0"]),
        ("features.high_hz=9000", ["features.high_hz", "at most 8000", "9000"]),
        ("features.low_hz=7700", ["features.high_hz", "features.low_hz, 7700", "7600"]),
        ("features.sample_rate_hz=8000", ["features.sample_rate_hz", "16000", "Received: 8000"]),
        ("features.window_ms=33", ["features.window_ms", "at most 32", "Received: 33"]),
        ("features.shift_ms=26", ["features.shift_ms", "features.window_ms, 25", "26"]),
        ("batches.min_utterances=3", ["batches.min_utterances", "batches.utterances, 2", "3"]),
        ("batches.utterances=1", ["batches.min_utterances", "batches.utterances, 1", "2"]),
        ("model.kind=siamese", ["model.kind", "phonmatchnet", "'siamese'"]),
        ("model.kind=cmcd", ["losses.phoneme.kind", "none with model.kind cmcd", "asyp"]),
        ("model.speech_embedding=folder", ["model.speech_embedding", "phonmatchnet alone"]),
        ("training.validate_every_steps=5", ["training.validation.folder", "a set"]),
        ("training.validation.kind=modality", ["training.validation.kind", "accuracy"]),
        ("batches={keywords: 2, neighbour_fraction: 0.6}", ["batches.neighbour_fraction", "0.5"]),
        (
            "cut={context_probability: 0.6, padding_probability: 0.5}",
            ["cut.context_probability", "cut.padding_probability, 0.5", "0.6"],
        ),
        ("augmentation.noise_snr_db=[9, 3]", ["augmentation.noise_snr_db", "[9.0, 3.0]"]),
        ("augmentation.babble_snr_db=[9, 3]", ["augmentation.babble_snr_db", "[9.0, 3.0]"]),
        ("augmentation.speed_range=[1.1, 1]", ["augmentation.speed_range", "[1.1, 1.0]"]),
        ("augmentation.codecs=[gsm, mp4]", ["augmentation.codecs", "opus", "['mp4']"]),
        ("augmentation.gain_db=[9, 3]", ["augmentation.gain_db", "[9.0, 3.0]"]),
        ("batches.block_spans=0", ["batches.block_spans", "0"]),
        ("evaluation.trials=[{nam: x}]", ["evaluation.trials[0].nam", "'name'"]),
        ("noequalsign", ["noequalsign", "key=value"]),
    ],
)
def test_mistakes_are_named(override, words):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2


BASELINE = [
    "model.kind=phonmatchnet",
    "losses.phoneme.kind=none",
    "losses.keyword.kind=none",
    "losses.adversarial.utterance=false",
]


@pytest.mark.parametrize(
    "override, words",
    [
        ("losses.keyword.kind=triplet", ["losses.keyword.kind", "none", "triplet"]),
        ("batches.block_probability=0.5", ["batches.block_probability", "phonmatchnet", "0.5"]),
        ("losses.adversarial.utterance=true", ["losses.adversarial.utterance", "false"]),
        ("losses.ctc_weight=0.1", ["losses.ctc_weight", "0.1"]),
        ("losses.utterance.asyp_weight=2", ["losses.utterance", "unread"]),
        ("batches={keywords: 2, negative_texts: 2}", ["batches.negative_texts", "keywords, 2"]),
    ],
)
def test_a_baseline_has_none_of_the_other_losses(override, words):
    assert load_config(None, BASELINE).model.kind == "phonmatchnet"
    with pytest.raises(ConfigError) as caught:
        load_config(None, [*BASELINE, override])
    assert all(word in str(caught.value) for word in words)


def test_exponents_without_a_point_are_numbers():
    assert load_config(None, ["optimizer.learning_rate=1e-3"]).optimizer.learning_rate == 1e-3


@pytest.mark.parametrize(
    "text, word",
    [
        ("seed: 1\nseed: 2\n", "Duplicate key 'seed' in line 2"),
        ("a: [", "not YAML"),
        ("- 1\n", "mapping"),
        ("[1]: 2\n", "is no name"),
        ("name: !!python/object/apply:os.system ['true']\n", "not YAML"),
    ],
)
def test_bad_files_are_named(tmp_path, text, word):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="bad.yaml") as caught:
        load_config(path)
    assert word in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "binary.yaml")


def test_configurations_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config().seed = 1
