"""Figures as PNG files: scores and DET curves here, the others from curves and heatmaps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.metrics import det_curve, roc_curve

from adml.errors import DataError
from adml.evaluation.curves import (
    ACCURACIES,
    SCALES,
    gradient_norms,
    learnt_scales,
    loss_curves,
    modality_accuracy,
    read_columns,
    speed,
)
from adml.evaluation.heatmaps import (
    alignment,
    confusions,
    constants_over_time,
    phoneme_constants,
    read_constants,
)
from adml.evaluation.style import BLUE, COLOURS, FAINT, INK, ORANGE, dress, legend, new_figure, save

__all__ = [
    "ACCURACIES", "SCALES", "alignment", "confusions", "constants_over_time", "det_curves",
    "gradient_norms", "learnt_scales", "loss_curves", "modality_accuracy", "phoneme_constants",
    "read_columns", "read_constants", "score_histogram", "speed",
]  # fmt: skip

_DET_TICKS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
_MOST_DET_POINTS = 2000


def score_histogram(
    labels: np.ndarray, scores: np.ndarray, path: str | os.PathLike, *, title: str = "Scores"
) -> Path:
    """Draw the scores of positive and of negative trials with the threshold of equal error.

    Args:
        labels: [N] 0 or 1.
        scores: [N].
        path: of the PNG.
        title: of the figure.

    Returns:
        The path.

    Raises:
        DataError: a class is missing.
    """
    labels, scores = _both_classes(labels, scores)
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    nearest = int(np.argmin(np.abs(false - (1 - true))))
    rate = (false[nearest] + 1 - true[nearest]) / 2
    figure = new_figure(7.0, 3.8)
    axes = dress(figure.subplots(), title=title, x="score", y="share of the class, %")
    bins = np.linspace(scores.min(), scores.max() + 1e-6, 81)
    for value, name, colour in ((0, "negative", ORANGE), (1, "positive", BLUE)):
        chosen = scores[labels == value]
        weights = np.full(len(chosen), 100.0 / len(chosen))
        label = f"{name} ({len(chosen):,})"
        axes.hist(chosen, bins, weights=weights, color=colour, alpha=0.55, label=label)
        axes.hist(chosen, bins, weights=weights, color=colour, histtype="step", linewidth=1.2)
    threshold = thresholds[nearest]
    if np.isfinite(threshold):
        name = f"equal error {100 * rate:.2f} % at {threshold:.3f}"
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=name)
    axes.set_xlim(bins[0], bins[-1])
    legend(axes)
    return save(figure, path)


def det_curves(
    systems: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: str | os.PathLike,
    *,
    title: str = "Detection error trade-off",
) -> Path:
    """Draw misses over false alarms on normal-deviate axes, one curve a system.

    Args:
        systems: name -> (labels [N], scores [N]).
        path: of the PNG.
        title: of the figure.

    Returns:
        The path.

    Raises:
        DataError: there is no system, or one lacks a class.
    """
    if not systems:
        raise DataError("There is no system to draw. Expected: at least one.")
    figure = new_figure(5.6, 5.2)
    axes = dress(figure.subplots(), title=title, x="false alarm rate, %", y="miss rate, %")
    low, high = norm.ppf(_DET_TICKS[0]), norm.ppf(_DET_TICKS[-1])
    axes.plot([low, high], [low, high], color=FAINT, linewidth=0.8, linestyle=":")
    for index, (name, (labels, scores)) in enumerate(systems.items()):
        labels, scores = _both_classes(labels, scores)
        false, misses, _ = det_curve(labels, scores)
        kept = np.unique(np.linspace(0, len(false) - 1, _MOST_DET_POINTS).astype(int))
        x, y = (norm.ppf(np.clip(rate[kept], 1e-6, 1 - 1e-6)) for rate in (false, misses))
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(x, y, color=colour, linewidth=1.8, label=name)
        nearest = int(np.argmin(np.abs(false - misses)))
        equal = norm.ppf(np.clip((false[nearest] + misses[nearest]) / 2, 1e-6, 1 - 1e-6))
        axes.plot(equal, equal, "o", color=colour, markersize=5, markeredgecolor="white")
    ticks = [norm.ppf(tick) for tick in _DET_TICKS]
    names = [f"{100 * tick:g}" for tick in _DET_TICKS]
    axes.set_xticks(ticks, names, rotation=45)
    axes.set_yticks(ticks, names)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    legend(axes, loc="upper right")
    return save(figure, path)


def _both_classes(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels).astype(int), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or not (labels == 1).any() or not (labels == 0).any():
        raise DataError(
            "The trials cannot be drawn. Expected: positives and negatives. Received: "
            f"{labels.shape} labels, {scores.shape} scores, {int(labels.sum())} positive."
        )
    return labels, scores
