"""The front end, the model, its losses and the devices that a configuration describes."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.audio.features import LogMel
from adml.config import Config
from adml.errors import ConfigError, UsageError
from adml.losses.total import TotalLoss
from adml.models.adml import ADML
from adml.text.phonemes import NUM_PHONES, NUM_SYMBOLS
from adml.training.schedule import margin_fraction


def build_strategy(replicas: int) -> tf.distribute.Strategy:
    """One device, or MirroredStrategy over several.

    Args:
        replicas: number of devices; 0 = all GPUs, or one CPU.

    Raises:
        ConfigError: there are fewer devices than asked for.
    """
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    wanted = replicas or max(1, len(gpus))
    if wanted > len(devices):
        raise ConfigError(
            "training.replicas is more than there are devices. "
            f"Expected: at most {len(devices)}. Received: {wanted}."
        )
    names = [device.name for device in devices[:wanted]]
    if wanted == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    # Logical CPU devices: the default collectives can wait for each other for ever.
    operations = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, cross_device_ops=operations)


def build_log_mel(config: Config) -> LogMel:
    """The front end; with `model.speech_embedding`, `EmbeddedFeatures` in the place of LogMel.

    Raises:
        ConfigError: the mel filters cannot be, or there is no such embedding.
    """
    f, embedding = config.features, config.model.speech_embedding
    try:
        log_mel = LogMel(
            sample_rate_hz=f.sample_rate_hz,
            window_ms=f.window_ms,
            shift_ms=f.shift_ms,
            mel_bins=f.mel_bins,
            low_hz=f.low_hz,
            high_hz=f.high_hz,
            compression="power" if config.model.kind == "phonmatchnet" else "log",
        )
    except UsageError as error:
        raise ConfigError(
            "features.mel_bins, features.low_hz and features.high_hz contradict each other: "
            f"{error}"
        ) from None
    if not embedding:
        return log_mel
    from adml.audio.pretrained import EmbeddedFeatures

    try:
        return EmbeddedFeatures(log_mel, embedding)
    except UsageError as error:
        raise ConfigError(f"model.speech_embedding: {error}") from None


def build_model(config: Config) -> keras.Model:
    """The whole model with its variables; make it in the scope of the strategy that trains it.

    Returns:
        `adml.models.adml.ADML`, or with another `model.kind` a baseline, whose `pairwise` is True.
    """
    if config.model.kind != "adml":
        from adml.build.baselines import build_baseline

        return build_baseline(config, build_log_mel(config).num_features)
    losses = config.losses
    phoneme_branch = losses.phoneme.kind != "none" or losses.adversarial.phoneme
    model = ADML(
        num_symbols=NUM_SYMBOLS,
        phoneme_branch=phoneme_branch,
        adversary_phoneme=losses.adversarial.phoneme,
        adversary_utterance=losses.adversarial.utterance,
        ctc_classes=NUM_PHONES if losses.ctc_weight > 0 else 0,
        reversal_strength=losses.adversarial.strength,
        projections=config.model.attention_projections,
        text_units=config.model.text_units,
        mel_bins=config.features.mel_bins,
        fast=config.model.fast,
    )
    model(
        {
            "features": tf.zeros([2, 4, config.features.mel_bins]),
            "frame_lengths": tf.constant([4, 3]),
            "phonemes": tf.ones([2, 3], tf.int32),
            "phoneme_lengths": tf.constant([3, 2]),
        },
        training=False,
    )
    return model


def build_losses(config: Config, num_classes: int) -> keras.layers.Layer:
    """All loss terms, weighted as configured: `TotalLoss`, or `MatchingLoss` for a baseline."""
    if config.model.kind != "adml":
        from adml.build.baselines import build_matching_loss

        return build_matching_loss(config)
    u, p, k = config.losses.utterance, config.losses.phoneme, config.losses.keyword
    return TotalLoss(
        num_phoneme_classes=NUM_PHONES,
        num_keyword_classes=num_classes,
        utterance_asyp_weight=u.asyp_weight,
        utterance_alpha=u.asyp_alpha,
        utterance_beta=u.asyp_beta,
        utterance_margin=u.asyp_margin,
        rpl_distance_weight=u.distance_weight,
        rpl_angle_weight=u.angle_weight,
        rpl_prototype_weight=u.prototype_weight,
        prototype_scale=u.prototype_scale,
        utterance_infonce_weight=u.infonce_weight,
        infonce_scale=u.infonce_scale,
        phoneme_weight=p.weight,
        phoneme_kind=p.kind,
        phoneme_alpha=p.alpha,
        phoneme_beta=p.beta,
        phoneme_margin=p.margin,
        adams=p.adaptive,
        adams_parametrisation=p.parametrisation,
        clat_temperature=p.temperature,
        monotonic_weight=config.losses.monotonic.weight,
        monotonic_kind=config.losses.monotonic.kind,
        monotonic_width=config.losses.monotonic.width,
        keyword_weight=k.weight,
        keyword_kind=k.kind,
        keyword_scale=k.scale,
        keyword_margin=k.margin,
        keyword_exponent=k.exponent,
        keyword_balance=k.balance,
        keyword_variant=k.variant,
        keyword_initial_margin_fraction=margin_fraction(
            0.0, start_epoch=k.ramp_start_epoch, end_epoch=k.ramp_end_epoch
        ),
        keyword_chunk=k.chunk,
        ctc_weight=config.losses.ctc_weight,
    )
