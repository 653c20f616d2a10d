"""Which part of a batch each replica gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

MASK_KEYS = ("time_masks", "frequency_masks")
UTTERANCE_KEYS = ("waveform", "waveform_lengths", *MASK_KEYS)
NEGATIVE_KEYS = ("negative_phonemes", "negative_lengths")
SPAN_KEYS = ("span_recordings", "span_starts", "span_frames")
DISTRACTOR_KEYS = ("distractor_recordings", "distractor_starts", "distractor_frames")


def shares(batch: Mapping[str, Any], replicas: int) -> list[dict[str, tf.Tensor]]:
    """Give each replica a contiguous share of the keywords with their utterances.

    With spans, a share of the recordings with the keywords that are spoken in them.

    Args:
        batch: of this process.
        replicas: of this process.
    """
    edges, found = _edges(batch, replicas), []
    for replica in range(replicas):
        parts = {
            name: value[slice(*edges[_kind(name)][replica : replica + 2])]
            for name, value in batch.items()
        }
        for name in (SPAN_KEYS[0], DISTRACTOR_KEYS[0]):
            if name in batch:
                parts[name] = parts[name] - edges["waveform"][replica]
        found.append({name: tf.convert_to_tensor(value) for name, value in parts.items()})
    return found


def _kind(name: str) -> str:
    """What the rows of a part of the batch are: waveforms, keywords or distractors."""
    if name in DISTRACTOR_KEYS:
        return "distractor"
    return "waveform" if name in UTTERANCE_KEYS else "keyword"


def _edges(batch: Mapping[str, Any], replicas: int) -> dict[str, np.ndarray]:
    """Where the shares of the replicas end, int [replicas + 1], by kind of row."""
    if "span_recordings" not in batch:
        keywords = np.linspace(0, len(batch["phonemes"]), replicas + 1).round().astype(int)
        repeats = len(batch["waveform"]) // len(batch["phonemes"])
        return {"waveform": keywords * repeats, "keyword": keywords}
    waveforms = np.linspace(0, len(batch["waveform"]), replicas + 1).round().astype(int)
    edges = {"waveform": waveforms}
    for kind, first in (("keyword", SPAN_KEYS[0]), ("distractor", DISTRACTOR_KEYS[0])):
        if first in batch:
            edges[kind] = np.searchsorted(batch[first], waveforms)
    return edges
