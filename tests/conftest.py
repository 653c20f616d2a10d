"""Settings shared by all tests: quiet logs, two logical CPU devices, and where real speech is."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import tensorflow as tf

SPEECH_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "speech"


def _split_cpu() -> None:
    """Make two logical CPU devices; this only works before the TensorFlow runtime starts."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)


_split_cpu()


@pytest.fixture(scope="session")
def speech_root() -> Path:
    """Real speech: ADML_SPEECH, or shared/speech beside the repository; skips without."""
    root = Path(os.environ.get("ADML_SPEECH", SPEECH_FOLDER))
    if not root.is_dir():
        pytest.skip(f"no real speech at {root}; set ADML_SPEECH to a folder that holds it")
    return root
