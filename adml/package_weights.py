"""Puts a trained run into the package: its export, its cohort, its records and a card of them."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.config_identity import training_settings
from adml.errors import DataError, UsageError
from adml.evaluation.records import read_record
from adml.experiment import Trained, load_run, read_values
from adml.model_card import Told, render_card
from adml.spotting.cohort import COHORT, read_cohort
from adml.spotting.signatures import hash_of
from adml.spotting.spotter import ACOUSTIC, PACKAGED, TEXT, find_export

CARD = "MODEL_CARD.md"
MODEL = "model.json"
EVALUATION = "evaluation*.json"
SPOTTING = "spotting*.json"

RECORDS = "card"
"""Folder of a run in which the records for the card lie."""

LARGEST_MB = 20
"""All that is put into the package may hold so much."""

logger = logging.getLogger(__name__)


def package_weights(
    run: str | Path, checkpoint: str = "latest", *, folder: Path = PACKAGED.parent
) -> Path:
    """Replace what is in the package by a run, once all of it is known to be of that run.

    The run has been exported, and its export has a cohort. The records lie in its folder `card`.

    Args:
        run: run folder.
        checkpoint: that was exported and evaluated: "latest", "best" or a step.
        folder: in the package.

    Returns:
        The path of the card.

    Raises:
        UsageError: there is no run, export or cohort, or they are too large to be packaged.
        DataError: the export is of another checkpoint, or a record is missing, damaged or of
            another model, or the cohort is.
    """
    source, trained = find_export(run), load_run(run, checkpoint=checkpoint)
    parts = _check_weights(trained, source)
    model = hash_of([source / ACOUSTIC, source / TEXT])
    if (heard := read_cohort(source).model) != model:
        raise DataError(
            f"{source / COHORT} is of another model. Expected: {model[:12]}. Received: "
            f"{heard[:12] or 'none'}. Make it anew by `adml cohort`."
        )
    told = read_told(Path(run) / RECORDS)
    _check_records(told, trained, model)
    environment = read_values(trained.folder / "environment.json", "the card then lacks it")
    told = Told({"model": model, "parameters": parts, "environment": environment}, *told[1:])
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for name in (ACOUSTIC, TEXT):
        shutil.copytree(source / name, aside / PACKAGED.name / name)
    shutil.copy(source / COHORT, aside / PACKAGED.name)
    for pattern in (EVALUATION, SPOTTING):
        for path in (Path(run) / RECORDS).glob(pattern):
            shutil.copy(path, aside)
    (aside / MODEL).write_text(json.dumps(told.model, indent=1) + "\n", encoding="utf-8")
    (aside / CARD).write_text(render_card(told), encoding="utf-8")
    _check_size(aside)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    logger.info("%s, %.1f MB", folder, size_mb(folder))
    return folder / CARD


def read_told(folder: Path) -> Told:
    """Read the JSON of a folder.

    Raises:
        DataError: a file is missing, damaged or no record.
    """
    evaluations = tuple(read_record(path) for path in _sorted(folder, EVALUATION))
    spotting = tuple(_read_json(path) for path in _sorted(folder, SPOTTING))
    if not evaluations or not spotting:
        raise DataError(
            f"{folder} has too few records for a card. Expected: {EVALUATION} of `adml evaluate` "
            f"and {SPOTTING} of `adml evaluate spotting`, one or more of each. Received: "
            f"{len(evaluations)} and {len(spotting)}. Write them there by --record."
        )
    path = folder / MODEL
    return Told(_read_json(path) if path.is_file() else {}, evaluations, spotting)


def _sorted(folder: Path, pattern: str) -> list[Path]:
    """By name less its ending: evaluation.json is the first, before evaluation-ctc0.1.json."""
    return sorted(folder.glob(pattern), key=lambda path: path.stem)


def size_mb(folder: Path) -> float:
    """Megabytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _check_size(folder: Path) -> None:
    if size_mb(folder) > LARGEST_MB:
        raise UsageError(
            f"The weights are too large for the package. Expected: at most {LARGEST_MB} MB. "
            f"Received: {size_mb(folder):.1f} MB, in {folder}. Train a smaller model."
        )


def _check_weights(trained: Trained, source: Path) -> dict[str, int]:
    """Compare an export with a checkpoint, bit by bit; the parameters of each part."""
    model = trained.model
    parts = {"acoustic encoder": model.acoustic, "text encoder": model.text}
    heard = [*model.acoustic.variables, *trained.log_mel.variables]
    if model.frame_classifier:
        parts["frame classifier"] = model.frame_classifier
        heard += model.frame_classifier.variables
    for name, wanted in ((ACOUSTIC, heard), (TEXT, model.text.variables)):
        held = tf.saved_model.load(str(source / name)).held
        same = len(held) == len(wanted) and all(
            np.array_equal(one.numpy(), other.numpy())
            for one, other in zip(held, wanted, strict=True)
        )
        if not same:
            raise DataError(
                f"{source / name} is not of this run and checkpoint. Expected: the weights of step "
                f"{trained.step} of {trained.folder}. Received: others. Export the run again, and "
                "make its cohort and records again."
            )
    return {
        name: sum(int(np.prod(weight.shape)) for weight in part.trainable_variables)
        for name, part in parts.items()
    }


def _check_records(told: Told, trained: Trained, model: str) -> None:
    """Refuse records of another run, checkpoint or export."""
    settings = training_settings(trained.config)
    for record in told.evaluations:
        found = record.details.get("step"), record.seed, training_settings(record.config)
        if found != (trained.step, trained.config.seed, settings):
            raise DataError(
                f"The record {record.name}, made {record.created}, is not of this run. Expected: "
                f"step {trained.step} of {trained.folder}, of its settings and seed. Received: "
                f"step {found[0]}. Evaluate the run again."
            )
    for record in told.spotting:
        if record.get("model") != model:
            raise DataError(
                f"A record of spotting, made {record.get('created')}, is of another model. "
                f"Expected: {model[:12]}. Received: {str(record.get('model'))[:12]}. Make it again "
                "by `adml evaluate spotting`."
            )


def _read_json(path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read. Expected: a JSON object. Received: {error}. Make it again."
        ) from error
    return values
