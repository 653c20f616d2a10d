"""Every file of experiments/ loads, builds and runs one shrunk step on miniature speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adml.build.training import build_training
from adml.build.trials import chosen_trials, write_trials
from adml.config import Config, dump_config, load_config
from adml.text.g2p import G2P

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
FILES = sorted(path for name in ("paper", "open") for path in EXPERIMENTS.glob(f"{name}/*.yaml"))
SHRINK = [
    "data.max_words=2",
    "batches.keywords=4",
    "batches.keyword_classes=6",
    "model.text_units=8",
    "training.steps=1",
    "training.epochs=1",
    "training.replicas=1",
]

pytestmark = pytest.mark.usefixtures("thin_encoders")


def name_of(path: Path) -> str:
    return path.relative_to(EXPERIMENTS).as_posix()


@pytest.fixture(params=FILES, ids=name_of)
def file(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sets")


def sets_of(config: Config) -> set[str]:
    """Folders that a configuration names."""
    a = config.augmentation
    items = [*config.data.train, *a.noise, *a.music, *a.babble, *a.impulse_responses]
    lists = config.evaluation.trials
    items += [trials.folder for trials in lists] + [trials.vocabulary for trials in lists]
    return {item.partition(":")[0] for item in items if item}


@pytest.fixture(scope="module")
def shrunk(root, speech_set) -> Callable[[Path], Config]:
    """Reads a file's configuration, shrunk, and makes sets of the names it asks for."""

    def read(file: Path) -> Config:
        config = load_config(file, [*SHRINK, f"data.root={root}"])
        for name in sets_of(config):
            if not (root / name).exists():
                speech_set(root / name)
        return config

    return read


def test_there_are_experiments():
    assert {"paper", "open"} <= {path.parent.name for path in FILES}


def test_file_says_what_it_is_for(file):
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


def test_names_are_the_files_and_differ():
    lists = ("evaluation.yaml", "modality.yaml")
    names = [load_config(path).name for path in FILES if path.name not in lists]
    assert len(set(names)) == len(names)


def test_file_is_read_back_equal(file, tmp_path):
    config = load_config(file)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


def test_one_shrunk_step(file, shrunk, speech_cache, eagerly):
    config = shrunk(file)
    training = build_training(config, speech_cache, G2P())
    before = [variable.numpy() for variable in training.step.groups["network"].variables]
    with eagerly():
        terms = training.step(training.source.batch(0, 0), training.margin(0.0))
    assert np.isfinite(list(terms.values())).all()
    assert terms["total"] > 0 and terms["gradient_norm"] > 0
    after = [variable.numpy() for variable in training.step.groups["network"].variables]
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert np.mean(changed) > 0.8
    assert weighted_terms(config) <= set(terms)


def weighted_terms(config: Config) -> set[str]:
    """Terms that the configuration gives a weight."""
    losses, kind = config.losses, config.model.kind
    weighted = {
        "utterance_asyp": losses.utterance.asyp_weight,
        "rpl_angle": losses.utterance.angle_weight,
        "phoneme": losses.phoneme.weight if losses.phoneme.kind != "none" else 0,
        "keyword": losses.keyword.weight if losses.keyword.kind != "none" else 0,
        "adversarial_phoneme": losses.adversarial.phoneme,
        "adversarial_utterance": losses.adversarial.utterance,
        "ctc": losses.ctc_weight,
    }
    if kind != "adml":
        weighted = {
            "utterance_matching": losses.matching.utterance_weight,
            "phoneme_matching": kind == "phonmatchnet",
            "monotonic": kind == "cmcd",
            "adversarial_phoneme": losses.adversarial.phoneme,
        }
    return {name for name, weight in weighted.items() if weight}


def test_lists_of_trials_can_be_drawn(shrunk, root, tmp_path):
    g2p, drawn = G2P(), 0
    for file in FILES:
        config = shrunk(file)
        if config.evaluation.trials:
            chosen = chosen_trials(config, ())
            share = config.data.held_out_speakers
            lists = write_trials(chosen, root, g2p, tmp_path / str(drawn), held_out=share)
            assert [trials.name for trials in lists] == [trials.name for trials in chosen]
            assert all(trials.num_trials > 0 for trials in lists)
            drawn += 1
    assert drawn
