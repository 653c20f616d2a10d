"""What the quickstart trains and tests on: synthetic speech, or the sets of a folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from adml.build.data import build_segments_of, held_out_speakers
from adml.config import Config, TrialsConfig, load_config
from adml.data.words import read_words
from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

HELD_OUT = 0.2
KEYWORDS = 48


def synthetic_settings() -> dict:
    """Sets and trial lists of the synthetic corpus."""
    lists = [
        {
            "name": "held-out-voices",
            "kind": "words",
            "folder": "test",
            "min_seconds": 0.15,
            "max_clips": 1200,
        },
        {
            "name": "held-out-voices-choice",
            "kind": "choice",
            "folder": "test",
            "min_seconds": 0.15,
            "max_clips": 600,
        },
    ]
    return {
        "data.train": ["train"],
        "data.max_words": 2,
        "augmentation.noise": ["noise"],
        "trials": lists,
    }


def real_settings(speech: Path) -> tuple[Path, dict]:
    """Which sets train and which test: by name where one is called dev or test, else by speaker."""
    if not speech.is_dir():
        raise UsageError(
            f"No folder at {speech}. Expected: a set of aligned speech, or a folder of sets."
        )
    root = speech.resolve()
    if (root / "words.tsv").is_file():
        root, sets = root.parent, [root.name]
    else:
        sets = sorted(path.parent.name for path in root.glob("*/words.tsv"))
    if not sets:
        raise DataError(
            f"No aligned speech in {root}. Expected: manifest.tsv and words.tsv there, "
            "or in folders of it."
        )
    held_out = [
        name for name in sets if any(word in name.lower() for word in ("dev", "test", "eval"))
    ]
    training = [name for name in sets if name not in held_out]
    noise = ["noise"] if (root / "noise" / "manifest.tsv").is_file() else []
    settings = {
        "data.train": training or held_out,
        "augmentation.noise": noise,
        "data.max_words": 2,
        "data.max_seconds": 1.5,
    }
    if training and held_out:
        sources, by_speaker = held_out, False
    else:
        sources, by_speaker = training or held_out, True
        settings["data.held_out_speakers"] = _share_with_speakers(root, sources)
    common = {"min_seconds": 0.4, "held_out_only": by_speaker}
    settings["trials"] = [
        *(
            {
                "name": f"held-out-{name}",
                "kind": "words",
                "folder": name,
                "max_clips": 1200,
                **common,
            }
            for name in sources
        ),
        {
            "name": f"held-out-{sources[0]}-choice",
            "kind": "choice",
            "folder": sources[0],
            "max_clips": 600,
            **common,
        },
    ]
    return root, settings


def _share_with_speakers(root: Path, sets: list[str]) -> float:
    """The smallest share, from 20 % on, that parts the speakers of every set in two."""
    speakers = [sorted(set(read_words(root / name).speaker.tolist())) for name in sets]
    for share in (HELD_OUT, 0.3, 0.4, 0.5, 0.6, 0.7):
        if all(0 < held_out_speakers(names, share).sum() < len(names) for names in speakers):
            return share
    raise DataError(
        f"Too few speakers to hold some out in {', '.join(sets)}. Expected: several in every set. "
        f"Received: {', '.join(str(len(names)) for names in speakers)}."
    )


def quickstart_config(root: Path, settings: dict, steps: int, seed: int) -> Config:
    """The paper's objective and encoders; batch, rate and length are those of a short run."""
    config = load_config()
    data = {
        key.removeprefix("data."): tuple(value) if isinstance(value, list) else value
        for key, value in settings.items()
        if key.startswith("data.")
    }
    epochs = replace(config.losses.keyword, ramp_start_epoch=1.0, ramp_end_epoch=3.0)
    config = replace(config, data=replace(config.data, root=str(root), min_seconds=0.15, **data))
    keywords = _keywords_of_a_batch(config)
    return replace(
        config,
        name="quickstart",
        seed=seed,
        description="ADML + SphereFace2, a short run",
        batches=replace(config.batches, keywords=keywords, utterances=2, length_window=4),
        cut=replace(config.cut, padding_probability=0.3, padding_seconds=0.2),
        augmentation=replace(config.augmentation, noise=tuple(settings["augmentation.noise"])),
        losses=replace(config.losses, keyword=epochs),
        optimizer=replace(
            config.optimizer,
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=20,
            constants_learning_rate=1e-3,
        ),
        training=replace(config.training, steps=steps, log_every_steps=5),
        evaluation=replace(
            config.evaluation,
            resamples=300,
            trials=tuple(TrialsConfig(**values) for values in settings["trials"]),
        ),
    )


def _keywords_of_a_batch(config: Config) -> int:
    """48, or fewer where there are few texts said twice (some of which may sound the same)."""
    segments = build_segments_of(config)
    said = np.bincount(segments.text, minlength=len(segments.texts))
    return max(2, min(KEYWORDS, 3 * int((said >= 2).sum()) // 4))
