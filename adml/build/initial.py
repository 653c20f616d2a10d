"""The weights that a run begins with: checked, taken, and remembered in the run's folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from adml.build.training import Training
from adml.config import Config, load_config
from adml.config_file import to_mapping
from adml.config_identity import differences, digest
from adml.errors import DataError, UsageError
from adml.evaluation.records import Record, read_record
from adml.files import write_atomically
from adml.run_folder import INITIAL, INITIAL_TEXTS, TEXTS, read_values, require_run
from adml.spotting.signatures import DAMAGED, hash_of, load_saved
from adml.spotting.spotter import ACOUSTIC, PACKAGED, TEXT, find_export
from adml.training.checkpoint import Checkpoints

PACKAGE = "package"
"""`training.initial` of a run that begins with the weights in the package."""

_SETS = "train", "noise", "music", "babble", "impulse_responses"

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
        find_export()
        if received := _difference(config, _packaged_record().config):
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
    they had been trained on.

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
        theirs = to_mapping(load_config(source / "config.yaml"))
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
    record = _packaged_record()
    parts = record.config["data"] | record.config["augmentation"]
    return {
        "run": record.config["name"],
        "step": record.details["step"],
        "sha256": hash_of([PACKAGED / ACOUSTIC, PACKAGED / TEXT]),
        **{kind: parts[kind] for kind in _SETS},
        "cost": asdict(record.cost),
        "initial": record.details.get("initial", {}),
    }


def _packaged_record() -> Record:
    """The first record of the weights in the package."""
    found = sorted(PACKAGED.parent.glob("evaluation*.json"), key=lambda path: path.stem)
    if not found:
        raise DataError(
            f"{PACKAGED.parent} has no record of the weights in it (evaluation.json). "
            "Install the package again."
        )
    return read_record(found[0])


def _unfit(source: Path | str, received: str) -> DataError:
    return DataError(
        f"{source} cannot be begun with (training.initial). Expected: weights of a model of the "
        f"same shape, whole. Received: {received}. Begin with others, or with none."
    )


def describe_initial(source: Path, sums: dict, step: int) -> dict:
    """What a run tells of the weights that it gives: run, step, hash, sets, cost; its own first."""
    config = to_mapping(load_config(source / "config.yaml"))
    parts = config["data"] | config["augmentation"]
    return {
        "run": config["name"],
        "step": step,
        "sha256": digest(sums),
        **{kind: list(parts[kind]) for kind in _SETS},
        "cost": read_values(source / "cost.json", "its cost is then not told"),
        "initial": read_values(source / INITIAL, "what it began with is then not told"),
    }


def write_initial(told: dict, texts: Iterable[str], folder: Path) -> None:
    """Remember in a run's folder what it began with, and what that had been trained on."""
    lines = "".join(f"{text}\n" for text in sorted(set(texts)))
    write_atomically(folder / INITIAL_TEXTS, lines.encode())
    write_atomically(folder / INITIAL, (json.dumps(told, indent=1) + "\n").encode())


def known_texts(folder: Path) -> list[str]:
    """Every text that the weights of a run were trained on, in it or before it.

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


def _difference(config: Config, theirs: Mapping) -> str:
    """In what the shape of other settings' model differs; "" where in nothing that is known."""
    told, ours = (
        {"model": one["model"], "features": one["features"],
         "losses": {"a frame classifier (ctc_weight)": one["losses"]["ctc_weight"] > 0}}
        for one in (theirs, to_mapping(config))
    )  # fmt: skip
    found = differences(told, ours)
    return "; ".join(f"{key} {old} there, {new} here" for key, (old, new) in found.items())
