"""Where a run stands beside its variables: the open row of the log and the cost so far.

Saved with every checkpoint, so that a resumed run writes the rows of one never interrupted.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

MEGABYTE_KB = 1024
TRACING_STEPS = 2


@dataclass(frozen=True)
class Cost:
    """What training took; `wait_fraction`: share of time spent without a batch."""

    steps: int
    utterances: int
    seconds: float
    cpu_seconds: float
    wait_fraction: float
    peak_memory_mb: float


def resident_mb() -> float:
    """Memory of this process now, in MiB; where the system does not tell, the most so far."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE_KB


class Window:
    """Means over the steps since the last row of the log."""

    def __init__(self):
        self.sums: dict[str, float] = {}
        self.steps = self.utterances = 0
        self.waited = self.seconds = self.memory_mb = 0.0

    def add(
        self, terms: Mapping[str, float], waited: float, seconds: float, utterances: int
    ) -> None:
        """Count one step: its terms, its seconds, and those of them spent waiting."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1
        self.utterances += utterances
        self.waited += waited
        self.seconds += seconds
        self.memory_mb = max(self.memory_mb, resident_mb())

    def rate(self) -> float:
        """Utterances a second."""
        return self.utterances / max(self.seconds, 1e-9)

    def means(self, remaining_steps: int) -> dict[str, float]:
        """Mean terms and speed, most memory, and at that speed the time to the end."""
        return {
            **{name: value / self.steps for name, value in self.sums.items()},
            "seconds": self.seconds / self.steps,
            "utterances_per_second": self.rate(),
            "wait_fraction": self.waited / max(self.seconds, 1e-9),
            "memory_mb": self.memory_mb,
            "remaining_seconds": remaining_steps * self.seconds / self.steps,
        }


class Progress:
    """The open window and the cost of a run, over all the times it was resumed.

    `skipped` are the steps that were not finite, counted from 1; `best` holds the step and the
    value of the best validation, and is empty before the first.

    Args:
        state: what `state` gave before; empty for a new run.
    """

    def __init__(self, state: Mapping | None = None):
        state = state or {}
        self.window = Window()
        vars(self.window).update(state.get("window", {}))
        before = state.get("cost", {})
        self._before = Cost(**before) if before else Cost(0, 0, 0.0, 0.0, 0.0, 0.0)
        self.skipped: list[int] = list(state.get("skipped", []))
        self.best: dict = dict(state.get("best", {}))
        self._start, self._cpu_start = time.perf_counter(), time.process_time()
        self._steps = self._utterances = 0
        self._waited = 0.0

    def add(self, terms: Mapping[str, float], waited: float, seconds: float, count: int) -> None:
        """Count one step of `count` utterances; waiting while the graph is traced is no waiting."""
        self.window.add(terms, waited, seconds, count)
        self._count(waited, count)

    def skip(self, done: int, waited: float, count: int) -> None:
        """Count step `done`, which changed nothing and is in no mean."""
        self.skipped.append(done)
        self._count(waited, count)

    def _count(self, waited: float, count: int) -> None:
        self._steps += 1
        self._utterances += count
        self._waited += waited if self._steps > TRACING_STEPS else 0.0

    def close_window(self, remaining_steps: int = 0) -> dict[str, float]:
        """The means since the last row; the next window is open then."""
        means, self.window = self.window.means(remaining_steps), Window()
        return means

    def cost(self) -> Cost:
        """What the run took until now."""
        before, seconds = self._before, time.perf_counter() - self._start
        total = before.seconds + seconds
        waited = before.wait_fraction * before.seconds + self._waited
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE_KB
        return Cost(
            steps=before.steps + self._steps,
            utterances=before.utterances + self._utterances,
            seconds=total,
            cpu_seconds=before.cpu_seconds + time.process_time() - self._cpu_start,
            wait_fraction=waited / max(total, 1e-9),
            peak_memory_mb=max(before.peak_memory_mb, peak),
        )

    def state(self) -> dict:
        """Plain values for the checkpoint; JSON keeps every bit of a float."""
        return {
            "window": vars(self.window),
            "cost": asdict(self.cost()),
            "skipped": self.skipped,
            "best": self.best,
        }
