"""A figure of the model in training, on a list of its own; nothing of the training is touched."""

from __future__ import annotations

import logging
from pathlib import Path

from adml.build.judging import build_clip_reader, build_scorer
from adml.build.trials import build_trials
from adml.config import Config
from adml.evaluation.suites import evaluate_trials
from adml.text.g2p import G2P
from adml.training.log import MetricsLog, Rows
from adml.training.progress import Progress
from adml.training.step import TrainingStep

logger = logging.getLogger(__name__)

VALIDATION = "validation.csv"
FIGURES = ("average_precision", "accuracy")
"""Of a list of trials, and of a choice; the more the better."""


class Validation:
    """Judge the model every so many steps and remember which was best.

    Args:
        config: of the run; `training.validation` is the list.
        step: whose model is judged.
        folder: the run folder, for `validation.csv`.
        log: of the run, for TensorBoard.
        cache: folder for decoded speech.
        total_steps: of the run, whose last step is judged too.
        start_step: rows after this step, left by a run that was interrupted, are dropped.

    Raises:
        DataError: the list cannot be made.
    """

    def __init__(
        self,
        config: Config,
        step: TrainingStep,
        folder: Path,
        log: MetricsLog,
        cache: Path,
        *,
        total_steps: int,
        start_step: int,
    ):
        settings, root, self._g2p = config.training.validation, Path(config.data.root), G2P()
        share = config.data.held_out_speakers
        self._trials = build_trials(settings, root, self._g2p, held_out=share)
        self._read = build_clip_reader(self._trials, root, cache)
        self._embedder, self._score = build_scorer(step.model, step.log_mel, progress=False)
        self._every, self._total = config.training.validate_every_steps, total_steps
        self._rows, self._log = Rows(folder / VALIDATION, start_step=start_step), log

    def after(self, done: int, progress: Progress) -> bool:
        """Judge, where it is time to.

        Args:
            done: steps done.
            progress: of the run; `best` becomes this step where none was better or as good.

        Returns:
            Whether this step is the best so far.
        """
        if done % self._every and done != self._total:
            return False
        result = evaluate_trials(
            self._embedder, self._trials, self._read, self._g2p, score=self._score, resamples=0
        )
        name = next(name for name in FIGURES if name in result.metrics["all"])
        value = float(result.metrics["all"][name]["value"])
        better = not progress.best or value > progress.best["value"]
        if better:
            progress.best = {"step": done, "value": value}
        best = progress.best["step"]
        self._rows.write([{"step": done, "figure": name, "value": value, "best_step": best}])
        self._log.scalars({f"validation/{name}": value}, done)
        logger.info("step %d: %s %.4f; best at step %d", done, name.replace("_", " "), value, best)
        return better
