"""What `adml reproduce` tells without running anything: states, differences, figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from adml.code_state import code_hashes
from adml.config_identity import settings_of
from adml.evaluation.cells import format_figure, markdown_table, metric_title
from adml.evaluation.claims import judge_all
from adml.evaluation.records import Record
from adml.evaluation.scales import read_scale_records, render_scale
from adml.reproduce.plan import CampaignPlan, table_differences
from adml.reproduce.states import State, state_of

logger = logging.getLogger(__name__)


def list_states(plan: CampaignPlan, seeds: int, *, out: Path, records: Path) -> list[State]:
    """The state of each chosen row and seed; no speech is read, so records are believed."""
    code = code_hashes()
    return [
        state_of(plan, plan.row(name), seed, out=out, records=records, code=code)
        for name in plan.chosen
        for seed in range(seeds)
    ]


def format_states(plan: CampaignPlan, states: Sequence[State]) -> str:
    """The states as a Markdown table, with the figures of what is done."""
    figures = list(dict.fromkeys((c.test, c.metric) for t in plan.tables for c in t.columns))
    head = ["row", "tables", "seed", "state", *(f"{metric_title(m)}, {t}" for t, m in figures)]
    lines = []
    for state in states:
        tables = ", ".join(name.removeprefix("table") for name in plan.row(state.row).tables)
        cells = [figure_cell(plan, state, test, metric) for test, metric in figures]
        lines.append([f"`{state.row}`", tables, str(state.seed), state.text, *cells])
    return markdown_table(head, lines)


def figure_cell(plan: CampaignPlan, state: State, test: str, metric: str) -> str:
    """A figure of a state's record as text; empty where there is none."""
    figure = _figure(plan, state, test, metric)
    return format_figure(figure) if figure else ""


def _figure(plan: CampaignPlan, state: State, test: str, metric: str) -> Mapping | None:
    metrics = state.record.metrics if state.record else {}
    return metrics.get(plan.scale.tests.get(test, ""), {}).get("all", {}).get(metric)


def states_values(plan: CampaignPlan, states: Sequence[State]) -> list[dict]:
    """The states for programs."""
    columns = list(dict.fromkeys((c.test, c.metric) for t in plan.tables for c in t.columns))
    return [
        {
            "row": state.row,
            "tables": list(plan.row(state.row).tables),
            "seed": state.seed,
            "state": state.kind,
            "detail": state.detail,
            "modules": list(state.modules),
            "figures": [
                {"test": plan.scale.tests.get(test, ""), "metric": metric, **figure}
                for test, metric in columns
                if (figure := _figure(plan, state, test, metric))
            ],
        }
        for state in states
    ]


def render(plan: CampaignPlan, records: Path) -> str:
    """The chosen tables and the claims on them, from the records; older code is told."""
    if not records.is_dir():
        logger.warning("There is no folder of records %s yet.", records)
    found = read_scale_records(plan.registry, plan.scale, records)
    for told in found.set_aside:
        logger.warning("A record is set aside: %s", told)
    settings = {row.name: settings_of(row.config) for row in plan.rows if row.config}
    names = [table.name for table in plan.tables]
    return render_scale(found, names, code=code_hashes(), settings=settings)


def draw(plan: CampaignPlan, records: Path, out: Path) -> list[Path]:
    """Draw the chosen tables that have figures, as `OUT/SCALE/TABLE.png`."""
    from adml.evaluation.table_plot import draw_table

    of_scale = _records(plan, records)
    folder = out / plan.scale.name
    drawn = [draw_table(t, plan.scale, of_scale, folder / f"{t.name}.png") for t in plan.tables]
    return [path for path in drawn if path]


def claims_values(plan: CampaignPlan, records: Path) -> list[dict]:
    """The claims on the chosen tables for programs."""
    tables = [table.name for table in plan.tables]
    return [
        {
            "claim": one.claim.text,
            "test": plan.scale.tests.get(one.column.test, ""),
            "metric": one.column.metric,
            "paper": one.paper,
            "advantage": one.advantage,
            "low": one.low,
            "high": one.high,
            "seeds": one.seeds,
            "verdict": one.verdict,
        }
        for one in judge_all(plan.registry, plan.scale, _records(plan, records), tables)
    ]


def _records(plan: CampaignPlan, folder: Path) -> tuple[Record, ...]:
    return read_scale_records(plan.registry, plan.scale, folder).records


def differences_values(plan: CampaignPlan) -> list[dict]:
    """The same as `format_differences` for programs."""
    return [
        {"table": table.name, "row": name, "key": key, "first": first, "own": own}
        for table in plan.tables
        for name, keys in table_differences(plan, table).items()
        if name in plan.chosen
        for key, (first, own) in keys.items()
    ]


def format_differences(plan: CampaignPlan) -> str:
    """What each row of the plan's tables differs in from the table's first row."""
    blocks = []
    for table in plan.tables:
        rows = table_differences(plan, table)
        lines = [
            [f"`{name}`", key, repr(first), repr(own)]
            for name, keys in rows.items()
            if name in plan.chosen
            for key, (first, own) in keys.items()
        ]
        first = next(iter(rows), "no row")
        head = ["row", "key", f"`{first}`", "own"]
        missing = [row.config for row in table.rows if row.config not in rows]
        told = f"\nWithout a configuration: {', '.join(missing)}.\n" if missing else ""
        texts = [plan.row(name).overruled_text for name in rows if name in plan.chosen]
        told += "".join(f"\n{text}.\n" for text in texts if text)
        blocks.append(f"{table.title}\n\n{markdown_table(head, lines)}{told}")
    return "\n".join(blocks)
