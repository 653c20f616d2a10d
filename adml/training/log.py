"""What a run writes while it trains: tables of figures and TensorBoard events."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from adml.errors import DataError


class Rows:
    """A CSV file of the run folder, with a column `step`, to which rows are appended.

    Args:
        path: of the file; it is made with the first row.
        start_step: rows after this step, left by a run that was interrupted, are dropped.

    Raises:
        DataError: what is there is no such file, or it cannot be written.
    """

    def __init__(self, path: str | Path, *, start_step: int = 0):
        self.path = Path(path)
        self._columns: list[str] | None = None
        if self.path.exists():
            self._drop_after(start_step)

    def write(self, rows: Sequence[Mapping[str, float | str | None]]) -> None:
        """Append rows. All have the columns of the file's first; what is absent stays empty."""
        with _writing(self.path):
            if self._columns is None:
                self._columns = list(rows[0])
                with self.path.open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerow(self._columns)
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(
                    [_text(row.get(name)) for name in self._columns] for row in rows
                )
                _flush(file)

    def _drop_after(self, step: int) -> None:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            if not rows:
                return
            place, width = rows[0].index("step"), len(rows[0])
            kept = [row for row in rows[1:] if len(row) == width and int(row[place]) <= step]
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(
                f"{self.path} is damaged. Expected: a header with step, then rows of numbers. "
                f"Received: {error}. Put a whole copy back, or remove it: the curves then begin "
                f"after step {max(step, 0)}."
            ) from None
        self._columns = rows[0] if kept else None
        aside = self.path.with_suffix(".part")
        with aside.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows[0], *kept])
            _flush(file)
        os.replace(aside, self.path)


class MetricsLog:
    """Append rows of figures to `metrics.csv` and to TensorBoard under the same names.

    Args:
        folder: the run folder.
        start_step: rows after this step, left by a run that was interrupted, are dropped.

    Raises:
        DataError: what is there is no such file, or it cannot be written.
    """

    def __init__(self, folder: str | Path, *, start_step: int = 0):
        self.path = Path(folder) / "metrics.csv"
        self._rows = Rows(self.path, start_step=start_step)
        with _writing(self.path):
            self._events = tf.summary.create_file_writer(str(Path(folder) / "tensorboard"))

    def write(self, row: Mapping[str, float]) -> None:
        """Append one row; "step" is its position. All rows have the columns of the first."""
        self._rows.write([row])
        self.scalars({name: value for name, value in row.items() if name != "step"}, row["step"])

    def scalars(self, values: Mapping[str, float], step: float) -> None:
        """Write figures to TensorBoard alone."""
        with _writing(self.path), self._events.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=int(step))

    def close(self) -> None:
        """Flush the events."""
        with _writing(self.path):
            self._events.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"Cannot write {path} or tensorboard/ beside it: {error}. Free some space and resume."
        ) from error


def read_metrics(path: str | Path) -> dict[str, list[float]]:
    """Read `metrics.csv` as one list of numbers a column.

    Raises:
        DataError: it is damaged.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            name: [float(row[name]) for row in rows if row[name] != ""]
            for name in (rows[0] if rows else {})
        }
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} is damaged. Expected: a header, then rows of as many numbers. Received: "
            f"{error}. Put a whole copy back, or remove it: the curves then begin where the run "
            "goes on."
        ) from None


def _flush(file) -> None:
    """Wait until it is on the disk: a checkpoint that is younger must not outlive these rows."""
    file.flush()
    os.fsync(file.fileno())


def _text(value) -> str:
    if value is None:
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(value)
