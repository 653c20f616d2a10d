"""From a configuration to objects: the one place where the two meet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.audio.decoding import decode
from adml.audio.features import LogMel
from adml.config import Config
from adml.data.batches import BatchSource
from adml.data.cutting import Cutter
from adml.data.segments import SegmentTable, build_segments
from adml.data.store import PcmStore
from adml.data.words import read_clips, read_words
from adml.errors import ConfigError, DataError
from adml.losses.total import TotalLoss
from adml.models.adml import ADML
from adml.text.g2p import G2P
from adml.text.phonemes import NUM_PHONES, NUM_SYMBOLS
from adml.training.checkpoint import Checkpoints
from adml.training.schedule import learning_rate_schedule, margin_fraction
from adml.training.step import TrainingStep, make_groups

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """Everything a run trains with."""

    source: BatchSource
    step: TrainingStep
    learning_rate: object
    margin: object
    total_steps: int

    def checkpoints(self, folder: str | Path, *, keep: int) -> Checkpoints:
        """Checkpoints of the model, the losses and the optimizers in `folder`."""
        optimizers = {f"{name}_optimizer": group.optimizer for name, group in self.step.groups.items()}
        return Checkpoints(folder, keep=keep, model=self.step.model, losses=self.step.losses, **optimizers)


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
            f"training.replicas is more than there are devices. Expected: at most {len(devices)}. Received: {wanted}."
        )
    names = [device.name for device in devices[:wanted]]
    return tf.distribute.OneDeviceStrategy(names[0]) if wanted == 1 else tf.distribute.MirroredStrategy(names)


def build_log_mel(config: Config) -> LogMel:
    """The front end."""
    f = config.features
    return LogMel(sample_rate_hz=f.sample_rate_hz, window_ms=f.window_ms, shift_ms=f.shift_ms, mel_bins=f.mel_bins,
                  low_hz=f.low_hz, high_hz=f.high_hz)


def build_model(config: Config) -> ADML:
    """The whole model with its variables; make it in the scope of the strategy that trains it."""
    losses = config.losses
    phoneme_branch = losses.phoneme.kind != "none" or losses.adversarial.phoneme
    model = ADML(
        num_symbols=NUM_SYMBOLS,
        phoneme_branch=phoneme_branch,
        adversary_phoneme=losses.adversarial.phoneme,
        adversary_utterance=losses.adversarial.utterance,
        ctc_classes=NUM_PHONES + 1 if losses.ctc_weight > 0 else 0,
        reversal_strength=losses.adversarial.strength,
        projections=config.model.attention_projections,
        text_units=config.model.text_units,
        mel_bins=config.features.mel_bins,
        fast=config.model.fast,
    )
    model({
        "features": tf.zeros([2, 4, config.features.mel_bins]), "frame_lengths": tf.constant([4, 3]),
        "phonemes": tf.ones([2, 3], tf.int32), "phoneme_lengths": tf.constant([3, 2]),
    }, training=False)
    return model


def build_losses(config: Config, num_classes: int) -> TotalLoss:
    """All loss terms, weighted as the configuration says."""
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
        ctc_weight=config.losses.ctc_weight,
    )


def set_path(root: str, item: str) -> tuple[Path, str]:
    """Split `FOLDER:PREFIX` of a configuration and put the folder under the root."""
    folder, _, prefix = item.partition(":")
    return Path(root) / folder, prefix


def build_segments_of(config: Config) -> SegmentTable:
    """The word segments that the configuration trains on.

    Raises:
        ConfigError: no data folder was given.
        DataError: a set is missing, or nothing is left after filtering.
    """
    data = config.data
    if not data.root:
        raise ConfigError("No speech was given. Expected: --speech DIR (or data.root in the configuration).")
    tables = []
    for item in data.train:
        folder, prefix = set_path(data.root, item)
        tables.append(read_words(folder, words_file=data.words_file, path_prefix=prefix,
                                 min_confidence=data.min_confidence))
    segments = build_segments(
        tables,
        min_words=data.min_words,
        max_words=data.max_words,
        min_seconds=data.min_seconds,
        max_seconds=data.max_seconds,
        max_gap_seconds=data.max_gap_seconds,
    )
    kept = ~_holds_a_word(segments, data.exclude_words)
    kept &= ~held_out_speakers(segments.speakers, data.held_out_speakers)[segments.speaker]
    if not kept.any():
        raise DataError(
            f"No segments are left of {len(segments)}: data.exclude_words and "
            "data.held_out_speakers leave none. Exclude fewer."
        )
    return segments if kept.all() else segments.subset(kept)


def held_out_speakers(speakers: Sequence[str], share: float) -> np.ndarray:
    """Which speakers are kept from training: a function of the name alone.

    Args:
        speakers: names.
        share: of speakers held out, 0 to 1.

    Returns:
        bool [len(speakers)].
    """
    places = [int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32 for name in speakers]
    return np.array(places) < share


def _holds_a_word(segments: SegmentTable, words: Sequence[str]) -> np.ndarray:
    left_out = set(words)
    texts = np.array([not left_out.isdisjoint(text.split()) for text in segments.texts], bool)
    return texts[segments.text]


def build_source(config: Config, cache: Path, g2p: G2P) -> BatchSource:
    """The batches: segments, decoded speech, noise and impulse responses."""
    segments = build_segments_of(config)
    store = PcmStore.build(segments.utterances, cache / "pcm")
    a, c, b = config.augmentation, config.cut, config.batches
    noise_paths = [path for item in a.noise for path in _noise_paths(config.data.root, item)]
    noise = PcmStore.build(noise_paths, cache / "pcm") if noise_paths else None
    cutter = Cutter(
        jitter_ms=c.jitter_ms,
        context_probability=c.context_probability,
        context_seconds=c.context_seconds,
        padding_probability=c.padding_probability,
        padding_seconds=c.padding_seconds,
        gain_db=a.gain_db,
        impulse_responses=_impulse_responses(config) if a.reverberation_probability > 0 else (),
        reverberation_probability=a.reverberation_probability,
        noise=noise,
        noise_probability=a.noise_probability,
        noise_snr_db=a.noise_snr_db,
        time_masks=a.time_masks,
        time_mask_frames=a.time_mask_frames,
        frequency_masks=a.frequency_masks,
        frequency_mask_bins=a.frequency_mask_bins,
        mel_bins=config.features.mel_bins,
    )
    return BatchSource(
        segments,
        store,
        g2p=g2p,
        keywords_per_batch=b.keywords,
        utterances_per_keyword=b.utterances,
        seed=config.seed,
        min_utterances=b.min_utterances,
        neighbour_fraction=b.neighbour_fraction,
        length_window=b.length_window,
        keyword_classes=b.keyword_classes,
        cutter=cutter,
    )


def _noise_paths(root: str, item: str) -> list[str]:
    folder, prefix = set_path(root, item)
    return list(read_clips(folder, path_prefix=prefix).path)


def _impulse_responses(config: Config) -> tuple[np.ndarray, ...]:
    paths = []
    for item in config.augmentation.impulse_responses:
        folder, prefix = set_path(config.data.root, item)
        found = sorted(path for path in (folder / prefix).rglob("*") if path.suffix in (".wav", ".flac", ".opus"))
        if not found:
            raise DataError(f"No impulse responses in {folder / prefix}. Expected: wav, flac or opus files.")
        paths += found
    return tuple(decode(path) for path in paths)


def build_training(config: Config, cache: Path, g2p: G2P) -> Training:
    """Data, model, losses, optimizers and the step that joins them."""
    source = build_source(config, cache, g2p)
    strategy = build_strategy(config.training.replicas)
    total_steps = config.training.steps or max(1, round(config.training.epochs * source.batches_per_epoch))
    o = config.optimizer
    rate = partial(learning_rate_schedule, o.schedule, total_steps=total_steps,
                   steps_per_epoch=source.batches_per_epoch, halve_every_epochs=o.halve_every_epochs,
                   warmup_steps=o.warmup_steps)
    with strategy.scope():
        model = build_model(config)
        losses = build_losses(config, source.num_classes)
        schedule = rate(learning_rate=o.learning_rate)
        groups = make_groups(model, losses, learning_rate=schedule, weight_decay=o.weight_decay,
                             clip_norm=o.clip_norm, bias_learning_rate=o.bias_learning_rate,
                             constants_learning_rate=rate(learning_rate=o.constants_learning_rate))
    step = TrainingStep(strategy, model, losses, build_log_mel(config), groups,
                        loss_scope=config.training.loss_scope)
    ramp = partial(margin_fraction, start_epoch=config.losses.keyword.ramp_start_epoch,
                   end_epoch=config.losses.keyword.ramp_end_epoch)
    return Training(source, step, schedule, ramp, total_steps)
