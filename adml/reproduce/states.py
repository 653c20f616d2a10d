"""How far each row is, told from records and run folders alone: no TensorFlow, no speech read."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adml.code_state import changed_modules, training_code
from adml.config_identity import differences, digest, settings_of, training_settings
from adml.errors import AdmlError, DataError
from adml.evaluation.records import Record
from adml.evaluation.scales import read_placed
from adml.reproduce.plan import CampaignPlan, PlannedRow, seeded

CAMPAIGN_LOCK = ".reproduce.lock"
DESCRIPTION = "reproduce.json"
_NAMED = 3
DONE, OLDER, NOT_RUN, FOREIGN = "done", "older code", "not run", "set aside"
DAMAGED = "damaged"


@dataclass(frozen=True)
class Identity:
    """What the data are: hash of the training segments, hashes of the lists by name."""

    data_hash: str
    lists: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """How far a row is with a seed.

    Args:
        row, seed: which.
        kind: "done", "older code", "other settings", "other data", "trained", "running",
            "started", "not run", "set aside" (a record that is damaged or of something else),
            "damaged" (a run folder that is), or "no configuration".
        detail: modules, keys or steps, in words.
        record: the record, where there is one.
        modules: that changed since the record.
    """

    row: str
    seed: int
    kind: str
    detail: str = ""
    record: Record | None = None
    modules: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The state in words."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def record_path(records: Path, row: str, seed: int) -> Path:
    """Where the record of a row and seed lies."""
    return records / f"{row}-seed{seed}.json"


def run_folder(
    out: Path, scale: str, row: PlannedRow, seed: int, code: Mapping[str, str], data_hash: str
) -> Path:
    """The run folder of a row: another one for other settings, other code or other data."""
    settings = training_settings(seeded(row.config, seed))
    name = digest(settings, training_code(code, row.kind), data_hash)[:8]
    return out / scale / row.name / f"seed{seed}-{name}"


def state_of(
    plan: CampaignPlan,
    row: PlannedRow,
    seed: int,
    *,
    out: Path,
    records: Path,
    code: Mapping[str, str],
    identity: Identity | None = None,
) -> State:
    """The state of a row.

    Args:
        plan: with the scale.
        row: of it.
        seed: of the run.
        out: folder of all runs.
        records: folder of the records.
        code: hashes of today's code.
        identity: of the data; None: what a record says of them is believed.
    """
    if row.config is None:
        return State(row.name, seed, "no configuration", row.problem)
    path = record_path(records, row.name, seed)
    running = _run_state(plan, row, seed, out, code)
    if path.exists():
        record, problem = read_placed(path, plan.scale)
        if record is None:
            return State(row.name, seed, FOREIGN, problem)
        found = _judge(row, seed, record, code, identity)
        other = running and running.kind in ("running", "started")
        return running if other and found.kind not in (DONE, OLDER) else found
    return running or State(row.name, seed, NOT_RUN)


def _judge(
    row: PlannedRow, seed: int, record: Record, code: Mapping[str, str], identity: Identity | None
) -> State:
    """What a record is worth today."""
    wanted = settings_of(seeded(row.config, seed))
    try:
        keys = list(differences(settings_of(record.config), wanted))
    except AdmlError as error:
        return State(row.name, seed, "other settings", str(error), record)
    if keys:
        return State(row.name, seed, "other settings", ", ".join(keys), record)
    if identity is not None:
        told = {name: sha for name, sha in record.trials.items() if name in record.metrics}
        other = [name for name, sha in identity.lists.items() if told.get(name) != sha]
        other += ["training data"] if record.data_hash != identity.data_hash else []
        if other:
            return State(row.name, seed, "other data", ", ".join(other), record)
    recorded = record.details.get("code")
    if not isinstance(recorded, dict):
        return State(row.name, seed, OLDER, "the record does not tell which", record)
    if modules := tuple(changed_modules(recorded, code, row.kind)):
        return State(row.name, seed, OLDER, _some(modules), record, modules)
    return State(row.name, seed, DONE, "", record)


def _run_state(
    plan: CampaignPlan, row: PlannedRow, seed: int, out: Path, code: Mapping[str, str]
) -> State | None:
    """How far the run of these settings and this code is; None where none was begun."""
    settings = digest(training_settings(seeded(row.config, seed)))
    wanted, damaged = (settings, training_code(code, row.kind)), None
    for folder in sorted((out / plan.scale.name / row.name).glob(f"seed{seed}-*")):
        try:
            described = read_description(folder)
            if (described.get("settings"), described.get("code")) == wanted:
                return State(row.name, seed, *_progress(folder))
        except DataError as error:
            damaged = damaged or State(row.name, seed, DAMAGED, str(error))
    return damaged


def _progress(folder: Path) -> tuple[str, str]:
    """Kind and detail of the state that a run folder is in."""
    done, total = last_step(folder), total_steps(folder)
    steps = f"step {done} of {total}" if total else "no step done"
    if is_locked(folder):
        return "running", steps
    if total and done >= total:
        return "trained", "not evaluated"
    return "started", steps


def read_description(folder: Path) -> dict:
    """What a run folder says it is of; empty where it says nothing."""
    return _values(folder / DESCRIPTION)


def last_step(folder: Path) -> int:
    """The step of the newest whole checkpoint; 0 where there is none."""
    names = [path.parent.name for path in folder.glob("checkpoints/step-*/manifest.json")]
    steps = [name.removeprefix("step-") for name in names]
    return max((int(step) for step in steps if step.isdigit()), default=0)


def total_steps(folder: Path) -> int:
    """The length of a run; 0 where its data were not read yet."""
    total = _values(folder / "data.json").get("total_steps", 0)
    return total if isinstance(total, int) else 0


def is_finished(folder: Path) -> bool:
    """Whether a run is trained to its end and its cost is written."""
    total = total_steps(folder)
    counted = _values(folder / "cost.json").get("steps")
    return bool(total) and last_step(folder) >= total and counted == total


def is_locked(folder: Path) -> bool:
    """Whether another process is at a run folder."""
    with suppress(FileNotFoundError), (folder / CAMPAIGN_LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _values(path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged: {error}. Put a whole copy back, or remove the folder: what it "
            "holds is then trained anew."
        ) from None
    return values if isinstance(values, dict) else {}


def _some(modules: tuple[str, ...]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(modules) - _NAMED} more" if len(modules) > _NAMED else ""
    return ", ".join(modules[:_NAMED]) + more
