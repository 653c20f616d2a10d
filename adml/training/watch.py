"""Warn once a run of each thing that a curve shows, and keep what was said in `warnings.csv`."""

from __future__ import annotations

import csv
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from adml.training.anomalies import ROWS, idle_adversary, runaway_constant, stuck_loss
from adml.training.log import Rows, read_metrics

logger = logging.getLogger(__name__)

WARNINGS = "warnings.csv"
_LEVELS = ("phoneme", "utterance")


class Watch:
    """Look at every row of the log.

    Args:
        folder: the run folder; its `metrics.csv` has no rows after `start_step`.
        start_step: warnings after this step, left by a run that was interrupted, are dropped.
    """

    def __init__(self, folder: str | Path, *, start_step: int):
        self._rows = Rows(Path(folder) / WARNINGS, start_step=start_step)
        self._said = {row.get("kind") for row in _read(Path(folder) / WARNINGS)}
        self._series: dict[str, deque[float]] = {}
        self._first: dict[str, np.ndarray] = {}
        metrics = Path(folder) / "metrics.csv"
        for name, values in (read_metrics(metrics) if metrics.is_file() else {}).items():
            self._add(name, *values[-ROWS:])

    def row(self, row: Mapping[str, float]) -> None:
        """Look at a row of the log."""
        for name, value in row.items():
            self._add(name, value)
        step = int(row["step"])
        self.say(step, "loss", stuck_loss(list(self._series.get("total", ()))))
        for level in _LEVELS:
            told = list(self._series.get(f"modality_accuracy_{level}", ()))
            self.say(step, f"modality_{level}", idle_adversary(level, told))

    def constants(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Look at the learnt constants, one number or one a class each."""
        for name, now in values.items():
            first, now = self._first.setdefault(name, np.copy(now)), np.asarray(now)
            place = np.argmax(np.abs(now))
            text = runaway_constant(name, float(first.flat[place]), float(now.flat[place]))
            self.say(step, f"constant_{name}", text)

    def say(self, step: int, kind: str, text: str | None) -> None:
        """Warn, where there is something to say and it was not said before."""
        if text is None or kind in self._said:
            return
        self._said.add(kind)
        logger.warning("Step %d: %s", step, text)
        self._rows.write([{"step": step, "kind": kind, "text": text}])

    def _add(self, name: str, *values: float) -> None:
        self._series.setdefault(name, deque(maxlen=ROWS)).extend(values)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
