"""The baselines of the paper's section 4.3 and their loss, as a configuration describes them."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.config import Config
from adml.losses.matching import MatchingLoss
from adml.models.cmcd import CMCD
from adml.models.phonmatchnet import PhonMatchNet
from adml.text.phonemes import NUM_SYMBOLS

KINDS = {"cmcd": CMCD, "phonmatchnet": PhonMatchNet}


def build_baseline(config: Config, num_features: int) -> keras.Model:
    """The baseline with its variables; make it in the scope of the strategy that trains it.

    Args:
        config: with `model.kind` other than "adml".
        num_features: width of what the front end gives.
    """
    kind, mel_bins = config.model.kind, config.features.mel_bins
    more = {"embedding_width": num_features - mel_bins} if kind == "phonmatchnet" else {}
    model = KINDS[kind](
        num_symbols=NUM_SYMBOLS,
        mel_bins=mel_bins,
        adversary=config.losses.adversarial.phoneme,
        reversal_strength=config.losses.adversarial.strength,
        **more,
    )
    model(
        {
            "features": tf.zeros([2, 4, num_features]),
            "frame_lengths": tf.constant([4, 3]),
            "phonemes": tf.ones([2, 3], tf.int32),
            "phoneme_lengths": tf.constant([3, 2]),
            "negative_phonemes": tf.ones([2, 1, 3], tf.int32),
            "negative_lengths": tf.constant([[2], [3]]),
        },
        training=False,
    )
    return model


def build_matching_loss(config: Config) -> MatchingLoss:
    """The terms of a baseline, weighted as the configuration says."""
    matching, monotonic = config.losses.matching, config.losses.monotonic
    return MatchingLoss(
        utterance_weight=matching.utterance_weight,
        phoneme_weight=matching.phoneme_weight,
        monotonic_weight=matching.monotonic_weight,
        monotonic_kind=monotonic.kind,
        monotonic_width=monotonic.width,
    )
