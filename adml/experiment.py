"""A run from start to end; the command line, notebooks and tests call this."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from adml.build.initial import begin_with_initial, require_initial
from adml.build.model import build_log_mel, build_model
from adml.build.training import Training, build_training
from adml.config import Config, dump_config, load_config
from adml.errors import DataError, UsageError
from adml.evaluation.records import environment
from adml.export.saved_model import export
from adml.files import write_atomically
from adml.models.adml import ADML
from adml.numerics.autocast import autocast
from adml.run_folder import TEXTS, open_run, read_values, require_run
from adml.text.g2p import G2P
from adml.training.checkpoint import Checkpoints
from adml.training.dynamics import Dynamics
from adml.training.lock import sole_trainer
from adml.training.log import MetricsLog
from adml.training.loop import Plan, run_loop
from adml.training.progress import Progress
from adml.training.seeding import set_seeds
from adml.training.workers import Workers, agree, require_equal
from adml.validation import Validation

logger = logging.getLogger(__name__)


def default_cache() -> Path:
    """Folder for decoded speech: $ADML_CACHE, or adml below the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ADML_CACHE") or Path(base) / "adml")


def train(
    config: Config,
    workdir: str | Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    stop_step: int | None = None,
    report: bool = False,
    workers: Workers | None = None,
) -> Path:
    """Train, or go on training, in a run folder.

    Args:
        config: the experiment.
        workdir: the run folder.
        resume: go on from the last checkpoint in it; the result is that of a run never interrupted.
        cache: folder for decoded speech.
        stop_step: stop after this step as if the run ended there (it can be resumed).
        report: write the page of the run when it is finished.
        workers: the processes that train it together; each must see the run folder, which the
            chief alone writes. None: this one alone.

    Returns:
        The run folder.

    Raises:
        UsageError, DataError, NumericError, Interrupted: see their texts.
    """
    workers = workers or Workers()
    with workers.together(), workers.place(workdir) as place:
        require_initial(config, workdir, resume=resume)
        folder = open_run(config, place, resume=resume and workers.is_chief)
        with sole_trainer(folder), autocast(config.training.autocast):
            set_seeds(config.seed)
            if config.training.deterministic:
                tf.config.experimental.enable_op_determinism()
            cache = cache or default_cache()
            training = build_training(config, cache, G2P(), workers)
            keep = config.training.keep_checkpoints
            checkpoints = training.checkpoints(folder / "checkpoints", keep=keep)
            saved = checkpoints
            if not workers.is_chief:
                saved = training.checkpoints(Path(workdir) / "checkpoints", keep=keep)
            start = saved.restore_latest() if resume else 0
            began = "" if start else begin_with_initial(config, training, folder)
            _describe(folder, config, training)
            checkpoints.restored = saved.restored
            told = {"step of the last checkpoint": str(start), "weights to begin with": began}
            require_equal(training.step.strategy, workers, told)
            if start < training.total_steps:
                _go_on(folder, config, training, checkpoints, start, stop_step, cache, workers)
            elif workers.is_chief:
                _tell_finished(folder, training, checkpoints, start)
        if report and workers.is_chief and start < training.total_steps and not stop_step:
            from adml.run_report import try_report

            try_report(folder)
    return Path(workdir)


def _tell_finished(folder: Path, training: Training, checkpoints: Checkpoints, start: int) -> None:
    _write_cost(folder, checkpoints.restored)
    logger.info(
        "The run in %s is finished: %d of %d steps. Its curves are in metrics.csv, its "
        "weights in checkpoints/. Next: adml evaluate %s",
        *(folder, start, training.total_steps, folder),
    )


def _go_on(
    folder: Path,
    config: Config,
    training: Training,
    checkpoints: Checkpoints,
    start: int,
    stop_step: int | None,
    cache: Path,
    workers: Workers,
) -> None:
    """Train from step `start` on, with a log and the cost."""
    settings = config.training
    plan = Plan(
        total_steps=training.total_steps,
        stop_step=stop_step,
        log_every_steps=settings.log_every_steps,
        checkpoint_every_steps=settings.checkpoint_every_steps,
        gradient_norms_every_steps=settings.gradient_norms_every_steps,
        max_nonfinite_steps=settings.max_nonfinite_steps,
        margin=training.margin,
        learning_rate=lambda step: float(training.learning_rate(step)),
    )
    progress = Progress(checkpoints.restored)
    log = MetricsLog(folder, start_step=start)
    try:
        dynamics = Dynamics(folder, training.step, log, plan, start_step=start)
        trained_with = (training.step, training.source, checkpoints, log, plan)
        run_loop(
            *trained_with,
            start_step=start,
            progress=progress,
            dynamics=dynamics,
            validation=_validation(folder, config, training, log, cache, start),
            agree=partial(agree, training.step.strategy, workers),
        )
    finally:
        log.close()
        _write_json(folder / "cost.json", dataclasses.asdict(progress.cost()))


def _validation(
    folder: Path, config: Config, training: Training, log: MetricsLog, cache: Path, start: int
) -> Validation | None:
    """What judges the model in training; None where nothing is to."""
    if not config.training.validate_every_steps:
        return None
    steps = {"total_steps": training.total_steps, "start_step": start}
    return Validation(config, training.step, folder, log, cache, **steps)


def _write_cost(folder: Path, restored: dict) -> None:
    """Write the cost of a run that was killed after its last step."""
    cost = dataclasses.asdict(Progress(restored).cost())
    if read_values(folder / "cost.json", "it is written anew").get("steps") != cost["steps"]:
        _write_json(folder / "cost.json", cost)


def _describe(folder: Path, config: Config, training: Training) -> None:
    """Write what is trained, where and on what: configuration, versions, counts and texts."""
    source, steps = training.source, training.total_steps
    logger.info(
        "%d keywords, %d classes, %d steps (%.2f epochs)",
        source.num_keywords,
        source.num_classes,
        steps,
        steps / source.batches_per_epoch,
    )
    values = {
        "data_hash": source.segments.data_hash,
        "keywords": source.num_keywords,
        "classes": source.num_classes,
        "steps_per_epoch": source.batches_per_epoch,
        "total_steps": steps,
    }
    trusted = "--resume then writes it anew and takes the data on trust"
    before = read_values(folder / "data.json", trusted) or values
    if other := [name for name in values if before.get(name) != values[name]]:
        raise DataError(
            f"The data is not what the run in {folder} began with, so it cannot go on as if never "
            f"interrupted. Expected: {', '.join(f'{name} {before.get(name)}' for name in other)}. "
            f"Received: {', '.join(f'{name} {values[name]}' for name in other)}. Give that data by "
            "--speech DIR, or train in another folder."
        )
    described = folder / "config.yaml"
    if not (folder / "environment.json").is_file():
        _write_json(folder / "environment.json", environment())
    if not described.is_file() or load_config(described) != config:
        _write(described, dump_config(config))
    _write_json(folder / "data.json", values)
    _write(folder / TEXTS, "\n".join(source.texts) + "\n")


@dataclass(frozen=True)
class Trained:
    """A model of a run folder with what it needs to be used."""

    config: Config
    folder: Path
    model: ADML
    log_mel: keras.layers.Layer
    step: int


def load_run(
    workdir: str | Path, *, untrained: bool = False, checkpoint: str = "latest"
) -> Trained:
    """Build the model of a run and restore a checkpoint.

    Args:
        workdir: the run folder.
        untrained: keep the initial weights, for comparison.
        checkpoint: "latest", "best" or a step.

    Raises:
        UsageError: the folder is no run, or has no such checkpoint.
        DataError: it has no whole checkpoint.
    """
    folder = require_run(workdir)
    config = load_config(folder / "config.yaml")
    set_seeds(config.seed)
    model = build_model(config)
    step = 0
    if not untrained:
        step = Checkpoints(folder / "checkpoints", model=model).restore_chosen(checkpoint)
        if not step:
            raise DataError(
                f"{folder} has no checkpoint. Expected: a run that trained. "
                f"Train on with: adml train --resume --out {folder}"
            )
    return Trained(config, folder, model, build_log_mel(config), step)


def export_run(
    workdir: str | Path, out: str | Path | None = None, *, checkpoint: str = "latest"
) -> dict:
    """Export the encoders of a run, checked in a fresh process.

    Args:
        workdir: the run folder.
        out: new folder; `export` of the run where None.
        checkpoint: "latest", "best" or a step.

    Returns:
        Paths and the largest difference from the model.

    Raises:
        UsageError: the folder exists or cannot be written, or the run is a baseline's.
    """
    trained = load_run(workdir, checkpoint=checkpoint)
    require_encoders(trained.config, trained.folder)
    out = out or trained.folder / "export"
    try:
        model = trained.model
        exported = export(
            model.acoustic,
            model.text,
            trained.log_mel,
            out,
            frame_classifier=model.frame_classifier,
        )
    except tf.errors.OpError as error:
        raise UsageError(f"Cannot write the export folder {out}: {error.message}.") from error
    return exported.to_dict()


def require_encoders(config: Config, folder: Path) -> None:
    """Refuse a run whose model has no encoders of its own.

    Raises:
        UsageError: it is a baseline, which scores pairs.
    """
    if config.model.kind != "adml":
        raise UsageError(
            f"The run in {folder} is of the baseline {config.model.kind}, which scores pairs of "
            "audio and text and has no two encoders to use apart. Expected: a run of model.kind "
            "adml. `adml evaluate` tests both."
        )


def _write_json(path: Path, values: dict) -> None:
    _write(path, json.dumps(values, indent=1))


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
