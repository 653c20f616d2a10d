"""Settings that contradict each other: refused with their dotted paths before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from adml.errors import ConfigError

if TYPE_CHECKING:
    from adml.config import Config

SAMPLE_RATE_HZ = 16000
"""Audio is decoded to this rate."""

LONGEST_WINDOW_MS = 32.0
"""The Fourier transform of the features takes 512 samples."""

CODECS = ("mu_law", "a_law", "gsm", "ima_adpcm", "vorbis", "opus")
"""What `adml.audio.codecs` knows, which configurations may not import."""

Rule = tuple[bool, str, str, Any]
"""Whether it holds, the dotted path, what is expected, what was received."""


def refuse_contradictions(config: Config) -> None:
    """Check what the range of a single value cannot tell.

    Raises:
        ConfigError: two values contradict each other, or a value what is built in.
    """
    rules = (
        *_of_features(config),
        *_of_data(config),
        *_of_model(config),
        *_of_validation(config),
    )
    for holds, path, expected, received in rules:
        if not holds:
            raise ConfigError(
                f"{path} contradicts the rest. Expected: {expected}. Received: {received}."
            )


def _of_features(config: Config) -> Iterator[Rule]:
    f = config.features
    yield (
        f.sample_rate_hz == SAMPLE_RATE_HZ,
        "features.sample_rate_hz",
        f"{SAMPLE_RATE_HZ}, the rate that all audio is decoded to",
        f.sample_rate_hz,
    )
    yield (
        f.window_ms <= LONGEST_WINDOW_MS,
        "features.window_ms",
        f"at most {LONGEST_WINDOW_MS:g}, the 512 samples of the Fourier transform",
        f.window_ms,
    )
    yield (
        f.shift_ms <= f.window_ms,
        "features.shift_ms",
        f"at most features.window_ms, {f.window_ms:g}",
        f.shift_ms,
    )
    yield (
        f.low_hz < f.high_hz <= SAMPLE_RATE_HZ / 2,
        "features.high_hz",
        f"above features.low_hz, {f.low_hz:g}, and at most {SAMPLE_RATE_HZ / 2:g}",
        f.high_hz,
    )


def _of_data(config: Config) -> Iterator[Rule]:
    d, b, c, a = config.data, config.batches, config.cut, config.augmentation
    yield (
        d.min_words <= d.max_words,
        "data.min_words",
        f"at most data.max_words, {d.max_words}",
        d.min_words,
    )
    yield (
        d.min_seconds < d.max_seconds,
        "data.min_seconds",
        f"below data.max_seconds, {d.max_seconds:g}",
        d.min_seconds,
    )
    yield (
        b.min_utterances <= b.utterances,
        "batches.min_utterances",
        f"at most batches.utterances, {b.utterances}",
        b.min_utterances,
    )
    yield (
        b.neighbour_fraction <= 1 - 1 / b.keywords,
        "batches.neighbour_fraction",
        f"at most {1 - 1 / b.keywords:g}, which leaves one of batches.keywords, {b.keywords}",
        b.neighbour_fraction,
    )
    yield (
        c.context_probability + c.padding_probability <= 1 + 1e-9,
        "cut.context_probability",
        f"at most 1 together with cut.padding_probability, {c.padding_probability:g}",
        c.context_probability,
    )
    blocks = b.block_probability > 0
    yield (
        not blocks or config.model.kind == "adml",
        "batches.block_probability",
        f"0 with model.kind {config.model.kind}, which takes whole utterances",
        b.block_probability,
    )
    for name in ("noise_snr_db", "music_snr_db", "babble_snr_db", "speed_range", "gain_db"):
        low, high = getattr(a, name)
        yield low <= high, f"augmentation.{name}", "the lower end first", [low, high]
    unknown = [codec for codec in a.codecs if codec not in CODECS]
    yield (
        not unknown and (bool(a.codecs) or not a.codec_probability),
        "augmentation.codecs",
        f"some of {', '.join(CODECS)}",
        unknown or "none",
    )


def _of_model(config: Config) -> Iterator[Rule]:
    """What a baseline has not must be off, so that a configuration tells what was trained."""
    kind, losses, batches = config.model.kind, config.losses, config.batches
    yield (
        kind == "phonmatchnet" or not config.model.speech_embedding,
        "model.speech_embedding",
        f"nothing with model.kind {kind}; phonmatchnet alone has that branch",
        config.model.speech_embedding,
    )
    if kind == "adml":
        return
    without = f"with model.kind {kind}, which has no such loss"
    switched = (
        ("losses.phoneme.kind", "none", losses.phoneme.kind),
        ("losses.keyword.kind", "none", losses.keyword.kind),
        ("losses.adversarial.utterance", False, losses.adversarial.utterance),
        ("losses.ctc_weight", 0, losses.ctc_weight),
    )
    for path, wanted, received in switched:
        yield received == wanted, path, f"{str(wanted).lower()} {without}", received
    yield (
        losses.utterance == type(losses.utterance)(),
        "losses.utterance",
        f"the defaults, unread {without}",
        "other values",
    )
    yield (
        batches.negative_texts < batches.keywords,
        "batches.negative_texts",
        f"below batches.keywords, {batches.keywords}",
        batches.negative_texts,
    )


def _of_validation(config: Config) -> Iterator[Rule]:
    """A list that judges must have clips, and one figure."""
    settings = config.training.validation
    if config.training.validate_every_steps:
        yield (
            bool(settings.folder),
            "training.validation.folder",
            "a set with training.validate_every_steps above 0",
            "none",
        )
    yield (
        settings.kind != "modality",
        "training.validation.kind",
        "a kind with an average precision or an accuracy",
        settings.kind,
    )
