"""One look for all figures: fonts, colours, light grid; figures without pyplot's global state."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from adml.files import write_atomically

BLUE, ORANGE, GREEN, RED, PURPLE, BROWN = (
    "#2f6db3", "#e07b39", "#3d9a6c", "#c8443c", "#7a5ea8", "#8a6d5a",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, BROWN)
INK = "#24292f"
FAINT = "#6a737d"
GRID = "#e4e7eb"
_DOTS_PER_INCH = 140


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, `width` x `height` inches, laid out without overlaps."""
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.patch.set_facecolor("white")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: bool = True) -> Axes:
    """Give axes the common look."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9.5, color=INK)
    axes.set_ylabel(y, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=FAINT, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c4c9d0")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, color=GRID, linewidth=0.8)
    return axes


def legend(axes: Axes, **place) -> None:
    """A legend without a frame."""
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, **place)


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure as PNG; the file appears whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "adml"})
    return write_atomically(path, buffer.getvalue())
