"""An exported model that is too small to be any good."""

from __future__ import annotations

import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.export import saved_model
from adml.models.acoustic import AcousticEncoder
from adml.models.ctc import FrameClassifier
from adml.models.text import TextEncoder
from adml.spotting.spotter import KeywordSpotter
from adml.text.phonemes import NUM_PHONES, SYMBOLS

WORDS = {"yes": ["Y", "EH1", "S"], "go on": ["G", "OW1", " ", "AA1", "N"], "odd": ["QQ"], "": []}


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder with an exported model, too small to be any good."""
    tf.random.set_seed(2)
    acoustic = AcousticEncoder(channels=8, embedding_dim=12, dilations=(2,), scale=2, bottleneck=8)
    text = TextEncoder(len(SYMBOLS) + 1, embedding_dim=12, units=6, num_layers=1)
    acoustic(tf.random.normal([2, 9, 40]), tf.constant([9, 5]), training=True)
    text(tf.ones([2, 3], tf.int32), tf.constant([3, 2]))
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text("seed: 1\n")
    with pytest.MonkeyPatch.context() as patch:  # tests/export checks the check
        patch.setattr(saved_model, "verify", lambda folder, *, tolerance: 0.0)
        heads = {"frame_classifier": FrameClassifier(NUM_PHONES, 12)}
        saved_model.export(acoustic, text, LogMel(), folder / "export", **heads)
    return folder


@pytest.fixture(scope="session")
def spotter(run):
    return KeywordSpotter.load(run, to_phonemes=WORDS.__getitem__)
