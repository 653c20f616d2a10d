"""RESULTS.md from the records alone: one section a test list, one row a configuration and part."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adml.errors import DataError
from adml.evaluation.cells import (
    METRIC_TITLES,
    commits_of,
    cost_of,
    format_figure,
    markdown_table,
    metric_title,
    seeds_figure,
    short,
)
from adml.evaluation.records import Record, read_records
from adml.evaluation.scales import ScaleRecords, read_scales, render_scale

__all__ = [
    "Published", "format_figure", "markdown_table", "metric_title", "render", "render_folder",
]  # fmt: skip

_PARTS = ("all", "seen", "unseen", "utterance", "phoneme")
_NOT_RUN = "*not run*"
_HEAD = """# Results

Generated from the run records by `adml results`; do not edit. Brackets hold the 95 % bootstrap
interval of one run (over words or speakers, as the list groups its clips); ± is the standard
deviation over seeds. "seen" and "unseen" are the trials whose text's pronunciation is or is not in
a training text. A figure on one list is never comparable with a figure on another.
"""


@dataclass(frozen=True)
class Published:
    """A paper's figures on one test list; shown only beside records of that very list.

    Args:
        name: of the test list.
        source: where the figures stand, such as "paper, Table 2".
        figures: row (a record's name) -> metric -> fraction.
    """

    name: str
    source: str
    figures: Mapping[str, Mapping[str, float]]


def render(
    records: Sequence[Record],
    *,
    analysis: str = "",
    published: Mapping[str, Published] | None = None,
    scales: Sequence[ScaleRecords] = (),
) -> str:
    """Write all records as one Markdown page.

    Args:
        records: of any runs; records of one name, data and list are seeds of one row.
        analysis: free Markdown that is put after the tables.
        published: a paper's figures by the sha256 of their test list. Only the tables of these
            lists have a column for the paper; a list or row that no record holds says "not run".
        scales: records of the paper's tables, which have sections of their own.

    Returns:
        The page.

    Raises:
        DataError: two records have the same name, data, list and seed.
    """
    published = published or {}
    lists: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        for test, sha256 in record.trials.items():
            if test in record.metrics:
                lists[test, sha256].append(record)
    ran = {sha256 for _, sha256 in lists}
    blocks = [_HEAD, *(render_scale(found) for found in scales)]
    for (test, sha256), members in sorted(lists.items(), key=lambda item: item[0]):
        blocks.append(_section(test, sha256, members, published.get(sha256)))
    for sha256, paper in published.items():
        if sha256 not in ran:
            blocks.append(_section(paper.name, sha256, [], paper))
    if not lists:
        blocks.append("There are no records yet.\n")
    else:
        blocks.append(_runs(records))
    if analysis.strip():
        blocks.append(analysis.strip() + "\n")
    return "\n".join(blocks)


def render_folder(
    folder: str | os.PathLike,
    *,
    analysis: str | os.PathLike | None = None,
    published: Mapping[str, Published] | None = None,
) -> str:
    """Render every record of a folder and of its scales, and the analysis where there is one."""
    text = ""
    if analysis is not None and Path(analysis).is_file():
        text = Path(analysis).read_text(encoding="utf-8")
    records = read_records(folder)
    return render(records, analysis=text, published=published, scales=read_scales(folder))


def _section(test: str, sha256: str, records: list[Record], paper: Published | None) -> str:
    rows = _rows(test, records)
    metrics = _ordered({name for row in rows.values() for name in row[1]})
    if paper is not None:
        metrics = metrics or _ordered({name for row in paper.figures.values() for name in row})
    head = ["configuration", "part", "n", *(metric_title(name) for name in metrics), "seeds"]
    head += ["data", "cost a run", "commit", *([paper.source] if paper else [])]
    lines, named = [], set()
    for (name, _, part), (members, figures) in rows.items():
        named.add(name)
        line = [f"`{name}`", part, _sizes(figures)]
        line += [seeds_figure(figures[m], m) if m in figures else "–" for m in metrics]
        line += [str(len(members)), short(members[0].data_hash)]
        line += [cost_of(members), commits_of(members)]
        lines.append(line + ([_paper_figures(paper, name)] if paper and part == "all" else []))
    for name in paper.figures if paper else ():
        if name not in named:
            line = [f"`{name}`", "all", "–", *[_NOT_RUN] * len(metrics), *["–"] * 4]
            lines.append([*line, _paper_figures(paper, name)])
    lines = [line + [""] * (len(head) - len(line)) for line in lines]
    return f"## {_heading(test)}\n\nList `{short(sha256)}`.\n\n{markdown_table(head, lines)}"


def _rows(test: str, records: list[Record]) -> dict:
    """(name, data hash, part) -> (records, metric -> figures of the seeds)."""
    runs: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        members = runs[record.name, record.data_hash]
        if any(record.seed == other.seed for other in members):
            raise DataError(
                f"Two records of {record.name!r} have seed {record.seed} and the list {test!r}. "
                "Expected: one. Keep the one that counts."
            )
        members.append(record)
    rows = {}
    for (name, data), members in sorted(runs.items()):
        members = sorted(members, key=lambda record: record.seed)
        parts = {part for record in members for part in record.metrics[test]}
        for part in sorted(parts, key=lambda p: (_PARTS.index(p) if p in _PARTS else 9, p)):
            holders = [record for record in members if part in record.metrics[test]]
            figures: dict[str, list] = defaultdict(list)
            for record in holders:
                for metric, figure in record.metrics[test][part].items():
                    figures[metric].append(figure)
            rows[name, data, part] = (holders, dict(figures))
    return rows


def _runs(records: Sequence[Record]) -> str:
    """How to repeat each run."""
    head = ["configuration", "seed", "made", "commit", "data", "command"]
    rows = [
        [f"`{r.name}`", str(r.seed), r.created[:10] or "–", commits_of([r]), short(r.data_hash)]
        + [f"`{r.command}`" if r.command else "–"]
        for r in sorted(records, key=lambda record: (record.name, record.seed))
    ]
    return f"## Runs\n\n{markdown_table(head, rows)}"


def _ordered(names: set[str]) -> list[str]:
    known = [name for name in METRIC_TITLES if name in names]
    return known + sorted(names - set(known))


def _heading(test: str) -> str:
    return test.replace("_", " ").replace("\n", " ")


def _sizes(figures: Mapping[str, list]) -> str:
    counts = sorted({figure["n"] for values in figures.values() for figure in values})
    return " / ".join(f"{count:,}" for count in counts)


def _paper_figures(paper: Published, name: str) -> str:
    figures = paper.figures.get(name, {})
    return ", ".join(f"{metric_title(m)} {100 * v:.2f}" for m, v in figures.items()) or "–"
