"""A table of the paper as a picture: our figures with their intervals, one panel a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from adml.evaluation.cells import metric_title
from adml.evaluation.records import Record
from adml.evaluation.registry import Column, Scale, Table
from adml.evaluation.style import BLUE, FAINT, dress, new_figure, save
from adml.evaluation.tables import figure_of, rows_of


def draw_table(
    table: Table, scale: Scale, records: Sequence[Record], path: str | Path
) -> Path | None:
    """Draw our figures of a table, its rows from top to bottom; the paper's are on other data.

    A dot is the mean over seeds, faint dots are the seeds, the bar is the standard deviation; of
    one seed the bar is the bootstrap interval.

    Args:
        table: of the paper.
        scale: of the records.
        records: of any rows.
        path: of the PNG.

    Returns:
        The path; None where no row has a figure.
    """
    rows = rows_of(table, scale, records)
    if not any(row.records for row in rows):
        return None
    wide = len(table.columns)
    figure = new_figure(2.4 + 3.0 * wide, 1.0 + 0.34 * len(rows))
    panels = figure.subplots(1, wide, sharey=True, squeeze=False)[0]
    for axes, column in zip(panels, table.columns, strict=True):
        for place, row in enumerate(rows):
            _draw_row(
                axes, place, [r for r in row.records if figure_of(r, column, scale)], column, scale
            )
        test = scale.tests.get(column.test, "")
        dress(axes, title=table.title if axes is panels[0] else "")
        axes.set_xlabel(f"{metric_title(column.metric)}, {test}", fontsize=8.5)
        axes.set_yticks(range(len(rows)), [row.row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
    return save(figure, path)


def _draw_row(axes, place: int, records: Sequence[Record], column: Column, scale: Scale) -> None:
    figures = [figure_of(record, column, scale) for record in records]
    values = [100 * figure["value"] for figure in figures]
    if not values:
        return
    middle = mean(values)
    if len(values) > 1:
        low = high = stdev(values)
        axes.plot(values, [place] * len(values), ".", color=FAINT, markersize=4)
    else:
        edges = [figures[0][name] for name in ("low", "high")]
        low, high = (0.0 if edge is None else abs(100 * edge - middle) for edge in edges)
    axes.errorbar(middle, place, xerr=[[low], [high]], fmt="o", color=BLUE, capsize=3)
