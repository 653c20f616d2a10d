"""Metrics of verification (trials with a label) and of detection in streams."""

from adml.metrics.detection import merge_events, misses_at_false_alarms, poisson_interval
from adml.metrics.verification import (
    average_precision,
    bootstrap_interval,
    equal_error_rate,
    roc_auc,
)

__all__ = [
    "average_precision",
    "bootstrap_interval",
    "equal_error_rate",
    "merge_events",
    "misses_at_false_alarms",
    "poisson_interval",
    "roc_auc",
]
