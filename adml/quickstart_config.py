"""What the quickstart trains and tests on: synthetic speech, or the sets of a folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adml.build.data import build_source, held_out_speakers
from adml.config import Config, TrialsConfig, load_config
from adml.data.sets import read_words
from adml.errors import DataError, UsageError
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)

HELD_OUT = 0.2
KEYWORDS = 48
TEST_NAMES = ("dev", "development", "eval", "evaluation", "test", "testing", "valid", "validation")


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


def real_settings(speech: Path, test_sets: Sequence[str] = ()) -> tuple[Path, dict]:
    """Which sets train and which test: as named, or by name, or else by speaker; says which.

    Args:
        speech: a set, or a folder of sets.
        test_sets: sets to test on; where empty, those of whose names a part (parts end where
            letters do) is one of `TEST_NAMES`. Without any, speakers of every set are held out.

    Returns:
        The folder of the sets, and the settings of data and trial lists.

    Raises:
        UsageError: no folder, or sets are named that are not there or leave none to train on.
        DataError: no aligned speech, or too few speakers.
    """
    root, sets = _sets_of(speech)
    held_out, reason = _test_sets(root, sets, test_sets)
    training = [name for name in sets if name not in held_out]
    noise = ["noise"] if (root / "noise" / "manifest.tsv").is_file() else []
    settings = {
        "data.train": training or held_out,
        "augmentation.noise": noise,
        "data.max_words": 2,
        "data.max_seconds": 1.5,
    }
    by_speaker = not (training and held_out)
    sources = sets if by_speaker else held_out
    if by_speaker:
        share = settings["data.held_out_speakers"] = _share_with_speakers(root, sets)
        reason = f"{share:.0%} of their speakers, kept from training, as {reason}"
    logger.info("training on: %s", ", ".join(settings["data.train"]))
    logger.info("testing on: %s (%s)", ", ".join(sources), reason)
    common = {"min_seconds": 0.4, "held_out_only": by_speaker}
    names = [f"held-out-{re.sub(r'[^-.a-zA-Z0-9_]+', '-', name)}" for name in sources]
    settings["trials"] = [
        *(
            {"name": name, "kind": "words", "folder": folder, "max_clips": 1200, **common}
            for name, folder in zip(names, sources, strict=True)
        ),
        {
            "name": f"{names[0]}-choice",
            "kind": "choice",
            "folder": sources[0],
            "max_clips": 600,
            **common,
        },
    ]
    return root, settings


def _sets_of(speech: Path) -> tuple[Path, list[str]]:
    """The folder of the sets, and their names."""
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
    return root, sets


def _test_sets(root: Path, sets: list[str], named: Sequence[str]) -> tuple[list[str], str]:
    """The sets to test on, and why they are."""
    unknown = sorted(set(named) - set(sets))
    if unknown:
        raise UsageError(
            f"There is no set {unknown[0]!r} in {root}. Expected for --test-sets: names of "
            f"{', '.join(sets)}. Received: {','.join(named)}."
        )
    if named and set(named) == set(sets):
        raise UsageError(
            f"--test-sets names every set of {root}, which leaves none to train on. Expected: some "
            f"of {', '.join(sets)}. Without the option some speakers are tested on."
        )
    if named:
        return sorted(set(named)), "named by --test-sets"
    found = [
        name for name in sets if not set(re.split(r"[\W\d_]+", name.lower())).isdisjoint(TEST_NAMES)
    ]
    if found and len(found) < len(sets):
        return found, f"part of the name is one of {', '.join(TEST_NAMES)}; else use --test-sets"
    return found, f"{'every' if found else 'no'} set is called dev or test; --test-sets names some"


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
    return replace(
        config,
        name="quickstart",
        seed=seed,
        description="ADML + SphereFace2, a short run",
        batches=replace(config.batches, keywords=KEYWORDS, utterances=2, length_window=4),
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


def fit_batch(config: Config, cache: Path, g2p: G2P) -> Config:
    """Make the batch as small as the speech, and say so.

    A batch takes three quarters of the keywords at most. Where no two keywords are said twice, one
    utterance of each is enough.

    Raises:
        DataError: there are not two keywords.
    """
    for fewest in (2, 1):
        small = replace(config.batches, keywords=2, min_utterances=fewest)
        try:
            source = build_source(replace(config, batches=small), cache, g2p)
            break
        except DataError:
            if fewest == 1:
                raise
    keywords = max(2, min(config.batches.keywords, 3 * source.num_keywords // 4))
    if (keywords, fewest) != (config.batches.keywords, config.batches.min_utterances):
        logger.warning(
            "little speech: a batch takes %d keywords, not %d, of the %d that are said %s",
            keywords,
            config.batches.keywords,
            source.num_keywords,
            "twice or more" if fewest == 2 else "at all; hardly one is said twice",
        )
    return replace(
        config, batches=replace(config.batches, keywords=keywords, min_utterances=fewest)
    )
