"""Misses over false alarms per hour, drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from adml.evaluation.spotting import Spotted
from adml.evaluation.style import COLOURS, dress, legend, new_figure, save

_LINES = ("-", "--", ":", "-.")


def spotting_curves(spotted: Mapping[str, Spotted], path: str | os.PathLike) -> Path:
    """Draw the misses of each keyword over the false alarms per hour, a line style an engine.

    Args:
        spotted: by the name of engine and condition, of the same keywords.
        path: of the PNG.

    Returns:
        The path.
    """
    figure = new_figure(7.5, 4.8)
    axes = dress(figure.subplots(), title="Misses over false alarms",
                 x="false alarms an hour", y="misses, %")  # fmt: skip
    for line, (name, found) in enumerate(spotted.items()):
        for colour, keyword in enumerate(sorted(found.clip_scores)):
            alarms, misses = curve(found, keyword)
            axes.step(
                alarms, 100 * misses, _LINES[line % len(_LINES)], where="post", linewidth=1.6,
                color=COLOURS[colour % len(COLOURS)], label=f"{keyword}, {name}",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(-2, 100)  # a line of no misses is seen
    legend(axes)
    return save(figure, path)


def curve(spotted: Spotted, keyword: str) -> tuple[np.ndarray, np.ndarray]:
    """False alarms per hour and the share of misses at every number of alarms, from one on."""
    alarms = np.sort(spotted.alarm_scores[keyword])[::-1]
    scores = np.sort(spotted.clip_scores[keyword])
    misses = np.searchsorted(scores, alarms, side="left") / len(scores)
    return np.arange(1, len(alarms) + 1) / spotted.hours, misses
