"""The record of a run: what ran, on what, at what cost, and every figure; one JSON file each."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from adml.errors import DataError
from adml.files import write_atomically

_PACKAGES = ("adml", "tensorflow", "tf_keras", "tensorflow-io", "numpy", "scikit-learn", "g2p_en")
_FIGURE_KEYS = {"value", "low", "high", "n"}


@dataclass(frozen=True)
class Cost:
    """What a run cost.

    Args:
        seconds: wall time of training.
        cpu_seconds: processor time of training, all threads.
        steps: optimizer steps.
        utterances: clips seen in training, repeats counted.
        peak_memory_mb: largest resident memory.
        wait_fraction: share of the time without a batch to train on.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    utterances: int = 0
    peak_memory_mb: float = 0.0
    wait_fraction: float = 0.0


@dataclass(frozen=True)
class Record:
    """One run and its figures.

    Args:
        name: of the configuration; records of one name differ in their seed only.
        config: the resolved configuration.
        commit: of the code, or "unknown".
        dirty: the code had changes that are in no commit.
        seed: of the run.
        data_hash: sha256 of the training data's table, or "" for a model that saw none.
        trials: sha256 of every test list, by its name.
        metrics: test list -> part ("all", "seen", "unseen") -> metric ->
            {"value", "low", "high", "n"}; a value is a fraction, or None where it is not defined.
        cost: of the training.
        versions: of the packages, by name.
        command: that repeats the run.
        created: UTC time, ISO 8601.
        details: anything else that is worth keeping: confusions, inputs set aside.
    """

    name: str
    config: dict
    commit: str
    dirty: bool
    seed: int
    data_hash: str
    trials: dict[str, str]
    metrics: dict[str, dict[str, dict[str, dict]]]
    cost: Cost = field(default_factory=Cost)
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    created: str = ""
    details: dict = field(default_factory=dict)

    def __post_init__(self):
        _validate(self)

    def to_dict(self) -> dict:
        """The record as plain dictionaries and lists, fit for JSON."""
        return json.loads(_to_json(self))


def write_record(record: Record, path: str | os.PathLike) -> Path:
    """Write a record as JSON; the file appears whole or not at all."""
    return write_atomically(path, (_to_json(record) + "\n").encode())


def read_record(path: str | os.PathLike) -> Record:
    """Read one record and check it.

    Raises:
        DataError: the file is missing, is not JSON, or a field is missing, unknown or wrong.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: the record cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: Expected: a JSON object. Received: {type(values).__name__}.")
    try:
        _check_keys(values, Record, "")
        if isinstance(values.get("cost"), dict):
            _check_keys(values["cost"], Cost, "cost.")
            values["cost"] = Cost(**values["cost"])
        return Record(**values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_records(folder: str | os.PathLike) -> list[Record]:
    """Read every `*.json` of a folder, in order of file name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of records.")
    return [read_record(path) for path in sorted(folder.glob("*.json"))]


def git_state(folder: str | os.PathLike = ".") -> tuple[str, bool]:
    """Commit of the code in `folder` and whether it has uncommitted changes; ("unknown", False)."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", False


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a figure; one that is not installed is left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment(folder: str | os.PathLike | None = None) -> dict:
    """What a run stands on: Python, platform, processors, package versions and the code's commit.

    Args:
        folder: of the code; the one of this package where it is None.
    """
    commit, dirty = git_state(Path(__file__).parent if folder is None else folder)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "versions": package_versions(),
        "commit": commit,
        "dirty": dirty,
    }


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _git(folder: str | os.PathLike, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.strip()


def _to_json(record: Record) -> str:
    return json.dumps(asdict(record), indent=2, sort_keys=True, allow_nan=False, default=_plain)


def _plain(value):
    """Turn NumPy scalars and arrays and other mappings into what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot stand in a record")


def _check_keys(values: dict, kind: type, prefix: str) -> None:
    known = {item.name for item in fields(kind)}
    for key in sorted(set(values) - known):
        raise DataError(
            f"unknown field {prefix}{key}. Expected one of: {', '.join(sorted(known))}."
        )
    if kind is Record:
        required = {"name", "config", "commit", "dirty", "seed", "data_hash", "trials", "metrics"}
        for key in sorted(required - set(values)):
            raise DataError(f"field {key} is missing.")


def _validate(record: Record) -> None:
    kinds = {
        "name": str, "config": dict, "commit": str, "dirty": bool, "seed": int, "data_hash": str,
        "trials": dict, "metrics": dict, "cost": Cost, "versions": dict, "command": str,
        "created": str, "details": dict,
    }  # fmt: skip
    for name, kind in kinds.items():
        value = getattr(record, name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DataError(
                f"field {name} is wrong. Expected: {kind.__name__}. "
                f"Received: {type(value).__name__}."
            )
    for name, value in asdict(record.cost).items():
        if not _is_number(value):
            raise DataError(f"cost.{name} is wrong. Expected: a number. Received: {value!r}.")
    for test, parts in record.metrics.items():
        if not isinstance(record.trials.get(test), str) or not record.trials[test]:
            raise DataError(f"metrics of {test!r} have no hash in `trials`. Expected: its sha256.")
        for part, metrics in _mapping(parts, f"metrics.{test}").items():
            for metric, figure in _mapping(metrics, f"metrics.{test}.{part}").items():
                _validate_figure(figure, f"metrics.{test}.{part}.{metric}")


def _is_number(value) -> bool:
    """Whether a value is a finite number that a float can hold; JSON knows larger ones."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


def _mapping(value, where: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} is wrong. Expected: dict. Received: {type(value).__name__}.")
    return value


def _validate_figure(figure, where: str) -> None:
    if set(_mapping(figure, where)) != _FIGURE_KEYS:
        raise DataError(
            f"{where} is wrong. Expected: value, low, high and n. Received: {sorted(figure)}."
        )
    for key in ("value", "low", "high"):
        number = figure[key]
        if number is not None and not _is_number(number):
            raise DataError(
                f"{where}.{key} is wrong. Expected: a finite number or null. Received: {number!r}."
            )
    if not isinstance(figure["n"], int) or isinstance(figure["n"], bool) or figure["n"] < 0:
        raise DataError(f"{where}.n is wrong. Expected: a count. Received: {figure['n']!r}.")
