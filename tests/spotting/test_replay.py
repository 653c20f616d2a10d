"""A replay of blocks makes of a model's answers what the model's own hearing makes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.export.blocks import FreeEncoder
from adml.spotting.detecting import stream_scores
from adml.spotting.keyword_file import Keyword
from adml.spotting.replay import Replay
from adml.spotting.scoring import LOWEST_SCORE, Scorer
from adml.spotting.spotter import ACOUSTIC, find_export

SAID = (("N", "EH1", "V", "ER0"), ("Y", "EH1", "S", "T", "ER0", "D", "EY2"))


@pytest.fixture(scope="module")
def encoder(tiny_export):
    return FreeEncoder(find_export(tiny_export) / ACOUSTIC)


def made(spotter):
    return [Keyword("".join(said), spotter.embed_phonemes(said)[np.newaxis], (said,))
            for said in SAID]  # fmt: skip


def answers(encoder, replay):
    lengths = tf.constant(replay.lengths, tf.int32)
    for log_mel, ends in replay.asked:
        told = encoder.listen(tf.constant(log_mel[np.newaxis]), tf.constant(ends), lengths)
        yield {name: value.numpy() for name, value in told.items()}


@pytest.mark.parametrize("ends", [1, 3, 5])
def test_scores_are_those_of_the_stream(spotter, encoder, ends):
    rng = np.random.default_rng(3)
    streams = [rng.normal(0, 0.1, round(16000 * seconds)).astype(np.float32)
               for seconds in (3.37, 0.9, 0.5, 0.05)]  # fmt: skip
    keywords = made(spotter)
    replay = Replay(spotter, streams, ends=ends)
    assert all(len(asked.ends) == ends for asked in replay.asked)
    found = replay.scores(keywords, answers(encoder, replay))
    for samples, best in zip(streams, found, strict=True):
        hearing = spotter.hearing()
        own = stream_scores(hearing, Scorer(keywords, hearing.places.lengths), samples).scores
        np.testing.assert_allclose(best, own.max(axis=0, initial=LOWEST_SCORE), atol=2e-5)
    assert found[0].min() > found[-1].max() == LOWEST_SCORE


def test_other_answers_make_other_scores(spotter, encoder):
    samples = np.random.default_rng(4).normal(0, 0.1, 32000).astype(np.float32)
    keywords = made(spotter)
    replay = Replay(spotter, [samples], ends=5)
    own = replay.scores(keywords, answers(encoder, replay))
    turned = ({**told, "embedding": -told["embedding"]} for told in answers(encoder, replay))
    silent = ({"embedding": told["embedding"]} for told in answers(encoder, replay))
    assert np.all(np.abs(replay.scores(keywords, turned) - own) > 1e-3)
    assert np.all(replay.scores(keywords, silent) >= own)
