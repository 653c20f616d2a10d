"""The figures of the page: waveform with detections, scores over time, phones against frames."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from adml.demo.listening import Listened, Spelling
from adml.evaluation.style import COLOURS, FAINT, INK, ORANGE, dress, legend, new_figure

_COLUMNS = 1500
_WORST = -10.0


def timeline(heard: Listened, threshold: float) -> Figure:
    """Draw the waveform with what is detected, and below it the scores against the threshold.

    Args:
        heard: the recording.
        threshold: a score at or above is a detection.
    """
    figure = new_figure(9.5, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.2))
    dress(above, title="Waveform and detections", y="amplitude")
    dress(below, title="Score over time", x="time, s", y="score")
    times_s, low, high = envelope(heard.samples, heard.sample_rate_hz)
    above.fill_between(times_s, low, high, color=FAINT, linewidth=0.4)
    peak = 1.2 * max(0.01, float(np.abs(heard.samples).max()))
    above.set_ylim(-peak, peak)
    above.set_xlim(0, len(heard.samples) / heard.sample_rate_hz)
    colour_of = dict(zip(heard.names, COLOURS * len(heard.names), strict=False))
    for found in heard.detections(threshold):
        colour = colour_of[found.keyword]
        above.axvspan(found.start_s, found.end_s, color=colour, alpha=0.25)
        middle_s = (found.start_s + found.end_s) / 2
        above.text(
            middle_s, 0.95 * peak, found.keyword, color=INK, fontsize=9, ha="center", va="top"
        )  # fmt: skip
        below.plot(found.end_s, found.score, "o", color=colour, markersize=5)
    ends_s, scores, _ = heard.curves()
    for number, (name, colour) in enumerate(colour_of.items()):
        below.plot(ends_s, scores[:, number], color=colour, linewidth=1.4, label=name)
    below.axhline(threshold, color=INK, linewidth=1, linestyle="--", label="threshold")
    legend(below, loc="lower right", ncols=4)
    return figure


def envelope(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in seconds, lowest and highest samples of stretches, few enough to be drawn."""
    step = max(1, len(samples) // _COLUMNS)
    starts = np.arange(0, len(samples), step)
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    return starts / rate_hz, low, high


def spelling(name: str, found: Spelling) -> Figure:
    """Draw log-probabilities of a keyword's phones against frames, and the best way through them.

    Args:
        name: of the keyword.
        found: its phones where it scores best.
    """
    figure = new_figure(9.5, max(2.6, 0.3 * len(found.symbols) + 1.6))
    axes = figure.subplots()
    dress(axes, title=f"Phones of “{name}” where it scores best ({found.score:.2f})",
          x="time, s", y="phone", grid=False)  # fmt: skip
    count, frames = found.log_probabilities.shape
    end_s = found.start_s + frames * found.frame_s
    image = axes.imshow(
        np.maximum(found.log_probabilities, _WORST), cmap="Blues", vmin=_WORST, vmax=0,
        aspect="auto", interpolation="none", extent=(found.start_s, end_s, count - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(count), [*found.symbols, "none"], fontfamily="monospace")
    if found.way:
        way = np.array(found.way)
        times_s = found.start_s + (way[:, 0] + 0.5) * found.frame_s
        axes.plot(times_s, way[:, 1], ".-", color=ORANGE, linewidth=1, label="best way")
        legend(axes, loc="upper right")
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("log-probability", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=FAINT)
    bar.outline.set_visible(False)
    return figure
