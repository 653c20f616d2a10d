"""A run folder: made new, found again, and what stands in its files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from adml.config import Config, load_config
from adml.errors import DataError, UsageError
from adml.training.lock import LOCK

CAMPAIGN_FILES = (".reproduce.lock", "reproduce.json")
"""What `adml reproduce` writes in a run folder before the run."""

TEXTS = "training_texts.txt"
"""Every text that a run is trained on."""

INITIAL = "initial.json"
INITIAL_TEXTS = "initial_texts.txt"
"""What a run tells of the weights that it began with, and what they had been trained on."""


def open_run(config: Config, workdir: str | Path, *, resume: bool) -> Path:
    """Make an empty run folder, or check that an existing one is of the same configuration.

    Nothing is written yet: data that cannot be used leaves a folder that can be used again. So
    does a run that was killed before its configuration was written.

    Raises:
        UsageError: the folder exists and `resume` is off, it is of another configuration, or
            it cannot be written.
    """
    folder = Path(workdir)
    described = folder / "config.yaml"
    if resume and described.is_file():
        if _at(load_config(described), config.data.root) != config:
            raise UsageError(
                f"{folder} is a run of another configuration. Expected: the one in {described}. "
                "Resume without --config, --set and --deterministic, or choose another folder."
            )
        return folder
    if resume and not folder.is_dir():
        raise UsageError(
            f"There is no run in {folder} to go on with. Expected: a folder made by `adml train`. "
            "Start one without --resume."
        )
    try:
        if folder.exists() and (not folder.is_dir() or _entries(folder)):
            raise UsageError(
                f"The run folder {folder} exists. Expected: a new or empty folder. "
                "Choose another one, or go on with a run that is in it by --resume."
            )
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"Cannot write the run folder {folder}: {error.strerror}. Choose another one."
        ) from None
    return folder


def require_run(workdir: str | Path) -> Path:
    """The folder of a run that was begun.

    Raises:
        UsageError: it is none.
    """
    folder = Path(workdir)
    if not (folder / "config.yaml").is_file():
        raise UsageError(
            f"{folder} is no run folder. Expected: a folder with config.yaml, made by `adml train`."
        )
    return folder


def require_writable(folder: Path, option: str) -> None:
    """Try to write in a folder, made where it is not there, before anything takes long.

    Args:
        folder: to write in.
        option: that names it, for the message.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"Cannot write in {folder}: {error.strerror}. Expected: a folder that can be written. "
            f"Choose another one by {option} DIR."
        ) from None


def read_values(path: Path, without: str) -> dict:
    """Read a file of a run that holds a JSON object; an empty one where there is no file.

    Args:
        path: the file.
        without: what removing the file means, for the message.

    Raises:
        DataError: the file is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged. Expected: a JSON object. Received: {error}. Put a whole copy "
            f"back, or remove it: {without}."
        ) from None
    return values


def _at(config: Config, root: str) -> Config:
    """The same experiment on data that lie elsewhere; what they are is told by their hash."""
    return replace(config, data=replace(config.data, root=root))


def _entries(folder: Path) -> list[Path]:
    """What stands in a folder but for what a run has that was killed before its first step."""
    ours = (LOCK, "environment.json", INITIAL, INITIAL_TEXTS, *CAMPAIGN_FILES)
    return [p for p in folder.iterdir() if p.name not in ours and not fnmatch(p.name, ".*.part")]
