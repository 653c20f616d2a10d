"""The microphone, by sounddevice (extra `mic`)."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import numpy as np

from adml.errors import UsageError


def listen(sample_rate_hz: int, chunk_samples: int) -> Iterator[np.ndarray]:
    """Chunks of the default microphone until the process is interrupted.

    Args:
        sample_rate_hz: asked of the system, which converts.
        chunk_samples: samples of a chunk.

    Returns:
        An iterator of float32 [chunk_samples].

    Raises:
        UsageError: sounddevice is not installed, or there is no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise UsageError(
            f"The microphone needs the package sounddevice and PortAudio: {error}. Install them "
            "(pip install -e '.[mic]'), or pipe raw audio into adml detect - --rate HZ."
        ) from None
    heard: queue.Queue = queue.Queue()

    def take(data, frames, time, status) -> None:
        heard.put(data[:, 0].copy())

    try:
        stream = sounddevice.InputStream(
            sample_rate_hz, chunk_samples, channels=1, dtype="float32", callback=take
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UsageError(
            f"There is no microphone to listen to: {error}. Expected: an input device. Give files, "
            "or raw audio on stdin."
        ) from None
    with stream:
        while True:
            yield heard.get()
