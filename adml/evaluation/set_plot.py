"""What a set of speech holds, as a figure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from adml.evaluation.style import BLUE, INK, ORANGE, dress, new_figure, save


def draw_set(
    title: str,
    lengths: tuple[Sequence[str], Sequence[int]],
    frequencies: tuple[Sequence[str], Sequence[int]],
    path: str | os.PathLike,
) -> Path:
    """Draw how long the recordings are and how often the words are said.

    Args:
        title: of the figure.
        lengths: names of ranges, and the number of recordings in each.
        frequencies: names of ranges, and the number of words in each.
        path: of the PNG.

    Returns:
        The path.
    """
    figure = new_figure(9.0, 3.6)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, fontweight="bold")
    panels = figure.subplots(1, 2)
    for axes, (names, counts), what, colour in (
        (panels[0], lengths, "recordings by length", BLUE),
        (panels[1], frequencies, "words by how often they are said", ORANGE),
    ):
        dress(axes, x=what, grid=False)
        bars = axes.barh(range(len(counts)), counts, color=colour)
        axes.bar_label(bars, labels=[f"{count:,}" for count in counts], fontsize=8, padding=2)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.15)
    return save(figure, path)
