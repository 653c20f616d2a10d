"""Learning rate and margin as functions of the step (paper, section 4.1)."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="adml")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, raised linearly from zero over the first steps.

    rate(step) = min(1, (step + 1) / warmup_steps) * schedule(step)

    Args:
        schedule: the schedule that follows.
        warmup_steps: length of the rise, in steps; at least 1.
    """

    def __init__(self, schedule, warmup_steps: int):
        self.schedule = schedule
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Rate at a step."""
        fraction = (tf.cast(step, tf.float32) + 1.0) / float(self.warmup_steps)
        return tf.minimum(1.0, fraction) * self.schedule(step)

    def get_config(self):
        """Arguments of the constructor."""
        return {"schedule": self.schedule, "warmup_steps": self.warmup_steps}


def learning_rate_schedule(
    kind: str,
    *,
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: float,
    halve_every_epochs: float = 20.0,
    warmup_steps: int = 0,
):
    """The learning rate at each step.

    Args:
        kind: "halving" (the paper: halved every 20 epochs) or "cosine" (to zero at the last step).
        learning_rate: at the start.
        total_steps: length of the run.
        steps_per_epoch: steps of one pass over the keywords.
        halve_every_epochs: for "halving".
        warmup_steps: linear rise at the start; 0 for none.

    Returns:
        A Keras learning rate schedule.
    """
    schedules = keras.optimizers.schedules
    if kind == "cosine":
        schedule = schedules.CosineDecay(learning_rate, decay_steps=max(1, total_steps))
    elif kind == "halving":
        steps = max(1, round(halve_every_epochs * steps_per_epoch))
        schedule = schedules.ExponentialDecay(
            learning_rate, decay_steps=steps, decay_rate=0.5, staircase=True
        )
    else:
        raise ValueError(f"Unknown schedule. Expected: halving or cosine. Received: {kind!r}.")
    return Warmup(schedule, warmup_steps) if warmup_steps else schedule


def margin_fraction(epoch: float, *, start_epoch: float, end_epoch: float) -> float:
    """Share of the keyword loss' margin that is in force: 0 before, 1 after, linear between.

    Args:
        epoch: epochs passed, fractional.
        start_epoch: where the rise begins.
        end_epoch: where the margin is whole.
    """
    if end_epoch <= start_epoch:
        return float(epoch >= start_epoch)
    return min(1.0, max(0.0, (epoch - start_epoch) / (end_epoch - start_epoch)))
