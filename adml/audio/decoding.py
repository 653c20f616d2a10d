"""Audio files to 16 kHz mono float32 samples."""

from __future__ import annotations

import functools
import io
import logging
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

from adml.errors import AudioError

LOGGER = logging.getLogger(__name__)
SAMPLE_RATE_HZ = 16000


def decode(source, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Decode a file or bytes to float32 [T] mono."""
    data = source if isinstance(source, bytes) else Path(os.fspath(source)).read_bytes()
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{source!r} cannot be decoded: {error}") from error
    return resample(samples.mean(axis=1), rate, sample_rate_hz)


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Change the rate of [T] samples with soxr."""
    if from_hz == to_hz:
        return np.ascontiguousarray(samples, dtype=np.float32)
    return soxr.resample(samples, from_hz, to_hz).astype(np.float32)
