"""The paper's tables and the scales to repeat them at, as `experiments/` tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from adml.config_file import from_mapping, parse_yaml, read_text
from adml.errors import ConfigError


@dataclass(frozen=True)
class Column:
    """A figure of a table.

    Args:
        key: its name in the rows' figures.
        test: role of the list of trials; a scale says which list plays it.
        metric: of the list, such as "average_precision".
        paper: title of the paper's own figures.
    """

    key: str = ""
    test: str = ""
    metric: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Row:
    """A row: stem of its configuration, name for people, the paper's figures (percent) by key."""

    config: str = ""
    label: str = ""
    paper: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    name: str = ""
    title: str = ""
    measured: str = ""
    paper_data: str = ""
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Something the paper says: row `better` beats row `worse` on every column of a table."""

    text: str = ""
    table: str = ""
    better: str = ""
    worse: str = ""


@dataclass(frozen=True)
class Registry:
    """All tables and claims."""

    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()

    def table(self, name: str) -> Table:
        """The table of a name.

        Raises:
            ConfigError: there is none.
        """
        for table in self.tables:
            if table.name == name:
                return table
        names = ", ".join(table.name for table in self.tables)
        raise ConfigError(f"No table of the name {name!r}. Expected one of: {names}.")


@dataclass(frozen=True)
class Need:
    """A file or folder that the speech of a scale must hold.

    Args:
        path: in the folder of the speech.
        what: what it is.
        columns: that a table of text must have, for the message.
        tables: that need it; all where empty.
        command: that makes it, with SPEECH for the folder of the speech; empty where `what` says.
    """

    path: str = ""
    what: str = ""
    columns: str = ""
    tables: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Scale:
    """What all rows share: data, batches, length and lists.

    Args:
        name: of the file.
        text: one line.
        tests: role -> name of the list that plays it.
        may_differ: sections and dotted keys of the configuration that rows may differ in.
        needs: what the speech must hold.
        synthetic: arguments of `adml.data.synthetic.make_corpus`; empty: speech is given.
        settings: laid over the configuration of each row.
    """

    name: str = ""
    text: str = ""
    tests: dict = field(default_factory=dict)
    may_differ: tuple[str, ...] = ("model.kind", "losses")
    needs: tuple[Need, ...] = ()
    synthetic: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


def read_registry(experiments: Path) -> Registry:
    """Read `tables.yaml` of a folder of experiments.

    Raises:
        ConfigError: the file is missing or contradicts itself.
    """
    path = experiments / "tables.yaml"
    registry = from_mapping(Registry, parse_yaml(read_text(path), source=str(path)))
    for table in registry.tables:
        keys = {column.key for column in table.columns}
        rows = [row.config for row in table.rows]
        if len(set(rows)) < len(rows) or not keys or not rows:
            raise ConfigError(f"{path}: {table.name} needs columns, and rows that differ.")
        for row in table.rows:
            figures = row.paper.values()
            if set(row.paper) - keys or not all(isinstance(f, (int, float)) for f in figures):
                raise ConfigError(
                    f"{path}: the paper's figures of {table.name}, {row.config} are wrong. "
                    f"Expected: numbers of {', '.join(sorted(keys))}. Received: {row.paper!r}."
                )
    for claim in registry.claims:
        rows = {row.config for row in registry.table(claim.table).rows}
        if odd := {claim.better, claim.worse} - rows:
            raise ConfigError(f"{path}: {claim.table} has no row {min(odd)!r} for {claim.text!r}.")
    return registry


def read_scale(experiments: Path, name: str) -> Scale:
    """Read `scale/NAME.yaml` of a folder of experiments.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    path = experiments / "scale" / f"{name}.yaml"
    values = parse_yaml(read_text(path), source=str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping. Received: {type(values).__name__}.")
    return from_mapping(Scale, {**values, "name": name})
