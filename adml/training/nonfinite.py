"""Steps that are not finite: left out, counted and told; past the limit the run ends with proof."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adml.errors import DataError, NumericError
from adml.training.checkpoint import Checkpoints

logger = logging.getLogger(__name__)

POSTMORTEM = "postmortem"
"""Folder of a run that holds the state and the batch that it ended with."""


def not_finite(terms: Mapping[str, float]) -> list[str]:
    """Names of the figures of a step that are NaN or infinite."""
    return [name for name, value in terms.items() if not math.isfinite(value)]


@dataclass(frozen=True)
class Evidence:
    """A step whose update was left out because a figure of it is not finite.

    Args:
        folder: the run folder.
        batch: what it was given.
        terms: its figures.
        margin_fraction: share of the keyword loss' margin that was in force.
        skipped: the steps of the run that were left out, this one last.
    """

    folder: Path
    batch: Mapping[str, Any]
    terms: Mapping[str, float]
    margin_fraction: float
    skipped: Sequence[int]

    def weigh(self, checkpoints: Checkpoints, most: int) -> None:
        """Tell of the step; where more than `most` were left out, keep what there is and raise.

        Raises:
            NumericError: it is one too many.
        """
        if len(self.skipped) > most:
            raise self._error(checkpoints)
        logger.warning(
            "Step %d is left out: not finite %s. Nothing was updated. That is %d of at most %d "
            "such steps (training.max_nonfinite_steps).",
            *(self.skipped[-1], ", ".join(not_finite(self.terms)), len(self.skipped), most),
        )

    def _error(self, checkpoints: Checkpoints) -> NumericError:
        """Keep the state and the step in `postmortem/`; returns the error to raise."""
        values = {
            "terms": {
                name: value if math.isfinite(value) else str(value)
                for name, value in self.terms.items()
            },
            "margin_fraction": self.margin_fraction,
            "skipped": list(self.skipped),
        }
        target, step = self.folder / POSTMORTEM, self.skipped[-1]
        try:
            checkpoints.write(target, step - 1, values, self.batch)
            kept = f"State and batch are kept: adml postmortem {self.folder}"
        except DataError as error:
            kept = f"State and batch are not kept: {error}"
        return NumericError(
            f"Not finite at step {step}: {', '.join(not_finite(self.terms))}. Expected: at most "
            f"{len(self.skipped) - 1} such steps (training.max_nonfinite_steps). Received: steps "
            f"{', '.join(map(str, self.skipped))}. {kept}. The last checkpoint is whole. If the "
            "batch is sound, train in another folder with a smaller optimizer.learning_rate."
        )
