"""Figures of matrices and of constants: alignments, confusions, what each phoneme class learnt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from adml.errors import DataError
from adml.evaluation.curves import read_columns
from adml.evaluation.style import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    ORANGE,
    RED,
    dress,
    legend,
    new_figure,
    save,
)
from adml.text.phonemes import CONSONANTS, VOWELS


def alignment(
    attention: np.ndarray,
    phonemes: Sequence[str],
    path: str | os.PathLike,
    *,
    title: str = "Alignment",
    shift_ms: float = 10.0,
) -> Path:
    """Draw how much each phoneme attends to each frame.

    Args:
        attention: [L, F] weights of one utterance, without padding.
        phonemes: the L symbols.
        path: of the PNG.
        title: of the figure.
        shift_ms: time between frames.

    Returns:
        The path.

    Raises:
        DataError: the shapes differ or the weights are not finite.
    """
    attention = np.asarray(attention, dtype=np.float64)
    if attention.ndim != 2 or attention.shape[0] != len(phonemes) or attention.shape[1] == 0:
        raise DataError(
            f"The attention does not fit the phonemes. Expected: [{len(phonemes)}, F]. "
            f"Received: {attention.shape}."
        )
    if not np.isfinite(attention).all():
        raise DataError("The attention holds NaN or infinity. Expected: finite weights.")
    figure = new_figure(7.2, max(2.2, 0.28 * len(phonemes) + 1.2))
    axes = dress(figure.subplots(), title=title, x="time, s", y="phoneme", grid=False)
    seconds = attention.shape[1] * shift_ms / 1000.0
    extent = (0.0, seconds, len(phonemes) - 0.5, -0.5)
    image = axes.imshow(attention, aspect="auto", cmap="Blues", extent=extent, interpolation="none")
    axes.set_yticks(range(len(phonemes)), phonemes, fontfamily="monospace")
    for boundary in range(1, len(phonemes)):
        axes.axhline(boundary - 0.5, color="white", linewidth=0.6)
    _colour_bar(figure, image, axes, "attention")
    return save(figure, path)


def _colour_bar(figure, image, axes, name: str, **place) -> None:
    bar = figure.colorbar(image, ax=axes, **({"fraction": 0.04, "pad": 0.02} | place))
    bar.set_label(name, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=FAINT)
    bar.outline.set_visible(False)


def confusions(
    matrix: np.ndarray,
    words: Sequence[str],
    path: str | os.PathLike,
    *,
    count: int = 20,
    title: str = "Most confused words",
) -> Path:
    """Draw the confusion matrix of the words that are most often confused, in percent of a row.

    Args:
        matrix: [C, C] counts, true word by chosen word.
        words: the C words.
        path: of the PNG.
        count: how many words at most.
        title: of the figure.

    Returns:
        The path.

    Raises:
        DataError: the matrix does not fit the words.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (len(words), len(words)) or len(words) == 0:
        raise DataError(
            f"The confusions do not fit the words. Expected: [{len(words)}, {len(words)}]. "
            f"Received: {matrix.shape}."
        )
    wrong = matrix - np.diag(np.diag(matrix))
    involved = wrong.sum(axis=0) + wrong.sum(axis=1)
    shown = np.sort(np.argsort(-involved, kind="stable")[:count])
    share = 100.0 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
    share = share[np.ix_(shown, shown)]
    names = [words[index] for index in shown]
    side = max(3.6, 0.34 * len(names) + 1.8)
    figure = new_figure(side + 0.8, side)
    axes = dress(figure.subplots(), title=title, x="chosen", y="true", grid=False)
    image = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=100.0, interpolation="none")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            colour = "white" if value > 60 else INK
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", size=6.5, color=colour)
    _colour_bar(figure, image, axes, "% of the true word")
    return save(figure, path)


def phoneme_constants(
    constants: Mapping[str, np.ndarray],
    phones: Sequence[str],
    path: str | os.PathLike,
    *,
    initial: Mapping[str, float] | None = None,
) -> Path:
    """Draw learnt constants (alpha, beta, lambda) of each phoneme class, largest first.

    Args:
        constants: name -> [C] values.
        phones: the C phones.
        path: of the PNG.
        initial: name -> value before training, from which the bars rise or fall.

    Returns:
        The path.

    Raises:
        DataError: there is no constant, or one does not fit the phones.
    """
    if not constants:
        raise DataError("There is no constant to draw. Expected: at least one.")
    figure = new_figure(9.0, 2.1 * len(constants) + 0.3)
    panels = figure.subplots(len(constants), 1, squeeze=False).ravel()
    for index, (name, values) in enumerate(constants.items()):
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(phones),):
            raise DataError(f"{name}: Expected: [{len(phones)}] values. Received: {values.shape}.")
        order = np.argsort(-values, kind="stable")
        axes = dress(panels[index], title=name)
        axes.grid(False, axis="x")
        base = (initial or {}).get(name, 0.0)
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(range(len(values)), values[order] - base, 0.75, bottom=base, color=colour)
        axes.set_xticks(range(len(values)), [phones[i] for i in order], size=7.5, rotation=60)
        axes.set_xlim(-0.7, len(values) - 0.3)
        if initial and name in initial:
            axes.axhline(base, color=RED, linewidth=1.0, linestyle="--", label=f"initial {base:g}")
            legend(axes)
    return save(figure, path)


def read_constants(
    constants_csv: str | os.PathLike,
) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Read `constants.csv` of a run: vowels first, then consonants, both in order of the alphabet.

    Returns:
        The steps [T], the C classes, and by name (alpha, beta, lambda) the values [T, C]; NaN
        where the file has none.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    columns = read_columns(constants_csv, texts=("name", "class"))
    if missing := {"name", "class", "value"} - columns.keys():
        raise DataError(
            f"{constants_csv}: Expected: columns step, name, class, value. Received: no "
            f"{', '.join(sorted(missing))}. Put a whole copy back."
        )
    steps, row = np.unique(columns["step"], return_inverse=True)
    found = set(columns["class"])
    classes = [phone for phone in VOWELS + CONSONANTS if phone in found]
    classes += sorted(found - set(classes))
    number = {phone: place for place, phone in enumerate(classes)}
    column = np.array([number[phone] for phone in columns["class"]])
    values = {}
    for name in dict.fromkeys(columns["name"]):
        chosen = columns["name"] == name
        values[str(name)] = np.full((len(steps), len(classes)), np.nan)
        values[str(name)][row[chosen], column[chosen]] = columns["value"][chosen]
    return steps, classes, values


def constants_over_time(constants_csv: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Draw the constants of AdaMS over the steps: a line and a row of colours for each phone.

    Args:
        constants_csv: `constants.csv` of a run.
        path: of the PNG.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    steps, phones, constants = read_constants(constants_csv)
    is_vowel = np.isin(phones, VOWELS)
    figure = new_figure(3.7 * len(constants) + 0.4, 3.0 + 0.15 * len(phones))
    grid = figure.subplots(
        2, len(constants), squeeze=False, sharex="col", height_ratios=(2.2, 0.15 * len(phones))
    )
    for place, (name, values) in enumerate(constants.items()):
        lines, map_ = grid[:, place]
        for group, colour, kind in ((is_vowel, BLUE, "vowels"), (~is_vowel, ORANGE, "others")):
            label = "mean of the consonants" if kind == "others" else "mean of the vowels"
            if group.any():
                lines.plot(steps, values[:, group], color=colour, linewidth=0.6, alpha=0.35)
                mean = np.nanmean(values[:, group], axis=1)
                style = "-" if kind == "vowels" else "--"
                lines.plot(steps, mean, color=colour, linewidth=2.0, linestyle=style, label=label)
        dress(lines, title=name, y="value" if place == 0 else "")
        _plain_numbers(lines)
        image = _phones_by_steps(map_, steps, values, phones)
        map_.axhline(is_vowel.sum() - 0.5, color="white", linewidth=1.5)
        dress(map_, x="step", y="phone: vowels, then consonants" if place == 0 else "", grid=False)
        map_.tick_params(axis="y", labelsize=6.5)
        map_.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _colour_bar(figure, image, map_, name, location="bottom", fraction=0.03, pad=0.01)
    legend(grid[0, 0])
    return save(figure, path)


def _phones_by_steps(axes: Axes, steps: np.ndarray, values: np.ndarray, phones: Sequence[str]):
    """A heat map whose columns reach half way to the steps beside them."""
    middle = (steps[1:] + steps[:-1]) / 2
    half = (middle[0] - steps[0], steps[-1] - middle[-1]) if len(steps) > 1 else (0.5, 0.5)
    edges = np.concatenate([[steps[0] - half[0]], middle, [steps[-1] + half[1]]])
    rows = np.arange(len(phones) + 1) - 0.5
    image = axes.pcolormesh(edges, rows, values.T, cmap="cividis", rasterized=True)
    axes.set_yticks(range(len(phones)), phones, fontfamily="monospace")
    axes.invert_yaxis()
    return image


def _plain_numbers(axes: Axes) -> None:
    """Whole values on the axis, not their distance from one of them."""
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
