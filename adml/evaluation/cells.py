"""Cells of Markdown tables: figures, titles, costs, commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from adml.evaluation.records import Record

METRIC_TITLES = {
    "average_precision": "AP %",
    "equal_error_rate": "EER %",
    "roc_auc": "AUC %",
    "accuracy": "accuracy %",
    "mean_word_accuracy": "mean over words %",
    "chance_average_precision": "chance AP %",
    "chance_accuracy": "chance %",
}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a cell's bars and line ends are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def format_figure(figure: Mapping) -> str:
    """One figure in percent with its interval: "96.65 [96.10, 97.20]"; a dash where undefined."""
    if figure["value"] is None:
        return "–"
    text = f"{100 * figure['value']:.2f}"
    if figure["low"] is None or figure["high"] is None:
        return text
    return f"{text} [{100 * figure['low']:.2f}, {100 * figure['high']:.2f}]"


def seeds_figure(figures: Sequence[Mapping]) -> str:
    """Figures of several seeds: mean and deviation; of one: with its interval."""
    if len(figures) == 1:
        return format_figure(figures[0])
    values = [100 * figure["value"] for figure in figures if figure["value"] is not None]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def metric_title(name: str) -> str:
    """A metric's title in a table: "EER %"."""
    return METRIC_TITLES.get(name, name.replace("_", " ") + " %")


def cost_of(records: Sequence[Record]) -> str:
    """What a run cost on average, and at most in memory; a dash where no record tells."""
    costs = [record.cost for record in records if record.cost.steps]
    if not costs:
        return "–"
    parts = [
        f"{mean(cost.seconds for cost in costs) / 60:.1f} min",
        f"{mean(cost.cpu_seconds for cost in costs) / 3600:.2f} CPU h",
        f"{mean(cost.steps for cost in costs):,.0f} steps",
        f"{mean(cost.utterances for cost in costs):,.0f} clips",
        f"{max(cost.peak_memory_mb for cost in costs) / 1000:.1f} GB",
    ]
    return ", ".join(parts)


def commits_of(records: Sequence[Record]) -> str:
    """Commits of the code, with a + where it had changes that are in none."""
    found = {record.commit[:9] + ("+" if record.dirty else "") for record in records}
    return ", ".join(f"`{commit}`" for commit in sorted(found))


def short(digest: str) -> str:
    """The first digits of a hash; a dash where it is empty."""
    return digest[:12] or "–"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
