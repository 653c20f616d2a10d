"""Checkpoints that are whole or absent: written aside, checksummed, renamed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.errors import DataError, UsageError

logger = logging.getLogger(__name__)

_MANIFEST, _ARRAYS = "manifest.json", "batch.npz"


class Checkpoints:
    """Save and restore everything a run needs to go on as if it had never stopped.

    The position in the data is a function of the step alone, so the state is: variables,
    optimizer slots, the step, and plain values that go with it. `restored` holds the plain
    values of the checkpoint that was restored.

    Args:
        folder: where the checkpoints lie, one folder a step.
        keep: how many of the newest stay.
        objects: trackable objects by name (model, losses, optimizers).
    """

    def __init__(self, folder: str | Path, *, keep: int = 2, **objects):
        self.folder = Path(folder)
        self.keep = keep
        self.restored: dict = {}
        self._checkpoint = tf.train.Checkpoint(**objects)

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, oldest first."""
        names = [path.name for path in self.folder.glob("step-*") if (path / _MANIFEST).is_file()]
        return sorted(
            int(name.removeprefix("step-"))
            for name in names
            if name.removeprefix("step-").isdigit()
        )

    def save(self, step: int, values: Mapping | None = None) -> Path:
        """Write the state after `step` steps; older checkpoints beyond `keep` are removed.

        So are later ones: they were damaged, as the state did not come from them.

        Args:
            step: steps done.
            values: what JSON can hold, kept with the checkpoint. `values["best"]["step"]` names
                one, this or an older, that is not removed.

        Raises:
            DataError: the folder cannot be written; the older checkpoints stay.
        """
        target = self.write(self._at(step), step, values)
        best = (values or {}).get("best", {}).get("step")
        kept = [best, *[one for one in self.steps() if one <= step][-self.keep :]]
        for old in (one for one in self.steps() if one not in kept):
            # Half removed it would look damaged.
            os.replace(self._at(old), _aside(self._at(old)))
        for old in self.folder.glob("step-*.part"):
            shutil.rmtree(old, ignore_errors=True)
        return target

    def write(
        self,
        target: Path,
        step: int,
        values: Mapping | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> Path:
        """Write the state as a folder of any name, whole or absent; one that is there is replaced.

        The files and their folder reach the disk before the folder has its name.

        Args:
            target: the folder.
            step, values: as of `save`.
            arrays: kept with the state, for `read_arrays`.

        Raises:
            DataError: it cannot be written.
        """
        aside = _aside(target)
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            self._checkpoint.write(str(aside / "state"))
            if arrays is not None:
                np.savez(aside / _ARRAYS, **arrays)
            sums = {path.name: _sha256(path) for path in sorted(aside.iterdir())}
            manifest = {"step": step, "sha256": sums, "values": dict(values or {})}
            (aside / _MANIFEST).write_text(json.dumps(manifest, indent=1))
            for path in (*aside.iterdir(), aside):
                _flush(path)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(aside, target)
            _flush(target.parent)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise DataError(
                f"Cannot write the checkpoint {target}: {error}. Free some space and resume."
            ) from error
        return target

    def _at(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def restore_latest(self) -> int:
        """Restore the newest undamaged checkpoint.

        Returns:
            The number of steps it had done; 0 where there is no checkpoint.

        Raises:
            DataError: there are checkpoints and each of them is damaged or of another model.
        """
        steps, damage = self.steps(), None
        for step in reversed(steps):
            damage = _damage(self._at(step))
            if not damage:
                return self._read(self._at(step))
            logger.warning(
                "Checkpoint %s is damaged (%s); the one before it is tried.",
                *(self._at(step), damage),
            )
        if steps:
            raise DataError(
                f"Every checkpoint in {self.folder} is damaged. Expected: at least one whole one. "
                f"Received: {len(steps)}, the oldest with this fault: {damage}. Put a whole copy "
                "back, or remove that folder: adml train --resume then begins at the first step."
            )
        return 0

    def best_step(self) -> int | None:
        """The step that the newest checkpoint calls the best; None where it calls none so."""
        for step in reversed(self.steps()):
            try:
                manifest = json.loads((self._at(step) / _MANIFEST).read_text())
                return manifest["values"].get("best", {}).get("step")
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # It is damaged, which is told where it is restored.
        return None

    def restore_chosen(self, which: str) -> int:
        """Restore "latest", "best" or the checkpoint of a step.

        Returns:
            The number of steps it had done; 0 where there is no checkpoint.

        Raises:
            UsageError: there is no such checkpoint.
            DataError: it is damaged or of another model.
        """
        if which == "latest":
            return self.restore_latest()
        step = self.best_step() if which == "best" else int(which)
        if step not in self.steps():
            received = f"step {step}"
            if step is None:
                received = "none that was validated (training.validate_every_steps)"
            raise UsageError(
                f"{self.folder} has no such checkpoint. Expected: latest, or one of the steps "
                f"{', '.join(map(str, self.steps())) or '(none)'}. Received: {received}."
            )
        return self.restore(self._at(step))

    def sums(self, step: int) -> dict[str, str]:
        """sha256 of each file of the checkpoint of a step."""
        return json.loads((self._at(step) / _MANIFEST).read_text())["sha256"]

    def restore(self, folder: Path) -> int:
        """Restore what `write` wrote.

        Returns:
            The number of steps it had done.

        Raises:
            DataError: it is missing, damaged or of another model.
        """
        if damage := _damage(folder):
            raise DataError(f"Checkpoint {folder} is damaged: {damage}. Put a whole copy back.")
        return self._read(folder)

    def _read(self, folder: Path) -> int:
        try:
            status = self._checkpoint.read(str(folder / "state"))
            # A model alone leaves the slots of the optimizers in the file.
            status.assert_existing_objects_matched().expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise DataError(
                f"Checkpoint {folder} is of another model or configuration: {error}. Expected: "
                "one of config.yaml beside it and of this version. Put that file or that "
                "version back, or train in another folder."
            ) from None
        manifest = json.loads((folder / _MANIFEST).read_text())
        self.restored = manifest.get("values", {})
        return manifest["step"]


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays that `Checkpoints.write` kept with a state.

    Raises:
        DataError: they cannot be read.
    """
    try:
        with np.load(folder / _ARRAYS, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{folder / _ARRAYS} cannot be read: {error}. Put a whole copy back."
        ) from error


def _aside(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _damage(folder: Path) -> str | None:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        sums, _ = manifest["sha256"], int(manifest["step"])
        wrong = [name for name, value in sums.items() if _sha256(folder / name) != value]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return str(error)
    return f"checksum of {wrong[0]}" if wrong else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else hashlib.sha256(file.read()).hexdigest()
        )


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
