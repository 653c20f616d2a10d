"""What is to be run: the rows of tables, each with its configuration, and whether that is fair."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from adml.config import Config
from adml.config_file import from_mapping, parse_yaml, read_text
from adml.config_identity import differences, settings_of
from adml.errors import ConfigError, UsageError
from adml.evaluation.registry import Registry, Scale, Table, read_registry, read_scale

ALL = "all"


@dataclass(frozen=True)
class PlannedRow:
    """A row of one or more tables; `config` is None where `problem` says why.

    `overruled` holds the keys that the row's own file sets and the scale sets otherwise, with
    both values.
    """

    name: str
    tables: tuple[str, ...]
    config: Config | None
    problem: str = ""
    overruled: Mapping[str, tuple] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of its model."""
        return self.config.model.kind if self.config else "adml"

    @property
    def overruled_text(self) -> str:
        """What the scale overrules in the row's own file, in words; empty where nothing."""
        pairs = self.overruled.items()
        told = ", ".join(f"{key} {own!r} by {its!r}" for key, (own, its) in pairs)
        return f"{self.name}: the scale overrules {told}" if told else ""


@dataclass(frozen=True)
class CampaignPlan:
    """The chosen tables and their rows, each once, in the tables' order."""

    registry: Registry
    scale: Scale
    tables: tuple[Table, ...]
    rows: tuple[PlannedRow, ...]
    chosen: tuple[str, ...]

    def row(self, name: str) -> PlannedRow:
        """The row of a name."""
        return next(row for row in self.rows if row.name == name)


def make_plan(
    experiments: str | Path, table: str, scale: str, only: Sequence[str] = ()
) -> CampaignPlan:
    """Read the tables, the scale and the rows' configurations.

    Args:
        experiments: folder with `tables.yaml`, `paper/` and `scale/`.
        table: its name, or "all".
        scale: its name.
        only: rows to run; all of the tables where empty.

    Raises:
        ConfigError: a file is missing or wrong; a row's own file is looked at when it is run.
        UsageError: no row of a name asked for.
    """
    experiments = Path(experiments)
    registry, laid_over = read_registry(experiments), read_scale(experiments, scale)
    from_mapping(Config, laid_over.settings)
    tables = registry.tables if table == ALL else (registry.table(table),)
    names = list(dict.fromkeys(row.config for t in tables for row in t.rows))
    if odd := [name for name in only if name not in names]:
        raise UsageError(_no_row(odd[0], table, names, registry))
    rows = []
    for name in names:
        holders = tuple(t.name for t in registry.tables if name in {r.config for r in t.rows})
        try:
            config, against = row_config(experiments, name, laid_over)
            rows.append(PlannedRow(name, holders, config, overruled=against))
        except ConfigError as error:
            rows.append(PlannedRow(name, holders, None, str(error)))
    chosen = tuple(name for name in names if not only or name in only)
    return CampaignPlan(registry, laid_over, tuple(tables), tuple(rows), chosen)


def _no_row(name: str, table: str, names: Sequence[str], registry: Registry) -> str:
    holders = [t.name for t in registry.tables if name in {row.config for row in t.rows}]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"It is in {', '.join(holders)}." if holders else f"Nearest: {near[0]!r}."
    return f"No row {name!r} in {table}. {hint} Expected some of: {', '.join(names)}."


def row_config(experiments: Path, name: str, scale: Scale) -> tuple[Config, dict[str, tuple]]:
    """A row's own file with the scale's settings laid over it, and what these overrule in it.

    Raises:
        ConfigError: the file is missing, or a value in it is wrong.
    """
    path = experiments / "paper" / f"{name}.yaml"
    own = parse_yaml(read_text(path), source=str(path)) or {}
    if not isinstance(own, dict):
        raise ConfigError(f"{path} must hold a mapping. Received: {type(own).__name__}.")
    config = from_mapping(Config, laid_over({**own, "name": name}, scale.settings))
    return config, overruled(own, scale.settings)


def laid_over(below: Mapping, above: Mapping) -> dict:
    """Merge two mappings at every depth; where both have a value, that of `above` stays."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = laid_over(merged[key], value) if both else value
    return merged


def overruled(below: Mapping, above: Mapping, path: str = "") -> dict[str, tuple]:
    """Dotted keys that both mappings have, with unlike values: both of them."""
    found = {}
    for key in (key for key in below if key in above):
        one, other = below[key], above[key]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= overruled(one, other, f"{path}{key}.")
        elif one != other:
            found[f"{path}{key}"] = (one, other)
    return found


def seeded(config: Config, seed: int, root: str = "") -> Config:
    """The same row with a seed, on the speech of a folder."""
    return replace(config, seed=seed, data=replace(config.data, root=root))


def table_differences(plan: CampaignPlan, table: Table) -> dict[str, dict[str, tuple]]:
    """What each row of a table differs in from the first that has a configuration."""
    rows = [plan.row(row.config) for row in table.rows]
    settings = {row.name: settings_of(row.config) for row in rows if row.config}
    if not settings:
        return {}
    first = next(iter(settings.values()))
    return {name: differences(first, values) for name, values in settings.items()}


def _may_differ(key: str, scale: Scale) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in scale.may_differ)


def refuse_unfair(plan: CampaignPlan) -> None:
    """Check that the rows of each table share all but what the paper varies.

    Raises:
        UsageError: they do not; the message holds the dotted keys.
    """
    wrong = []
    for table in plan.tables:
        rows = table_differences(plan, table)
        for name, keys in rows.items():
            odd = [key for key in keys if not _may_differ(key, plan.scale)]
            told = ", ".join(f"{key} {keys[key][1]!r}, not {keys[key][0]!r}" for key in odd)
            if odd:
                wrong.append(f"{table.name}: {name} has {told}, of {next(iter(rows))}")
    if wrong:
        raise UsageError(
            f"The rows would not be comparable. {'; '.join(wrong)}. Expected: rows that differ in "
            f"{', '.join(plan.scale.may_differ)} only. Settle the keys for all rows in "
            f"experiments/scale/{plan.scale.name}.yaml, under settings."
        )
