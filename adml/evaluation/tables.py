"""A table of the paper from records alone: its figures in one column, ours in others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from adml.code_state import changed_modules
from adml.config_identity import differences, digest, settings_of, without
from adml.errors import AdmlError
from adml.evaluation.cells import (
    commits_of,
    cost_of,
    markdown_table,
    metric_title,
    seeds_figure,
    short,
)
from adml.evaluation.records import Record
from adml.evaluation.registry import Column, Row, Scale, Table

NOT_RUN = "*not run*"
_UNREAD = "settings that cannot be read"


@dataclass(frozen=True)
class RowRecords:
    """A row with its records, by seed, and what makes them hard to compare with the others'."""

    row: Row
    records: tuple[Record, ...]
    notes: tuple[str, ...]


def rows_of(
    table: Table,
    scale: Scale,
    records: Sequence[Record],
    code: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping] | None = None,
) -> list[RowRecords]:
    """The rows of a table with their records.

    Args:
        table: of the paper.
        scale: that the records were made at.
        records: of any rows.
        code: hashes of the code to compare with; None: that of the newest record of the table.
        settings: of each row as its file and the scale say now; None: not compared.

    Returns:
        Every row, also those without a record.
    """
    names = {row.config for row in table.rows}
    of_table = [record for record in records if record.name in names]
    told = {id(record): shared(record, table, scale) for record in of_table}
    usual = Counter(digest(values) for values in told.values()).most_common(1)
    norm = next((v for v in told.values() if usual and digest(v) == usual[0][0]), {})
    newest = max(of_table, key=lambda record: record.created, default=None)
    whose = "today's" if code is not None else "that of the table's newest record"
    against = code if code is not None else _code_of(newest)
    rows = []
    for row in table.rows:
        own = sorted((r for r in of_table if r.name == row.config), key=lambda r: r.seed)
        notes = {}
        for record in own:
            if keys := list(differences(norm, told[id(record)])):
                notes[f"not comparable with the other rows: {', '.join(keys)} differ"] = None
            if keys := _changed(record, (settings or {}).get(row.config)):
                notes[f"made with other settings than the row has now: {', '.join(keys)}"] = None
            if modules := _older(record, against):
                notes[f"made with other code than {whose}: {', '.join(modules)}"] = None
        rows.append(RowRecords(row, tuple(own), tuple(notes)))
    return rows


def shared(record: Record, table: Table, scale: Scale) -> dict:
    """What the rows of a table must have in common: settings, data and lists."""
    settings = _settings(record)
    kept = without(settings, (*scale.may_differ, "seed"))
    lists = {scale.tests.get(column.test, "") for column in table.columns}
    hashes = {name: sha for name, sha in record.trials.items() if name in lists}
    return {**kept, "training data": record.data_hash, "lists": hashes}


def figure_of(record: Record, column: Column, scale: Scale) -> Mapping | None:
    """A record's figure of a column: value, low, high, n; None where it has none."""
    test = scale.tests.get(column.test, "")
    figure = record.metrics.get(test, {}).get("all", {}).get(column.metric)
    return figure if figure and figure["value"] is not None else None


def render_table(
    table: Table,
    scale: Scale,
    records: Sequence[Record],
    *,
    code: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping] | None = None,
) -> str:
    """The Markdown of a table; see `rows_of`."""
    head = ["row", *(f"paper: {c.paper}" for c in table.columns)]
    head += [
        f"ours: {metric_title(c.metric)} on {scale.tests.get(c.test, 'no list')}"
        for c in table.columns
    ]
    head += ["seeds", "data", "cost a run", "commit"]
    lines, notes = [], {}
    for found in rows_of(table, scale, records, code, settings):
        for note in found.notes:
            notes.setdefault(note, ascii_lowercase[len(notes) % len(ascii_lowercase)])
        marks = "".join(f" ({notes[note]})" for note in found.notes)
        lines.append(_line(table, scale, found, marks))
    foot = "".join(f"- ({mark}) {note}\n" for note, mark in notes.items())
    return markdown_table(head, lines) + (f"\n{foot}" if foot else "")


def _line(table: Table, scale: Scale, found: RowRecords, marks: str) -> list[str]:
    row, records = found.row, found.records
    cells = [f"{row.label} (`{row.config}`)"]
    cells += [f"{row.paper[c.key]:.2f}" if c.key in row.paper else "–" for c in table.columns]
    if not records:
        return [*cells, *[NOT_RUN] * len(table.columns), *["–"] * 4]
    for column in table.columns:
        figures = [f for record in records if (f := figure_of(record, column, scale))]
        cells.append(seeds_figure(figures) + marks if figures else NOT_RUN)
    seeds = ", ".join(str(record.seed) for record in records)
    data = ", ".join(sorted({_data_of(record) for record in records}))
    return [*cells, seeds, data, cost_of(records), commits_of(records)]


def _data_of(record: Record) -> str:
    sets = _settings(record).get("data", {}).get("train", [])
    return f"{', '.join(sets)} `{short(record.data_hash)}`".strip()


def _settings(record: Record) -> dict:
    """The settings of a record; those that are of another version or damaged as one value."""
    try:
        return settings_of(record.config)
    except AdmlError:
        return {_UNREAD: record.config}


def _changed(record: Record, now: Mapping | None) -> list[str]:
    """Keys of a record's settings, but for the seed, that the row has otherwise now."""
    own = _settings(record)
    if now is None or _UNREAD in own:
        return [_UNREAD] if _UNREAD in own else []
    return [key for key in differences(now, own) if key != "seed"]


def _code_of(record: Record | None) -> Mapping[str, str]:
    code = record.details.get("code") if record else None
    return code if isinstance(code, Mapping) else {}


def _older(record: Record, against: Mapping[str, str]) -> list[str]:
    """Modules of a record that are others in `against`, of those that both tell of."""
    kind = _settings(record).get("model", {}).get("kind", "adml")
    both = {name: value for name, value in _code_of(record).items() if name in against}
    return changed_modules(both, against, kind)
