"""Sections of a page for the records of a scale: the paper's tables and its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adml.evaluation.claims import EXPLAINED, judge_all, render_claims
from adml.evaluation.records import Record, read_records
from adml.evaluation.registry import Registry, Scale, read_registry, read_scale
from adml.evaluation.tables import render_table


@dataclass(frozen=True)
class ScaleRecords:
    """The records of a scale, and the tables they are of."""

    registry: Registry
    scale: Scale
    records: tuple[Record, ...]


def read_scales(folder: str | Path, experiments: str | Path | None = None) -> list[ScaleRecords]:
    """Find the folders of records below one, each named like a scale.

    Args:
        folder: of the records.
        experiments: folder with `tables.yaml` and `scale/`; the parent of `folder` where None.

    Raises:
        ConfigError: a folder of records is of no scale.
        DataError: a record cannot be read.
    """
    folder = Path(folder)
    experiments = Path(experiments or folder.parent)
    below = [path for path in sorted(folder.iterdir()) if any(path.glob("*.json"))]
    if not below:
        return []
    registry = read_registry(experiments)
    return [
        ScaleRecords(registry, read_scale(experiments, path.name), tuple(read_records(path)))
        for path in below
    ]


def render_scale(
    found: ScaleRecords, tables: Sequence[str] = (), *, code: Mapping[str, str] | None = None
) -> str:
    """The tables of a scale and the claims on them, as Markdown.

    Args:
        found: records with their scale.
        tables: names of the tables to show; all where empty.
        code: hashes of the code that records are compared with; see `tables.rows_of`.
    """
    registry, scale, records = found.registry, found.scale, found.records
    blocks = [f"## The paper's tables at the scale `{scale.name}`\n\n{_opening(scale)}"]
    for table in registry.tables:
        if not tables or table.name in tables:
            made = render_table(table, scale, records, code=code)
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
    return "\n".join(blocks)


def _opening(scale: Scale) -> str:
    return (
        f"All rows share {scale.text}. They differ in {' and '.join(scale.may_differ)} only; each "
        "record holds the difference.\nFigures of the paper are of its own data and its own "
        "length, and never comparable with ours.\n"
    )
