"""Metrics of verification (trials with a label), of detection in streams, and of modalities."""

from adml.metrics.detection import merge_events, misses_at_false_alarms, poisson_interval
from adml.metrics.modality import centroid_gap, mmd, probe_accuracy
from adml.metrics.ranking import retrieval
from adml.metrics.verification import (
    average_precision,
    bootstrap_interval,
    equal_error_rate,
    roc_auc,
)

__all__ = [
    "average_precision",
    "bootstrap_interval",
    "centroid_gap",
    "equal_error_rate",
    "merge_events",
    "misses_at_false_alarms",
    "mmd",
    "poisson_interval",
    "probe_accuracy",
    "retrieval",
    "roc_auc",
]
