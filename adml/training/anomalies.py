"""What a curve shows that a loss does not tell: said in words, with what to look at.

Each function takes a piece of a curve, the newest number last, and returns a sentence or None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

ROWS = 20
"""So many rows of the log are looked at together."""

SAME = 1e-6
TOLD_RIGHT = 0.999
ALIKE = 0.02
UNIFORM = 0.98
FARTHEST = 100.0
"""A constant is running away when it is so many times what it began with, or 1."""

FARTHEST_MARGIN = 2.0
"""The widest distance of two cosines."""


def stuck_loss(totals: Sequence[float]) -> str | None:
    """The loss is the same over `ROWS` rows, to one part in a million."""
    last = np.asarray(totals[-ROWS:], dtype=np.float64)
    if len(last) < ROWS or np.ptp(last) > SAME * max(abs(last[-1]), 1.0):
        return None
    return (
        f"The loss has been {last[-1]:.6g} for {ROWS} rows of the log: nothing is learnt. Look at "
        "optimizer.learning_rate and at gradient_norm in metrics.csv; if that is 0, every weighted "
        "term is without a gradient."
    )


def idle_adversary(level: str, accuracies: Sequence[float]) -> str | None:
    """The modality classifier has told (nearly) every embedding right over `ROWS` rows."""
    last = accuracies[-ROWS:]
    if len(last) < ROWS or min(last) < TOLD_RIGHT:
        return None
    return (
        f"The modality classifier tells {100 * min(last):.1f} % of the {level} embeddings right "
        f"for {ROWS} rows of the log: the adversary hides nothing. Look at "
        "losses.adversarial.strength and at the adversary's gradient in gradient_norms.csv."
    )


def flat_alignment(difference: float, entropy: float) -> str | None:
    """The phonemes of a clip attend to the same frames.

    Args:
        difference, entropy: of `alignment_figures`.
    """
    if not difference <= ALIKE:  # or there is none
        return None
    where = "all frames alike" if entropy > UNIFORM else "the same few frames"
    return (
        f"Every phoneme of a clip attends to {where} (rows of the attention differ by "
        f"{difference:.3f}): the alignment has collapsed. Look at losses.monotonic.weight, at "
        "losses.phoneme.weight and at alignment.csv."
    )


def alignment_figures(
    attention: np.ndarray, phoneme_lengths: np.ndarray, frame_lengths: np.ndarray
) -> tuple[float, float]:
    """How much the rows of an attention differ within a clip, and how flat they are.

    Args:
        attention: [B, L, F], each valid row summing to 1.
        phoneme_lengths: [B].
        frame_lengths: [B].

    Returns:
        The mean over clips of two phonemes or more of 1/2 sum_f |A_lf - mean_l A_lf|, 0 where all
        rows are alike and 1 - 1/L where no two share a frame; and the mean of the rows' entropies
        as a share of that of a uniform row.
    """
    differences, entropies = [], []
    for rows, phonemes, frames in zip(attention, phoneme_lengths, frame_lengths, strict=True):
        if phonemes < 2 or frames < 2:
            continue
        rows = np.asarray(rows[:phonemes, :frames], dtype=np.float64)
        differences.append(np.abs(rows - rows.mean(axis=0)).sum(axis=1).mean() / 2)
        logs = np.log(np.where(rows > 0, rows, 1.0))
        entropies.append(-(rows * logs).sum(axis=1).mean() / math.log(frames))
    if not differences:
        return math.nan, math.nan
    return float(np.mean(differences)), float(np.mean(entropies))


def runaway_constant(name: str, first: float, now: float) -> str | None:
    """A learnt constant is far from where it began.

    Args:
        name: as in constants.csv; "lambda" is compared with cosines.
        first, now: its values, of the class that is farthest away.
    """
    limit = FARTHEST_MARGIN if name == "lambda" else FARTHEST * max(abs(first), 1.0)
    if abs(now) <= limit:
        return None
    return (
        f"The constant {name} has gone from {first:.4g} to {now:.4g}, beyond {limit:g}: it runs "
        "away. Look at optimizer.constants_learning_rate and at constants.csv."
    )
