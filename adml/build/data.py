"""The segments and batches that a configuration describes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adml.config import Config
from adml.data.batches import BatchSource
from adml.data.cutting import Cutter
from adml.data.disturbance import BABBLE_VOICES, Background, Disturber, StoredResponses
from adml.data.segments import SegmentTable, build_segments
from adml.data.sets import open_recordings, read_clips, read_words
from adml.data.words import WordTable
from adml.errors import ConfigError, DataError
from adml.text.g2p import G2P

RESPONSE_SUFFIXES = (".wav", ".flac", ".opus")


def set_path(root: str, item: str) -> tuple[Path, str]:
    """Split `FOLDER:PREFIX` of a configuration and put the folder under the root."""
    folder, _, prefix = item.partition(":")
    return Path(root) / folder, prefix


def build_segments_of(config: Config) -> SegmentTable:
    """The word segments that the configuration trains on.

    Raises:
        ConfigError: no data folder was given, or two sets hold the same recordings.
        DataError: a set is missing, or nothing is left after filtering.
    """
    data = config.data
    if not data.root:
        raise ConfigError(
            "No speech was given. Expected: --speech DIR (or data.root in the configuration)."
        )
    tables = []
    for item in data.train:
        folder, prefix = set_path(data.root, item)
        tables.append(
            read_words(
                folder,
                words_file=data.words_file,
                path_prefix=prefix,
                min_confidence=data.min_confidence,
            )
        )
    _refuse_twice(data.train, tables)
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


def _refuse_twice(items: Sequence[str], tables: Sequence[WordTable]) -> None:
    """A recording of two sets would be a keyword's second utterance, and equal to the first."""
    owner: dict[str, str] = {}
    for item, table in zip(items, tables, strict=True):
        paths = np.unique(table.path).tolist()
        if twice := [path for path in paths if path in owner]:
            raise ConfigError(
                f"data.train takes {len(twice)} recordings twice. Expected: sets that share none. "
                f"Received: {owner[twice[0]]!r} and {item!r}, which share {twice[0]}."
            )
        owner |= dict.fromkeys(paths, item)


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


def build_source(
    config: Config, cache: Path, g2p: G2P, *, share: tuple[int, int] = (0, 1)
) -> BatchSource:
    """The batches: segments, decoded speech, noise and impulse responses.

    Args:
        config, cache, g2p: the experiment, the folder for decoded speech, texts to phonemes.
        share: of a worker; see `BatchSource`.
    """
    segments = build_segments_of(config)
    store = open_recordings(segments.utterances, cache / "pcm")
    c, b, masks = config.cut, config.batches, config.augmentation
    noise = _background(config, masks.noise, masks.noise_snr_db, cache)
    cutter = Cutter(
        jitter_ms=c.jitter_ms,
        context_probability=c.context_probability,
        context_seconds=c.context_seconds,
        padding_probability=c.padding_probability,
        padding_seconds=c.padding_seconds,
        quiet_noise=noise,
        disturber=_build_disturber(config, noise, cache),
        time_masks=masks.time_masks,
        time_mask_frames=masks.time_mask_frames,
        frequency_masks=masks.frequency_masks,
        frequency_mask_bins=masks.frequency_mask_bins,
        window_ms=config.features.window_ms,
        shift_ms=config.features.shift_ms,
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
        negative_texts=b.negative_texts if config.model.kind != "adml" else 0,
        blocks=_blocks(config),
        share=share,
    )


def _blocks(config: Config) -> dict[str, float] | None:
    b = config.batches
    if not b.block_probability:
        return None
    return {
        "probability": b.block_probability,
        "seconds": b.block_seconds,
        "spans": b.block_spans,
        "jitter_ms": b.block_jitter_ms,
        "distractors": b.block_distractors,
    }


def _build_disturber(config: Config, noise: Background | None, cache: Path) -> Disturber:
    a = config.augmentation
    music = _background(config, a.music, a.music_snr_db, cache)
    babble = _background(config, a.babble, a.babble_snr_db, cache, BABBLE_VOICES)
    return Disturber(
        speed_probability=a.speed_probability,
        speed_range=a.speed_range,
        gain_db=a.gain_db,
        impulse_responses=_impulse_responses(config, cache),
        reverberation_probability=a.reverberation_probability,
        backgrounds=[kind for kind in (noise, music, babble) if kind is not None],
        background_probability=a.noise_probability,
        codec_probability=a.codec_probability,
        codecs=a.codecs,
    )


def _background(
    config: Config,
    sets: Sequence[str],
    snr_db: tuple[float, float],
    cache: Path,
    voices: tuple[int, int] = (1, 1),
) -> Background | None:
    """The recordings of sets of sounds, decoded; None where no set is named."""
    folders = [set_path(config.data.root, item) for item in sets]
    paths = [
        path for folder, prefix in folders for path in read_clips(folder, path_prefix=prefix).path
    ]
    return Background(open_recordings(paths, cache / "pcm"), snr_db, voices) if paths else None


def _impulse_responses(config: Config, cache: Path) -> Sequence[np.ndarray]:
    """The impulse responses of all folders, read when they are drawn."""
    paths: list[str] = []
    if not config.augmentation.reverberation_probability:
        return ()
    for item in config.augmentation.impulse_responses:
        folder, prefix = set_path(config.data.root, item)
        found = sorted(
            str(path)
            for path in (folder / prefix).rglob("*")
            if path.suffix.lower() in RESPONSE_SUFFIXES
        )
        if not found:
            raise DataError(
                f"No impulse responses in {folder / prefix}. Expected: files that end in "
                f"{', '.join(RESPONSE_SUFFIXES)}."
            )
        paths += found
    return StoredResponses(open_recordings(paths, cache / "pcm")) if paths else ()
