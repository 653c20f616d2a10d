"""Clips that come as arrays."""

from __future__ import annotations

import numpy as np

from adml.audio.decoding import LARGEST_PEAK
from adml.errors import AudioError


def check_samples(samples: np.ndarray) -> np.ndarray:
    """Check a clip that came as an array.

    Args:
        samples: float [T] in -1..1.

    Returns:
        The same as float32 [T].

    Raises:
        AudioError: another shape or kind of number, none, not finite, or far out of range.
    """
    samples = np.asarray(samples)
    problem = ""
    if samples.ndim != 1:
        problem = f"shape {samples.shape}. Average the channels first"
    elif not np.issubdtype(samples.dtype, np.floating):
        problem = f"{samples.dtype}. Divide by full scale first (32768 for 16-bit numbers)"
    elif not samples.size:
        problem = "no samples. Check the recording"
    elif not np.isfinite(samples).all():
        problem = f"{np.count_nonzero(~np.isfinite(samples))} samples NaN or infinite. Check them"
    elif np.abs(samples).max() > LARGEST_PEAK:
        problem = f"a peak of {np.abs(samples).max():g}. Divide by full scale first"
    if problem:
        raise AudioError(
            "The samples cannot be embedded. Expected: finite floats [T] of one channel in -1..1. "
            f"Received: {problem}."
        )
    return samples.astype(np.float32, copy=False)
