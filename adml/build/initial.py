"""The weights that a run begins with: checked, taken, and remembered in the run's folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from adml.build.training import Training
from adml.config import Config, load_config
from adml.config_file import from_mapping, to_mapping
from adml.config_identity import differences, digest, without
from adml.errors import AdmlError, DataError, UsageError
from adml.evaluation.records import read_record
from adml.files import write_atomically
from adml.run_folder import INITIAL, INITIAL_TEXTS, TEXTS, read_values, require_run
from adml.spotting.signatures import DAMAGED, hash_of, load_saved
from adml.spotting.spotter import ACOUSTIC, PACKAGED, TEXT, holds_export
from adml.training.checkpoint import Checkpoints

PACKAGE = "package"
"""`training.initial` of a run that begins with the weights in the package."""

_SHAPELESS = "fast", "attention_projections"
"""Settings of the model that change no weight of the encoders."""

logger = logging.getLogger(__name__)


def require_initial(config: Config, workdir: str | Path, *, resume: bool = False) -> None:
    """Check that there are weights to begin with, before anything is made ready.

    Args:
        config: its `training.initial` names the run, from where the program runs, or is `PACKAGE`;
            empty = none.
        workdir: folder of the run that begins.
        resume: it goes on, where the other run may be gone.

    Raises:
        UsageError: it is no run, or this one, or nothing is in the package.
        DataError: it has no checkpoint, or what is in the package is of another shape.
    """
    if not config.training.initial or resume:
        return
    if config.training.initial == PACKAGE:
        if not holds_export(PACKAGED):
            raise UsageError(
                "There are no weights in the package to begin with (training.initial). Expected: "
                f"{ACOUSTIC}/ and {TEXT}/ in {PACKAGED}. Install the package again, or name a run."
            )
        if received := _difference(config, describe_packaged()[0], _SHAPELESS):
            raise _unfit("The package", received)
        return
    folder = require_run(config.training.initial)
    if folder.resolve() == Path(workdir).resolve():
        raise UsageError(
            f"training.initial is the run {workdir} itself. Expected: another run, or none. "
            "Train in another folder."
        )
    if not Checkpoints(folder / "checkpoints").steps():
        raise DataError(
            f"{folder} has no checkpoint to begin with (training.initial). Expected: a run that "
            f"trained. Train on with: adml train --resume --out {folder}"
        )


def begin_with_initial(config: Config, training: Training, folder: Path) -> str:
    """Take the last weights of the model of another run, or those in the package, and nothing else.

    `initial.json` in the folder of the run then tells which they were, and `initial_texts.txt` what
    they had been trained on: nothing where they were in the package, which does not list it.

    Args:
        config: its `training.initial` names the run, or is `PACKAGE`; empty = none.
        training: what begins.
        folder: of the run that begins.

    Returns:
        A hash of the weights, "" where there are none.

    Raises:
        UsageError: it is no run.
        DataError: it has no whole checkpoint, one of another model, or trained on since this run
            began with it.
    """
    if not config.training.initial:
        return ""
    require_initial(config, folder)
    if config.training.initial == PACKAGE:
        source, told, texts = PACKAGE, _take_packaged(training), []
    else:
        source = require_run(config.training.initial)
        told, texts = _take_run(config, training, source), known_texts(source)
    began = (folder / "config.yaml").is_file()  # and was stopped before its first checkpoint
    before = read_values(folder / INITIAL, "it is written anew") if began else {}
    if before.get("sha256", told["sha256"]) != told["sha256"]:
        raise DataError(
            f"{source} has other weights than when {folder} began with it. Expected: of the hash "
            f"{before['sha256'][:12]}. Received: {told['sha256'][:12]}. Train in another folder."
        )
    write_initial(told, texts, folder)
    logger.info("The weights to begin with are those of step %d of %s.", told["step"], source)
    return told["sha256"]


def _take_run(config: Config, training: Training, source: Path) -> dict:
    """Restore the last weights of a run; what `describe_initial` tells of them."""
    checkpoints = Checkpoints(source / "checkpoints", model=training.step.model)
    try:
        step = checkpoints.restore_latest()
    except DataError as error:
        # What the fault advises is for a run that is to go on.
        theirs = load_config(source / "config.yaml")
        received = _difference(config, theirs) or str(error).partition(". Put ")[0]
        raise _unfit(source, received) from None
    return describe_initial(source, checkpoints.sums(step), step)


def _take_packaged(training: Training) -> dict:
    """Take the weights in the package; what `describe_initial` tells of a run, of them."""
    model, log_mel = training.step.model, training.step.log_mel
    heard = [*model.acoustic.variables, *log_mel.variables]
    if model.frame_classifier:
        heard += model.frame_classifier.variables
    for name, ours in ((ACOUSTIC, heard), (TEXT, model.text.variables)):
        try:
            held = load_saved(PACKAGED / name).held
            shapes = [[tuple(one.shape) for one in some] for some in (held[: len(ours)], ours)]
        except (*DAMAGED, AttributeError) as error:
            raise DataError(
                f"{PACKAGED / name} cannot be read: {error}. Install the package again."
            ) from error
        if shapes[0] != shapes[1]:
            raise _unfit("The package", f"other weights in {PACKAGED / name}")
        for one, other in zip(ours, held, strict=False):
            one.assign(other)
    return describe_packaged()[1]


def describe_packaged() -> tuple[Config, dict]:
    """The configuration of the weights in the package, and what `describe_initial` tells of a run.

    Raises:
        DataError: the record of them is missing or damaged.
    """
    path = min(PACKAGED.parent.glob("evaluation*.json"), key=lambda path: path.stem, default=None)
    try:
        if path is None:
            raise DataError(f"{PACKAGED.parent} has no record of the weights (evaluation.json)")
        record = read_record(path)
        config = from_mapping(Config, record.config)
        return config, _told(
            config,
            record.details["step"],
            hash_of([PACKAGED / ACOUSTIC, PACKAGED / TEXT]),
            asdict(record.cost),
            dict(record.details.get("initial", {})),
        )
    except (AdmlError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"What the weights in the package were trained by cannot be read: {error}. "
            "Install the package again."
        ) from error


def _unfit(source: Path | str, received: str) -> DataError:
    return DataError(
        f"{source} cannot be begun with (training.initial). Expected: weights of a model of the "
        f"same shape, whole. Received: {received}. Begin with others, or with none."
    )


def describe_initial(source: Path, sums: dict, step: int) -> dict:
    """What a run tells of the weights that it gives: run, step, hash, sets, cost; its own first."""
    return _told(
        load_config(source / "config.yaml"),
        step,
        digest(sums),
        read_values(source / "cost.json", "its cost is then not told"),
        read_values(source / INITIAL, "what it began with is then not told"),
    )


def _told(config: Config, step: int, sha256: str, cost: dict, initial: dict) -> dict:
    sound = config.augmentation
    return {
        "run": config.name,
        "step": step,
        "sha256": sha256,
        "train": list(config.data.train),
        "noise": list(sound.noise),
        "music": list(sound.music),
        "babble": list(sound.babble),
        "impulse_responses": list(sound.impulse_responses),
        "cost": cost,
        "initial": initial,
    }


def write_initial(told: dict, texts: Iterable[str], folder: Path) -> None:
    """Remember in a run's folder what it began with, and what that had been trained on."""
    lines = "".join(f"{text}\n" for text in sorted(set(texts)))
    write_atomically(folder / INITIAL_TEXTS, lines.encode())
    write_atomically(folder / INITIAL, (json.dumps(told, indent=1) + "\n").encode())


def known_texts(folder: Path) -> list[str]:
    """Every text that the weights of a run were trained on, in it or before it.

    Those that weights in the package were trained on are not known.

    Raises:
        DataError: a list of them is damaged.
    """
    found: list[str] = []
    for path in (folder / TEXTS, folder / INITIAL_TEXTS):
        try:
            found += path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}. Put a whole copy back.") from None
    return found


def _difference(config: Config, theirs: Config, shapeless: Sequence[str] = ()) -> str:
    """In what the shape of another model differs; "" where in nothing that is known.

    Not where it only has what this one does without, nor in the settings of the model `shapeless`.
    """
    told, ours = (
        {"model": without(to_mapping(one.model), shapeless), "features": to_mapping(one.features),
         "losses": {"a frame classifier (ctc_weight)": one.losses.ctc_weight > 0}}
        for one in (theirs, config)
    )  # fmt: skip
    if not config.losses.ctc_weight:
        ours["losses"] = told["losses"]
    found = differences(told, ours)
    return "; ".join(f"{key} {old} there, {new} here" for key, (old, new) in found.items())
