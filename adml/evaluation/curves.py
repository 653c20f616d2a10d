"""Figures of a run over its steps: losses, modality accuracy, gradients of the terms, speed."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adml.errors import DataError
from adml.evaluation.style import BLUE, COLOURS, FAINT, INK, ORANGE, dress, legend, new_figure, save

SCALES = {
    "prototype_scale": "scale of the prototypes",
    "infonce_scale": "scale of InfoNCE",
    "keyword_bias": "bias of SphereFace2",
}
"""Learnt constants of one number each, with their titles."""

ACCURACIES = {"modality_accuracy_phoneme": "phonemes", "modality_accuracy_utterance": "utterances"}
SCHEDULE = {
    "learning_rate": "learning rate",
    "margin_fraction": "share of the margin",
    "gradient_norm": "gradient norm, unclipped",
}
_NO_TERMS = {
    "step", "epoch", "seconds", "utterances_per_second", "wait_fraction", "memory_mb",
    "remaining_seconds",
    *SCALES, *ACCURACIES, *SCHEDULE,
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h", "p")


def loss_curves(metrics_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw every loss term of `metrics.csv` over the steps, one small panel each.

    The learning rate, the share of the margin and the norm of the gradients follow, where the
    file has them.

    Args:
        metrics_csv: file with a column `step` and one a term; "total" comes first.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file is missing, has no rows, no column `step` or no term.
    """
    columns = read_columns(metrics_csv)
    drawn = {name: values for name, values in columns.items() if np.any(np.nan_to_num(values))}
    terms = [name for name in drawn if name not in _NO_TERMS]
    if not terms:
        raise DataError(f"{metrics_csv}: there is no loss term. Expected: a column such as total.")
    terms.sort(key=lambda name: name != "total")
    needless = set() if "keyword" in terms else {"margin_fraction"}
    shown = terms + [name for name in SCHEDULE if name in drawn and name not in needless]
    figure, panels = _panels(len(shown), wide=min(4, len(shown)))
    for axes, name in zip(panels, shown, strict=True):
        colour = ORANGE if name in SCHEDULE else INK if name == "total" else BLUE
        smooth = name not in ("learning_rate", "margin_fraction")
        _curve(axes, columns["step"], columns[name], colour, smooth=smooth)
        dress(axes, title=SCHEDULE.get(name, name.replace("_", " ")), x="step")
    figure.supylabel("mean since the row before, without the weight", size=9, color=FAINT)
    return save(figure, path)


def modality_accuracy(metrics_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw how often the modality classifier tells audio from text, beside chance.

    Args:
        metrics_csv: file with a column `modality_accuracy_phoneme` or `_utterance`.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be read or has neither column.
    """
    columns = read_columns(metrics_csv)
    levels = _those_of(columns, ACCURACIES, metrics_csv)
    figure = new_figure(7.0, 3.4)
    axes = dress(
        figure.subplots(), title="Modality classifier", x="step", y="told right, % of embeddings"
    )
    for name, colour in zip(levels, (BLUE, ORANGE), strict=False):
        _curve(axes, columns["step"], 100 * columns[name], colour, label=ACCURACIES[name])
    axes.axhline(50, color=INK, linewidth=1.2, linestyle="--", label="chance")
    axes.set_ylim(0, 102)
    axes.set_yticks(range(0, 101, 25))
    legend(axes, loc="lower right", ncols=3)
    return save(figure, path)


def learnt_scales(metrics_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw the learnt scales of the losses and the bias of SphereFace2.

    Args:
        metrics_csv: file with at least one column of `SCALES`.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be read or has no such column.
    """
    columns = read_columns(metrics_csv)
    names = _those_of(columns, SCALES, metrics_csv)
    figure, panels = _panels(len(names), wide=len(names))
    for axes, name, colour in zip(panels, names, COLOURS, strict=False):
        _curve(axes, columns["step"], columns[name], colour, smooth=False)
        dress(axes, title=SCALES[name], x="step", y="value")
    return save(figure, path)


def speed(metrics_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw utterances trained on in a second, the time waited for them, and memory if it is there.

    Args:
        metrics_csv: file with columns `utterances_per_second` and `wait_fraction`.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    columns = read_columns(metrics_csv)
    names = {"utterances_per_second": "throughput", "wait_fraction": "waiting for batches"}
    if len(_those_of(columns, names, metrics_csv)) < len(names):
        raise DataError(f"{metrics_csv}: Expected: columns {', '.join(names)}. Received: one.")
    drawn = [
        ("throughput", "utterances a second", columns["utterances_per_second"], BLUE),
        ("waiting for batches", "% of the time", 100 * columns["wait_fraction"], ORANGE),
    ]
    if "memory_mb" in columns:
        drawn.append(("memory", "GiB", columns["memory_mb"] / 1024, BLUE))
    figure, panels = _panels(len(drawn), wide=len(drawn))
    for axes, (title, unit, values, colour) in zip(panels, drawn, strict=True):
        _curve(axes, columns["step"], values, colour)
        dress(axes, title=title, x="step", y=unit)
        axes.set_ylim(bottom=0)
    return save(figure, path)


def gradient_norms(gradients_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw the norm of each weighted term's gradient in each encoder, and its cosine with theirs.

    Args:
        gradients_csv: `gradient_norms.csv` of a run.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    columns = read_columns(gradients_csv, texts=("term", "encoder"))
    _require(columns, ("term", "encoder", "norm", "cosine"), gradients_csv)
    terms, encoders = (list(dict.fromkeys(columns[name])) for name in ("term", "encoder"))
    figure = new_figure(4.3 * len(encoders) + 2.0, 6.6)
    grid = figure.subplots(2, len(encoders), squeeze=False, sharex=True, sharey="row")
    for place, encoder in enumerate(encoders):
        above, below = grid[:, place]
        for number, term in enumerate(terms):
            chosen = (columns["encoder"] == encoder) & (columns["term"] == term)
            norms = np.where(columns["norm"][chosen] > 0, columns["norm"][chosen], np.nan)
            look = {
                "color": COLOURS[number % len(COLOURS)],
                "linestyle": ("-", "--", ":")[number // len(COLOURS) % 3],
                "marker": _MARKERS[number % len(_MARKERS)],
                "markersize": 4,
                "linewidth": 1.2,
            }
            steps = columns["step"][chosen]
            above.plot(steps, norms, label=term.replace("_", " "), **look)
            below.plot(steps, columns["cosine"][chosen], **look)
        above.set_yscale("log")
        below.set_ylim(-1.05, 1.05)
        below.axhline(0, color=FAINT, linewidth=1.0, linestyle="--")
        measured = np.unique(columns["step"])
        below.set_xticks(measured[:: -(-len(measured) // 6)])
        dress(above, title=f"{encoder} encoder")
        dress(below, x="step")
    grid[0, 0].set_ylabel("norm of the weighted gradient", size=9.5, color=INK)
    grid[1, 0].set_ylabel("cosine with the gradient of the total", size=9.5, color=INK)
    lines, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        lines, names, loc="outside right upper", frameon=False, fontsize=8.5, labelcolor=INK
    )
    return save(figure, path)


def read_columns(
    path: str | os.PathLike, *, texts: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read a CSV of numbers as one array a column; an empty cell is NaN.

    A last row that was cut short, by the end of the process that wrote it, is left out.

    Args:
        path: of the file.
        texts: columns that hold text.

    Raises:
        DataError: the file is missing, has no rows or no column `step`, or holds another text.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}. Put a whole copy back.") from error
    if rows and None in rows[-1].values():
        rows.pop()
    if not rows or "step" not in rows[0]:
        raise DataError(f"{path}: Expected: rows with a column step. Received: none.")
    try:
        return {
            name: np.array([row[name] for row in rows])
            if name in texts
            else np.array([float(row[name]) if row[name] else math.nan for row in rows])
            for name in rows[0]
        }
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: Expected: numbers in every column: {error}. Put a whole copy back."
        ) from error


def _require(columns, names: Sequence[str], path: str | os.PathLike) -> None:
    if missing := [name for name in names if name not in columns]:
        raise DataError(
            f"{path}: Expected: columns {', '.join(names)}. Received: no {', '.join(missing)}. "
            "Put a whole copy back."
        )


def _those_of(columns, names, path: str | os.PathLike) -> list[str]:
    """Those of `names` that are columns and hold a number."""
    found = [name for name in names if np.isfinite(columns.get(name, np.array([]))).any()]
    if not found:
        raise DataError(f"{path}: Expected: one of the columns {', '.join(names)}. Received: none.")
    return found


def _panels(count: int, *, wide: int) -> tuple:
    """A figure and its first `count` axes; the others are hidden."""
    high = math.ceil(count / wide)
    figure = new_figure(3.1 * wide, 2.3 * high + 0.3)
    panels = np.atleast_1d(figure.subplots(high, wide, squeeze=False)).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def _curve(axes: Axes, steps, values, colour: str, *, label: str = "", smooth: bool = True) -> None:
    """A curve, faint beneath its running mean where it is to be smoothed."""
    if smooth:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
    mark = "o" if len(values) == 1 else None
    shown = _smooth(values) if smooth else values
    axes.plot(steps, shown, color=colour, linewidth=1.6, marker=mark, label=label or None)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a twentieth of the curve; NaN is skipped."""
    width = max(1, len(values) // 20)
    known = np.isfinite(values).astype(np.float64)
    kernel = np.ones(width)
    total = np.convolve(np.nan_to_num(values, posinf=0.0, neginf=0.0) * known, kernel, "same")
    count = np.convolve(known, kernel, "same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
