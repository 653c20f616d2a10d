"""What a run shows of itself beside its losses: learnt constants, gradients of the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adml.text.phonemes import CONSONANTS, PHONES, VOWELS
from adml.training.anomalies import alignment_figures, flat_alignment
from adml.training.log import MetricsLog, Rows
from adml.training.step import TrainingStep
from adml.training.term_gradients import ENCODERS, TermGradients
from adml.training.watch import Watch

if TYPE_CHECKING:
    from adml.training.loop import Plan

CONSTANTS, GRADIENT_NORMS, ALIGNMENT = "constants.csv", "gradient_norms.csv", "alignment.csv"
EARLY = 4
"""In the first so-manieth of a run an alignment may be flat still."""

MOST_ROWS = 400
"""About so many times a run writes the constants of every class, however long it is."""


class Dynamics:
    """Write `constants.csv`, `gradient_norms.csv` and `alignment.csv`, and the same to TensorBoard.

    Nothing of it touches what is trained. What looks odd is warned of, see `Watch`.

    Args:
        folder: the run folder.
        step: model and losses. A loss without `constants` has none to write, and without
            `term_weights` no terms to measure.
        log: of the run, for TensorBoard.
        plan: how often; a long run writes fewer rows of constants than of its log.
        start_step: rows after this step, left by a run that was interrupted, are dropped.

    Raises:
        DataError: a file is damaged or cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        step: TrainingStep,
        log: MetricsLog,
        plan: Plan,
        *,
        start_step: int = 0,
    ):
        self.step, self.log, self.total_steps = step, log, plan.total_steps
        self.constants_every = constants_distance(plan.log_every_steps, plan.total_steps)
        self.gradients_every = plan.gradient_norms_every_steps if _has_terms(step) else 0
        self._terms = TermGradients(step) if self.gradients_every else None
        # A run that begins writes its step 0 anew.
        kept = start_step or -1
        self._constants = Rows(Path(folder) / CONSTANTS, start_step=kept)
        self._gradients = Rows(Path(folder) / GRADIENT_NORMS, start_step=kept)
        self._alignment = Rows(Path(folder) / ALIGNMENT, start_step=kept)
        self.watch = Watch(folder, start_step=start_step)
        if not start_step:
            self.after(0)

    def before(self, done: int, batch: Mapping[str, Any], margin_fraction: float) -> None:
        """Measure the gradients on the batch of step `done`, before its update.

        Args:
            done: steps that are done when this one is.
            batch: what the step trains on.
            margin_fraction: share of the keyword loss' margin in force.
        """
        if not self.gradients_every or done % self.gradients_every:
            return
        rows = self._terms.measure(batch, margin_fraction)
        self._gradients.write([{"step": done, **asdict(row)} for row in rows])
        for row in rows:
            place = f"{row.encoder}/{row.term}"
            self.log.scalars({f"gradient_norms/{place}": row.norm}, done)
            if row.cosine is not None:
                self.log.scalars({f"gradient_cosines/{place}": row.cosine}, done)
        self._look_at_alignment(done, batch)

    def _look_at_alignment(self, done: int, batch: Mapping[str, Any]) -> None:
        """How the attention lies, by the moving averages; a model without one has none."""
        outputs = self.step.outputs(batch, training=False)
        if outputs.get("attention") is None or "frame_lengths" not in outputs:
            return
        attention = outputs["attention"].numpy()
        lengths = np.asarray(batch["phoneme_lengths"])
        lengths = np.repeat(lengths, len(attention) // len(lengths))
        frames = np.asarray(outputs["frame_lengths"])
        difference, entropy = alignment_figures(attention, lengths, frames)
        values = {"difference": difference, "entropy": entropy}
        self._alignment.write([{"step": done, **values}])
        self.log.scalars({f"alignment/{name}": value for name, value in values.items()}, done)
        if done * EARLY >= self.total_steps:
            self.watch.say(done, "alignment", flat_alignment(difference, entropy))

    def after(self, done: int) -> dict[str, float]:
        """Write what the constants are after step `done`.

        Returns:
            Those that are one number each, for the row of the log.
        """
        values = {name: np.asarray(value) for name, value in self._constants_now().items()}
        by_class = {name: value for name, value in values.items() if value.ndim}
        self.watch.constants(done, values)
        due = done % self.constants_every == 0 or done == self.total_steps
        if by_class and due:
            self._write_classes(by_class, done)
        return {name: float(value) for name, value in values.items() if not value.ndim}

    def _constants_now(self) -> dict[str, Any]:
        read = getattr(self.step.losses, "constants", None)
        return read() if read else {}

    def _write_classes(self, by_class: Mapping[str, np.ndarray], done: int) -> None:
        self._constants.write(
            [
                {"step": done, "name": name, "class": phone, "value": float(number)}
                for name, numbers in by_class.items()
                for phone, number in zip(PHONES, numbers, strict=True)
            ]
        )
        for name, numbers in by_class.items():
            self.log.scalars(
                {
                    f"constants/{name}_vowels": _mean(numbers, VOWELS),
                    f"constants/{name}_consonants": _mean(numbers, CONSONANTS),
                },
                done,
            )


def constants_distance(log_every_steps: int, total_steps: int) -> int:
    """Steps between the rows of `constants.csv`: a multiple of the log's, the same on resuming."""
    rows = -(-total_steps // log_every_steps)
    return log_every_steps * max(1, -(-rows // MOST_ROWS))


def _has_terms(step: TrainingStep) -> bool:
    has_encoder = any(hasattr(step.model, name) for name in ENCODERS)
    return has_encoder and hasattr(step.losses, "term_weights")


def _mean(numbers: np.ndarray, phones: Sequence[str]) -> float:
    return float(np.mean([numbers[PHONES.index(phone)] for phone in phones]))
