"""Sections of a page for the records of a scale: the paper's tables and its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adml.errors import DataError
from adml.evaluation.claims import EXPLAINED, judge_all, render_claims
from adml.evaluation.records import Record, read_record
from adml.evaluation.registry import Registry, Scale, read_registry, read_scale
from adml.evaluation.tables import render_table


@dataclass(frozen=True)
class ScaleRecords:
    """The records of a scale, the tables they are of, and what was set aside, in words."""

    registry: Registry
    scale: Scale
    records: tuple[Record, ...]
    set_aside: tuple[str, ...] = ()


def read_scales(folder: str | Path, experiments: str | Path | None = None) -> list[ScaleRecords]:
    """Find the folders of records below one, each named like a scale.

    Args:
        folder: of the records.
        experiments: folder with `tables.yaml` and `scale/`; the parent of `folder` where None.

    Raises:
        ConfigError: a folder of records is of no scale.
    """
    folder = Path(folder)
    experiments = Path(experiments or folder.parent)
    below = [path for path in sorted(folder.iterdir()) if any(path.glob("*.json"))]
    if not below:
        return []
    registry = read_registry(experiments)
    return [
        read_scale_records(registry, read_scale(experiments, path.name), path) for path in below
    ]


def read_scale_records(registry: Registry, scale: Scale, folder: Path) -> ScaleRecords:
    """Read the records of a scale; what is damaged, or of something else, is set aside and told.

    Args:
        registry: of all tables.
        scale: that the records should be of.
        folder: of the records; one that is not there holds none.
    """
    rows = {row.config for table in registry.tables for row in table.rows}
    records, set_aside = [], []
    for path in sorted(folder.glob("*.json")):
        record, problem = read_placed(path, scale)
        if record and record.name not in rows:
            record, problem = None, f"{record.name!r} is no row of the tables."
        if record:
            records.append(record)
        else:
            set_aside.append(f"{path.name}: {problem}")
    return ScaleRecords(registry, scale, tuple(records), tuple(set_aside))


def read_placed(path: Path, scale: Scale) -> tuple[Record | None, str]:
    """A record that lies where the one of its row, seed and scale should; else None and why not.

    A copy under another name would count a seed twice.
    """
    try:
        record = read_record(path)
    except DataError as error:
        return None, str(error).removeprefix(f"{path}: ")
    place = f"{record.name}-seed{record.seed}.json"
    if path.name != place:
        return None, f"It is the record of row {record.name!r}, seed {record.seed}: {place}."
    if record.config.get("seed", record.seed) != record.seed:
        return None, f"Its seed is {record.seed}, that of its settings {record.config['seed']!r}."
    if (told := record.details.get("scale", scale.name)) != scale.name:
        return None, f"It is of the scale {told!r}, not {scale.name!r}."
    return record, ""


def render_scale(
    found: ScaleRecords,
    tables: Sequence[str] = (),
    *,
    code: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping] | None = None,
) -> str:
    """The tables of a scale and the claims on them, as Markdown.

    Args:
        found: records with their scale.
        tables: names of the tables to show; all where empty.
        code, settings: that records are compared with; see `tables.rows_of`.
    """
    registry, scale, records = found.registry, found.scale, found.records
    blocks = [f"## The paper's tables at the scale `{scale.name}`\n\n{_opening(scale)}"]
    for table in registry.tables:
        if not tables or table.name in tables:
            made = render_table(table, scale, records, code=code, settings=settings)
            again = f"adml reproduce {table.name} --scale {scale.name}"
            again += "" if scale.synthetic else " --speech DIR"
            blocks.append(
                f"### {table.title}\n\n{table.measured} The paper: {table.paper_data}.\n"
                f"Again: `{again}`.\n\n{made}"
            )
    judged = judge_all(registry, scale, records, tables)
    if judged:
        made = render_claims(judged, scale)
        blocks.append(
            f"### What the paper claims, at the scale `{scale.name}`\n\n{EXPLAINED}\n{made}"
        )
    if found.set_aside:
        lines = "".join(f"- {told}\n" for told in found.set_aside)
        blocks.append(f"### Records that were set aside\n\n{lines}")
    return "\n".join(blocks)


def _opening(scale: Scale) -> str:
    return (
        f"All rows share {scale.text}. They differ in {' and '.join(scale.may_differ)} only; each "
        "record holds the difference.\nFigures of the paper are of its own data and its own "
        "length, and never comparable with ours.\n"
    )
