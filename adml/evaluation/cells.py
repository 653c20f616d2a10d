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
    "centroid_gap": "centroid gap",
    "centroid_gap_scaled": "centroid gap / spread",
    "mmd": "MMD²",
    "probe_accuracy": "linear probe %",
    "mlp_probe_accuracy": "MLP probe %",
    "audio_to_text_recall_1": "audio to text R@1 %",
    "audio_to_text_recall_5": "audio to text R@5 %",
    "text_to_audio_recall_1": "text to audio R@1 %",
    "text_to_audio_recall_5": "text to audio R@5 %",
}
"""Titles; figures whose title has a % are shown in percent, others as they are."""

TABLE_METRICS = (
    "average_precision", "equal_error_rate", "roc_auc", "accuracy", "centroid_gap_scaled", "mmd",
    "probe_accuracy", "audio_to_text_recall_1", "text_to_audio_recall_1",
)  # fmt: skip
"""Those of the short table of an evaluation."""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a cell's bars and line ends are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def results_table(rows: Sequence[tuple[str, Record]]) -> str:
    """Figures of several records as one Markdown table: a row for each record, list and part."""
    present = [
        m
        for m in TABLE_METRICS
        if any(
            m in figures
            for _, record in rows
            for parts in record.metrics.values()
            for figures in parts.values()
        )
    ]
    lines = []
    for label, record in rows:
        for name, parts in record.metrics.items():
            for part, figures in parts.items():
                cells = [format_figure(figures[m], m) if m in figures else "" for m in present]
                lines.append([*([label] if label else []), name, part, *cells])
    head = [*(["model"] if any(label for label, _ in rows) else []), "trials", "part"]
    return markdown_table([*head, *(metric_title(m) for m in present)], lines)


def format_figure(figure: Mapping, metric: str = "") -> str:
    """One figure with its interval: "96.65 [96.10, 97.20]"; a dash where undefined.

    Args:
        figure: value, low and high, as a record holds them.
        metric: its name; in percent, unless its title has none.
    """
    if figure["value"] is None:
        return "–"
    text = _number(figure["value"], metric)
    if figure["low"] is None or figure["high"] is None:
        return text
    return f"{text} [{_number(figure['low'], metric)}, {_number(figure['high'], metric)}]"


def seeds_figure(figures: Sequence[Mapping], metric: str = "") -> str:
    """Figures of several seeds: mean and deviation; of one: with its interval."""
    if len(figures) == 1:
        return format_figure(figures[0], metric)
    values = [figure["value"] for figure in figures if figure["value"] is not None]
    if not values:
        return "–"
    if len(values) == 1:
        return _number(values[0], metric)
    return f"{_number(mean(values), metric)} ± {_number(stdev(values), metric)}"


def _number(value: float, metric: str) -> str:
    return f"{100 * value:.2f}" if metric_title(metric).endswith("%") else f"{value:.4f}"


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
