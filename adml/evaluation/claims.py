"""What the paper says of its rows, judged on ours: the difference with its interval, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.special import stdtrit

from adml.evaluation.cells import markdown_table, metric_title
from adml.evaluation.records import Record
from adml.evaluation.registry import Claim, Column, Registry, Scale, Table
from adml.evaluation.tables import figure_of, shared

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_RUN, NOT_COMPARABLE = "not run", "not comparable"
LOWER_IS_BETTER = ("equal_error_rate",)
LEVEL = 0.95

EXPLAINED = """Advantage: by how much the row that the claim favours is better, in points; brackets
hold its 95 % interval. With two seeds or more of both rows: Student's t of the differences seed by
seed. With one: the rows' bootstrap intervals, combined as the root of the sum of squares, which is
wider than need be, since both rows are judged on the same clips, and tells nothing of other seeds.
Undecided: the interval covers 0.
"""


@dataclass(frozen=True)
class Judgement:
    """A claim on one column.

    Args:
        claim, column: which.
        paper: the paper's own advantage in points; None where it tells none.
        advantage: ours, in points; None where a row was not run.
        low, high: 95 % interval of it; None where it has none.
        seeds: that the rows share; 0 where single runs are compared.
        verdict: in words.
    """

    claim: Claim
    column: Column
    paper: float | None
    verdict: str
    advantage: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of two differences or more, with Student's 95 % interval: mean, low, high."""
    middle, count = mean(differences), len(differences)
    reach = stdtrit(count - 1, 0.5 + LEVEL / 2) * stdev(differences) / math.sqrt(count)
    return middle, middle - float(reach), middle + float(reach)


def combined_interval(better: tuple, worse: tuple) -> tuple[float, float, float]:
    """Difference of two figures (value, low, high) with the root of the sum of squares."""
    middle = better[0] - worse[0]
    below = math.hypot(better[0] - better[1], worse[2] - worse[0])
    above = math.hypot(better[2] - better[0], worse[0] - worse[1])
    return middle, middle - below, middle + above


def judge(
    claim: Claim, column: Column, table: Table, scale: Scale, records: Sequence[Record]
) -> Judgement:
    """Judge a claim on a column of its table from the records of both rows."""
    paper = _paper_advantage(claim, column, table)
    better, worse = (_by_seed(name, column, scale, records) for name in (claim.better, claim.worse))
    if not better or not worse:
        return Judgement(claim, column, paper, NOT_RUN)
    both = sorted(set(better) & set(worse))
    if len(both) < 2:
        first = both[0] if both else None
        pair = [rows[min(rows) if first is None else first] for rows in (better, worse)]
        used = pair
    else:
        used = [rows[seed] for rows in (better, worse) for seed in both]
    if any(shared(r, table, scale) != shared(used[0], table, scale) for r in used):
        return Judgement(claim, column, paper, NOT_COMPARABLE)
    if len(both) >= 2:
        values = [[_points(rows[s], column, scale)[0] for s in both] for rows in (better, worse)]
        found = paired_interval([a - b for a, b in zip(*values, strict=True)])
    else:
        found = combined_interval(*(_points(record, column, scale) for record in pair))
    seeds = len(both) if len(both) >= 2 else 0
    return Judgement(claim, column, paper, _verdict(*found), *_told(found), seeds)


def judge_all(
    registry: Registry, scale: Scale, records: Sequence[Record], tables: Sequence[str] = ()
) -> list[Judgement]:
    """Judge every claim on every column of its table; of the named tables, or all."""
    return [
        judge(claim, column, registry.table(claim.table), scale, records)
        for claim in registry.claims
        if not tables or claim.table in tables
        for column in registry.table(claim.table).columns
    ]


def render_claims(judgements: Sequence[Judgement], scale: Scale) -> str:
    """The judgements as a Markdown table."""
    head = ["claim of the paper", "figure", "paper's advantage", "our advantage", "seeds", "here"]
    lines = []
    for one in judgements:
        column = one.column
        on = f"{metric_title(column.metric)} on {scale.tests.get(column.test, 'no list')}"
        run = one.advantage is not None
        paper = f"{one.paper:+.2f}" if one.paper is not None else "–"
        ours = _interval_text(one) if run else "–"
        lines.append([one.claim.text, on, paper, ours, _seeds_text(one), f"**{one.verdict}**"])
    return markdown_table(head, lines)


def _interval_text(one: Judgement) -> str:
    if one.low is None or one.high is None:
        return f"{one.advantage:+.2f}"
    return f"{one.advantage:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"


def _seeds_text(one: Judgement) -> str:
    if one.advantage is None:
        return "–"
    return f"{one.seeds}, paired" if one.seeds else "1, bootstrap"


def _verdict(_: float, low: float, high: float) -> str:
    return HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED


def _told(found: tuple[float, float, float]) -> tuple:
    return tuple(value if math.isfinite(value) else None for value in found)


def _by_seed(name: str, column: Column, scale: Scale, records: Sequence[Record]) -> dict:
    return {r.seed: r for r in records if r.name == name and figure_of(r, column, scale)}


def _points(record: Record, column: Column, scale: Scale) -> tuple[float, float, float]:
    """Value, low and high in percent, larger being better; without an interval it is endless."""
    figure = figure_of(record, column, scale) or {}
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    low = -math.inf if low is None else 100 * low
    high = math.inf if high is None else 100 * high
    if column.metric in LOWER_IS_BETTER:
        return -100 * value, -high, -low
    return 100 * value, low, high


def _paper_advantage(claim: Claim, column: Column, table: Table) -> float | None:
    figures = {row.config: row.paper.get(column.key) for row in table.rows}
    better, worse = figures[claim.better], figures[claim.worse]
    if better is None or worse is None:
        return None
    return worse - better if column.metric in LOWER_IS_BETTER else better - worse
