"""The custom training loop: feed, step, log, save; stop cleanly when asked to."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tqdm import tqdm

from adml.errors import AdmlError, NumericError
from adml.training.checkpoint import Checkpoints
from adml.training.dynamics import Dynamics
from adml.training.interrupts import INTERRUPTED, stop_requests
from adml.training.log import MetricsLog
from adml.training.progress import Progress

logger = logging.getLogger(__name__)


class Interrupted(AdmlError):
    """The run was asked to stop; its state is saved and it can be resumed."""

    exit_code = INTERRUPTED


@dataclass(frozen=True)
class Plan:
    """How long a run is and what it writes when.

    Args:
        total_steps: steps when the run is whole.
        stop_step: leave off after this step, as an interruption would; None: do not.
        log_every_steps: a row of the log holds the means over this many steps.
        checkpoint_every_steps: distance of checkpoints.
        gradient_norms_every_steps: distance of measurements of the terms' gradients; 0: none.
        margin: share of the keyword loss' margin as a function of the epoch.
        learning_rate: rate as a function of the step, for the log alone.
    """

    total_steps: int
    stop_step: int | None = None
    log_every_steps: int = 10
    checkpoint_every_steps: int = 200
    gradient_norms_every_steps: int = 0
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
    agree: Callable[[bool, int], tuple[bool, int]] = lambda asked, count: (asked, count),
) -> None:
    """Train from `start_step` to the end of the plan.

    Args:
        training_step: `adml.training.step.TrainingStep`.
        source: `adml.data.batches.BatchSource`; a batch is a function of the step alone.
        checkpoints: where the state is saved; always at the end and on an interruption.
        log, plan: where the figures go; length and intervals.
        start_step, progress: the steps done before; `progress` counts this stretch too.
        dynamics: what else is written of the run.
        agree: whether any process that trains along was asked to stop, and their utterances.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and the state saved.
        KeyboardInterrupt: another SIGINT came before that; the last checkpoint is whole.
        NumericError: a loss is not finite; the last checkpoint is the state before.
    """
    progress = progress or Progress()
    last = min(plan.total_steps, plan.stop_step or plan.total_steps)
    if start_step >= last:
        return
    batches, bar = iter(source.dataset(start_step, last)), _bar(start_step, last)
    with stop_requests() as stop, bar:
        for step in range(start_step, last):
            done, fraction = step + 1, plan.margin(step / source.batches_per_epoch)
            before = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - before
            if dynamics:
                dynamics.before(done, batch, fraction)
            before = time.perf_counter()
            terms = training_step(batch, fraction)
            _check_finite(terms, step)
            seconds = waited + time.perf_counter() - before
            count = len(batch.get("span_starts", batch["waveform"]))
            stopping, utterances = agree(stop.is_set(), count)
            progress.add(terms, waited, seconds, utterances)
            _advance(bar, terms["total"], progress.window.rate())
            if done % plan.log_every_steps == 0 or done == plan.total_steps:
                row = _row(plan, source, step, fraction)
                row |= dynamics.after(done) if dynamics else {}
                row |= progress.close_window(plan.total_steps - done)
                log.write(row)
                _tell(row, plan.total_steps, bar)
            if done % plan.checkpoint_every_steps == 0 or done == last or stopping:
                checkpoints.save(done, progress.state())
            if stopping and done < last:
                told = f"Stopped after step {done} of {last}; the state is saved. Resume to go on."
                raise Interrupted(told)


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


def _row(plan: Plan, source, step: int, fraction: float) -> dict[str, float]:
    """Where in the plan a step was."""
    return {
        "step": step + 1,
        "epoch": (step + 1) / source.batches_per_epoch,
        "learning_rate": plan.learning_rate(step),
        "margin_fraction": fraction,
    }


def _tell(row: dict[str, float], total_steps: int, bar: tqdm) -> None:
    """Say in the log what a terminal's progress bar would show."""
    if bar.disable:
        logger.info(
            "step %d/%d loss %.4f %.0f utterances/s %.0f MB %s left",
            row["step"],
            total_steps,
            row["total"],
            row["utterances_per_second"],
            row["memory_mb"],
            timedelta(seconds=round(row["remaining_seconds"])),
        )


def _check_finite(terms, step: int) -> None:
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        raise NumericError(
            f"Not finite at step {step}: {', '.join(bad)}. Expected: finite losses. The last "
            "checkpoint is whole. Train in another folder with a smaller optimizer.learning_rate."
        )
