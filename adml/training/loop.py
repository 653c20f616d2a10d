"""The custom training loop: feed, step, log, save; stop cleanly when asked to."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from tqdm import tqdm

from adml.errors import AdmlError
from adml.training.checkpoint import Checkpoints
from adml.training.dynamics import Dynamics
from adml.training.interrupts import INTERRUPTED, stop_requests
from adml.training.log import MetricsLog
from adml.training.nonfinite import Evidence, not_finite
from adml.training.progress import Progress

logger = logging.getLogger(__name__)


class Interrupted(AdmlError):
    """The run was asked to stop; its state is saved and it can be resumed.

    Args:
        message: what was reached.
        exit_code: 130 after SIGINT, 143 after SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = INTERRUPTED):
        super().__init__(message)
        self.exit_code = exit_code


class Validates(Protocol):
    """What judges the model every so many steps."""

    def after(self, done: int, progress: Progress) -> bool:
        """Whether step `done`, which becomes `progress.best` then, is the best so far."""


@dataclass(frozen=True)
class Plan:
    """How long a run is and what it writes when.

    Args:
        total_steps: steps when the run is whole.
        stop_step: leave off after this step, as an interruption would; None: do not.
        log_every_steps: a row of the log holds the means over this many steps.
        checkpoint_every_steps: distance of checkpoints.
        gradient_norms_every_steps: distance of measurements of the terms' gradients; 0: none.
        max_nonfinite_steps: so many steps may be left out because they are not finite.
        margin: share of the keyword loss' margin as a function of the epoch.
        learning_rate: rate as a function of the step, for the log alone.
    """

    total_steps: int
    stop_step: int | None = None
    log_every_steps: int = 10
    checkpoint_every_steps: int = 200
    gradient_norms_every_steps: int = 0
    max_nonfinite_steps: int = 0
    margin: Callable[[float], float] = lambda epoch: 1.0
    learning_rate: Callable[[int], float] = lambda step: math.nan


def run_loop(
    training_step,
    source,
    checkpoints: Checkpoints,
    log: MetricsLog,
    plan: Plan,
    *,
    start_step: int = 0,
    progress: Progress | None = None,
    dynamics: Dynamics | None = None,
    validation: Validates | None = None,
    agree: Callable[[bool, int], tuple[bool, int]] = lambda asked, count: (asked, count),
) -> None:
    """Train from `start_step` to the end of the plan.

    Args:
        training_step: `adml.training.step.TrainingStep`.
        source: `adml.data.batches.BatchSource`; a batch is a function of the step alone.
        checkpoints: where the state is saved; always at the end and on an interruption.
        log, plan: where the figures go; length and intervals.
        start_step, progress: the steps done before; `progress` counts this stretch too.
        dynamics, validation: what else is written of the run, and what judges it.
        agree: whether any process that trains along was asked to stop, and their utterances.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and the state saved.
        KeyboardInterrupt: another SIGINT came before that; the last checkpoint is whole.
        NumericError: more steps than `plan.max_nonfinite_steps` were not finite; the state and
            the batch of the last are kept in `postmortem/` beside the log.
    """
    progress = progress or Progress()
    last = min(plan.total_steps, plan.stop_step or plan.total_steps)
    if start_step >= last:
        return
    batches = iter(source.dataset(start_step, last))
    with stop_requests() as stop, _bar(start_step, last) as bar:
        for step in range(start_step, last):
            done, fraction = step + 1, plan.margin(step / source.batches_per_epoch)
            batch, waited = _timed(next, batches)
            if dynamics:
                dynamics.before(done, batch, fraction)
            terms, taken = _timed(training_step, batch, fraction)
            count = len(batch.get("span_starts", batch["waveform"]))
            stopping, utterances = agree(stop.is_set(), count)
            if not_finite(terms):
                evidence = Evidence(log.path.parent, batch, terms, fraction, progress.skipped)
                progress.skip(done, waited, utterances)
                evidence.weigh(checkpoints, plan.max_nonfinite_steps)
            else:
                progress.add(terms, waited, waited + taken, utterances)
            _advance(bar, terms["total"], progress.window.rate())
            if done % plan.log_every_steps == 0 or done == plan.total_steps:
                _log(log, plan, source, done, fraction, progress, dynamics, bar)
            best = validation is not None and validation.after(done, progress)
            if best or done % plan.checkpoint_every_steps == 0 or done == last or stopping:
                checkpoints.save(done, progress.state())
            if stopping and done < last:
                told = f"Stopped after step {done} of {last}; the state is saved. Resume to go on."
                raise Interrupted(told, stop.exit_code or INTERRUPTED)


def _log(log, plan: Plan, source, done: int, fraction: float, progress, dynamics, bar) -> None:
    """Write a row of the means since the last, unless all of these steps were left out."""
    constants = dynamics.after(done) if dynamics else {}
    if not progress.window.steps:
        return
    row = {
        "step": done,
        "epoch": done / source.batches_per_epoch,
        "learning_rate": plan.learning_rate(done - 1 - len(progress.skipped)),
        "margin_fraction": fraction,
        **constants,
        **progress.close_window(plan.total_steps - done),
    }
    log.write(row)
    if dynamics:
        dynamics.watch.row(row)
    if bar.disable:  # Where there is no terminal, the log says what its bar would show.
        logger.info(
            "step %d/%d loss %.4f %.0f utterances/s %.0f MB %s left",
            *(done, plan.total_steps, row["total"], row["utterances_per_second"]),
            *(row["memory_mb"], timedelta(seconds=round(row["remaining_seconds"]))),
        )


def _timed(function: Callable, *given) -> tuple:
    """What a call gives, and its seconds."""
    before = time.perf_counter()
    return function(*given), time.perf_counter() - before


def _bar(start_step: int, last: int) -> tqdm:
    return tqdm(
        total=last,
        initial=start_step,
        unit="step",
        disable=None,
        file=sys.stderr,
        dynamic_ncols=True,
    )


def _advance(bar: tqdm, loss: float, utterances_per_second: float) -> None:
    bar.set_postfix(loss=f"{loss:.3f}", utt_s=f"{utterances_per_second:.0f}", refresh=False)
    bar.update()
