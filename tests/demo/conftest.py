"""Recordings for the page."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """Two seconds of a rising tone."""
    path = tmp_path_factory.mktemp("recordings") / "tone.wav"
    time_s = np.arange(32000) / 16000
    noise = np.random.default_rng(0).normal(size=len(time_s))
    soundfile.write(path, 0.2 * np.sin(900 * time_s * (1 + time_s)) + 0.01 * noise, 16000)
    return path
