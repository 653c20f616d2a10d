"""Everything that a configuration trains with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from adml.build.data import build_source
from adml.build.model import build_log_mel, build_losses, build_model, build_strategy
from adml.config import Config
from adml.config_identity import digest, training_settings
from adml.data.batches import BatchSource
from adml.errors import ConfigError
from adml.text.g2p import G2P
from adml.training.checkpoint import Checkpoints
from adml.training.schedule import learning_rate_schedule, margin_fraction
from adml.training.step import TrainingStep, make_groups
from adml.training.workers import Workers, join, require_equal


@dataclass(frozen=True)
class Training:
    """Everything a run trains with."""

    source: BatchSource
    step: TrainingStep
    learning_rate: object
    margin: object
    total_steps: int

    def checkpoints(self, folder: str | Path, *, keep: int) -> Checkpoints:
        """Checkpoints of the model, the losses and the optimizers in `folder`."""
        optimizers = {
            f"{name}_optimizer": group.optimizer for name, group in self.step.groups.items()
        }
        return Checkpoints(
            folder, keep=keep, model=self.step.model, losses=self.step.losses, **optimizers
        )


def build_training(
    config: Config, cache: Path, g2p: G2P, workers: Workers | None = None
) -> Training:
    """Data, model, losses, optimizers and the step that joins them.

    Args:
        config, cache, g2p: the experiment, the folder for decoded speech, texts to phonemes.
        workers: the processes that train together; TensorFlow must not have begun then.

    Raises:
        ConfigError: the devices are not there, or the workers were given different things.
        DataError: the speech cannot be used.
    """
    workers = workers or Workers()
    strategy = _strategy(config, workers)
    log_mel = build_log_mel(config)
    source = build_source(config, cache, g2p, share=(workers.index, workers.count))
    told = {"configuration": digest(training_settings(config)), "speech": source.segments.data_hash}
    require_equal(strategy, workers, told)
    total_steps = config.training.steps or max(
        1, round(config.training.epochs * source.batches_per_epoch)
    )
    o = config.optimizer
    rate = partial(
        learning_rate_schedule,
        o.schedule,
        total_steps=total_steps,
        steps_per_epoch=source.batches_per_epoch,
        halve_every_epochs=o.halve_every_epochs,
        warmup_steps=o.warmup_steps,
    )
    with strategy.scope():
        model = build_model(config)
        losses = build_losses(config, source.num_classes)
        schedule = rate(learning_rate=o.learning_rate)
        groups = make_groups(
            model,
            losses,
            learning_rate=schedule,
            weight_decay=o.weight_decay,
            clip_norm=o.clip_norm,
            bias_learning_rate=o.bias_learning_rate,
            constants_learning_rate=rate(learning_rate=o.constants_learning_rate),
        )
    step = TrainingStep(
        strategy,
        model,
        losses,
        log_mel,
        groups,
        loss_scope=config.training.loss_scope,
        compile=config.training.compile,
    )
    ramp = partial(
        margin_fraction,
        start_epoch=config.losses.keyword.ramp_start_epoch,
        end_epoch=config.losses.keyword.ramp_end_epoch,
    )
    return Training(source, step, schedule, ramp, total_steps)


def _strategy(config: Config, workers: Workers):
    replicas = config.training.replicas
    if workers.count > 1 and replicas:
        raise ConfigError(
            "training.replicas counts devices of one process. Expected: 0 with several workers, "
            f"each of which uses all its GPUs, or one CPU. Received: {replicas}."
        )
    strategy = join(workers) if workers.count > 1 else build_strategy(replicas)
    if config.batches.keywords < strategy.num_replicas_in_sync:
        raise ConfigError(
            "batches.keywords leaves a replica without a keyword. Expected: at least "
            f"{strategy.num_replicas_in_sync}, one for each. Received: {config.batches.keywords}."
        )
    return strategy
