"""The run whose weights another begins with: checked, taken, and remembered in the run's folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from adml.build.training import Training
from adml.config import Config, load_config
from adml.config_file import to_mapping
from adml.config_identity import differences, digest
from adml.errors import DataError, UsageError
from adml.files import write_atomically
from adml.run_folder import INITIAL, INITIAL_TEXTS, TEXTS, read_values, require_run
from adml.training.checkpoint import Checkpoints

logger = logging.getLogger(__name__)


def require_initial(config: Config, workdir: str | Path, *, resume: bool = False) -> None:
    """Check that there is another run to begin with, before anything is made ready.

    Args:
        config: its `training.initial` names the run, from where the program runs; empty = none.
        workdir: folder of the run that begins.
        resume: it goes on, where the other run may be gone.

    Raises:
        UsageError: it is no run, or this one.
        DataError: it has no checkpoint.
    """
    if not config.training.initial or resume:
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
    """Take the last weights of the model of another run, and nothing else of it.

    `initial.json` in the folder of the run then tells which they were, and `initial_texts.txt` what
    they had been trained on.

    Args:
        config: its `training.initial` names the run; empty = none.
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
    source = require_run(config.training.initial)
    checkpoints = Checkpoints(source / "checkpoints", model=training.step.model)
    try:
        step = checkpoints.restore_latest()
    except DataError as error:
        # What the fault advises is for a run that is to go on.
        received = _difference(config, source) or str(error).partition(". Put ")[0]
        raise DataError(
            f"{source} cannot be begun with (training.initial). Expected: a run of a model of the "
            f"same shape, with a whole checkpoint. Received: {received}. "
            "Begin with another run, or with none."
        ) from None
    told = describe_initial(source, checkpoints.sums(step), step)
    began = (folder / "config.yaml").is_file()  # and was stopped before its first checkpoint
    before = read_values(folder / INITIAL, "it is written anew") if began else {}
    if before.get("sha256", told["sha256"]) != told["sha256"]:
        raise DataError(
            f"{source} trained on since {folder} began with it. Expected: weights of the hash "
            f"{before['sha256'][:12]}. Received: {told['sha256'][:12]}. Train in another folder."
        )
    write_initial(source, told, folder)
    logger.info("The weights to begin with are those of step %d of %s.", step, source)
    return told["sha256"]


def describe_initial(source: Path, sums: dict, step: int) -> dict:
    """What a run tells of the weights that it gives: run, step, hash, sets, cost; its own first."""
    config = load_config(source / "config.yaml")
    sound = config.augmentation
    return {
        "run": config.name,
        "step": step,
        "sha256": digest(sums),
        "train": list(config.data.train),
        "noise": list(sound.noise),
        "music": list(sound.music),
        "babble": list(sound.babble),
        "impulse_responses": list(sound.impulse_responses),
        "cost": read_values(source / "cost.json", "its cost is then not told"),
        "initial": read_values(source / INITIAL, "what it began with is then not told"),
    }


def write_initial(source: Path, told: dict, folder: Path) -> None:
    """Remember in a run's folder what it began with."""
    texts = "\n".join(sorted(set(known_texts(source))))
    write_atomically(folder / INITIAL_TEXTS, (texts + "\n").encode())
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


def _difference(config: Config, source: Path) -> str:
    """In what the shape of a run's model differs, in words; "" where in nothing that is known."""
    ours, theirs = (
        {"model": to_mapping(one.model), "features": to_mapping(one.features),
         "losses": {"a frame classifier (ctc_weight)": one.losses.ctc_weight > 0}}
        for one in (config, load_config(source / "config.yaml"))
    )  # fmt: skip
    found = differences(theirs, ours)
    return "; ".join(f"{key} {old} there, {new} here" for key, (old, new) in found.items())
