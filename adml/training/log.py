"""What a run writes while it trains: metrics.csv and TensorBoard events."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf


class MetricsLog:
    """Append rows of figures to `metrics.csv` and to TensorBoard under the same names.

    Args:
        folder: the run folder.
        start_step: rows after this step, left by a run that was interrupted, are dropped.
    """

    def __init__(self, folder: str | Path, *, start_step: int = 0):
        self.path = Path(folder) / "metrics.csv"
        self._columns: list[str] | None = None
        if self.path.exists():
            self._drop_after(start_step)
        self._events = tf.summary.create_file_writer(str(Path(folder) / "tensorboard"))

    def write(self, row: Mapping[str, float]) -> None:
        """Append one row; "step" is its position. All rows have the columns of the first."""
        if self._columns is None:
            self._columns = list(row)
            with self.path.open("w", newline="") as file:
                csv.writer(file).writerow(self._columns)
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([_text(row.get(name, "")) for name in self._columns])
        with self._events.as_default():
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name, value, step=int(row["step"]))

    def close(self) -> None:
        """Flush the events."""
        self._events.close()

    def _drop_after(self, step: int) -> None:
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        if not rows:
            return
        self._columns = rows[0]
        place = self._columns.index("step")
        kept = [
            row for row in rows[1:] if len(row) == len(self._columns) and int(row[place]) <= step
        ]
        aside = self.path.with_suffix(".part")
        with aside.open("w", newline="") as file:
            csv.writer(file).writerows([self._columns, *kept])
        os.replace(aside, self.path)


def read_metrics(path: str | Path) -> dict[str, list[float]]:
    """Read `metrics.csv` as one list of numbers a column."""
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) for row in rows if row[name] != ""]
        for name in (rows[0] if rows else {})
    }


def _text(value) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
