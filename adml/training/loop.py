"""The custom training loop: feed, step, log, save; stop cleanly when asked to."""

from __future__ import annotations

import logging
import math
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from adml.errors import AdmlError, NumericError
from adml.training.checkpoint import Checkpoints
from adml.training.log import MetricsLog

logger = logging.getLogger(__name__)


class Interrupted(AdmlError):
    """The run was asked to stop; its state is saved and it can be resumed."""

    exit_code = 130


@dataclass(frozen=True)
class Cost:
    """What a stretch of training took; `wait_fraction`: share of time spent without a batch."""

    steps: int
    utterances: int
    seconds: float
    cpu_seconds: float
    wait_fraction: float
    peak_memory_mb: float


def run_loop(
    training_step,
    source,
    checkpoints: Checkpoints,
    log: MetricsLog,
    *,
    start_step: int,
    total_steps: int,
    log_every_steps: int = 10,
    checkpoint_every_steps: int = 200,
    margin: Callable[[float], float] = lambda epoch: 1.0,
    learning_rate: Callable[[int], float] = lambda step: math.nan,
) -> Cost:
    """Train from `start_step` to `total_steps`.

    Args:
        training_step: `adml.training.step.TrainingStep`.
        source: `adml.data.batches.BatchSource`; a batch is a function of the step alone.
        checkpoints: where the state is saved; always at the end and on an interruption.
        log: where the figures go.
        start_step: steps done before.
        total_steps: steps when the run is whole.
        log_every_steps: a row holds the means over this many steps.
        checkpoint_every_steps: distance of checkpoints.
        margin: share of the keyword loss' margin as a function of the epoch.
        learning_rate: for the log alone.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and the state saved.
        NumericError: a loss is not finite; the last checkpoint is the state before.
    """
    batches = iter(source.dataset(start_step, total_steps))
    window, meter = _Window(), _Meter()
    bar = tqdm(
        total=total_steps,
        initial=start_step,
        unit="step",
        disable=None,
        file=sys.stderr,
        dynamic_ncols=True,
    )
    with _stop_requests() as stop, bar:
        for step in range(start_step, total_steps):
            before = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - before
            epoch = step / source.batches_per_epoch
            fraction = margin(epoch)
            terms = training_step(batch, fraction)
            _check_finite(terms, step)
            window.add(terms, waited, time.perf_counter() - before, len(batch["waveform"]))
            meter.add(waited, len(batch["waveform"]))
            done = step + 1
            bar.update()
            bar.set_postfix(
                loss=f"{terms['total']:.3f}", utt_s=f"{window.rate():.0f}", refresh=False
            )
            if done % log_every_steps == 0 or done == total_steps:
                row = {
                    "step": done,
                    "epoch": done / source.batches_per_epoch,
                    "learning_rate": learning_rate(step),
                    "margin_fraction": fraction,
                    **window.means(),
                }
                log.write(row)
                if bar.disable:
                    logger.info(
                        "step %d/%d loss %.4f %.0f utterances/s",
                        done,
                        total_steps,
                        row["total"],
                        row["utterances_per_second"],
                    )
                window = _Window()
            if done % checkpoint_every_steps == 0 or done == total_steps or stop.is_set():
                checkpoints.save(done)
            if stop.is_set() and done < total_steps:
                raise Interrupted(
                    f"Stopped after step {done} of {total_steps}; the state is saved. "
                    "Resume to go on."
                )
    return meter.cost()


def _check_finite(terms, step: int) -> None:
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        raise NumericError(
            f"Not finite at step {step}: {', '.join(bad)}. The last checkpoint is whole; "
            "resume with a smaller learning rate."
        )


class _Window:
    """Means over the steps since the last row of the log."""

    def __init__(self):
        self.sums: dict[str, float] = {}
        self.steps = self.utterances = 0
        self.waited = self.seconds = 0.0

    def add(self, terms, waited: float, seconds: float, utterances: int) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1
        self.utterances += utterances
        self.waited += waited
        self.seconds += seconds

    def rate(self) -> float:
        return self.utterances / max(self.seconds, 1e-9)

    def means(self) -> dict[str, float]:
        return {
            **{name: value / self.steps for name, value in self.sums.items()},
            "seconds": self.seconds / self.steps,
            "utterances_per_second": self.rate(),
            "wait_fraction": self.waited / max(self.seconds, 1e-9),
        }


class _Meter:
    """Cost of the whole stretch; the first two steps (tracing) do not count as waiting."""

    def __init__(self):
        self.start, self.cpu = time.perf_counter(), time.process_time()
        self.steps = self.utterances = 0
        self.waited = 0.0

    def add(self, waited: float, utterances: int) -> None:
        self.steps += 1
        self.utterances += utterances
        self.waited += waited if self.steps > 2 else 0.0

    def cost(self) -> Cost:
        seconds = time.perf_counter() - self.start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Cost(
            self.steps,
            self.utterances,
            seconds,
            time.process_time() - self.cpu,
            self.waited / max(seconds, 1e-9),
            peak,
        )


@contextmanager
def _stop_requests():
    """An event that SIGINT or SIGTERM sets, so that the step in progress is finished first."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = {
        number: signal.signal(number, lambda *_: event.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
