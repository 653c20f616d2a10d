"""Speech through a codec and back: what a telephone line or a music file leaves of it.

The codecs are libsndfile's, in memory. None of them moves the speech in time.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import soundfile

from adml.audio.decoding import SAMPLE_RATE_HZ, resample
from adml.errors import UsageError


class _Codec(NamedTuple):
    container: str
    coding: str
    sample_rate_hz: int
    compression: float | None = None


_CODECS = {
    "mu_law": _Codec("WAV", "ULAW", 8000),
    "a_law": _Codec("WAV", "ALAW", 8000),
    "gsm": _Codec("WAV", "GSM610", 8000),
    "ima_adpcm": _Codec("WAV", "IMA_ADPCM", SAMPLE_RATE_HZ),
    "vorbis": _Codec("OGG", "VORBIS", SAMPLE_RATE_HZ, 0.9),
    "opus": _Codec("OGG", "OPUS", SAMPLE_RATE_HZ, 0.95),
}

CODECS = tuple(_CODECS)
"""Names that `transmit` knows: telephone (mu_law, a_law, gsm, all 8 kHz) and files (the others)."""


def transmit(speech: np.ndarray, codec: str) -> np.ndarray:
    """Encode and decode.

    Args:
        speech: [T] samples in [-1, 1] at 16 kHz.
        codec: one of `CODECS`.

    Returns:
        float32 [T] in [-1, 1], at 16 kHz and in time with the speech.

    Raises:
        UsageError: there is no such codec.
    """
    if codec not in _CODECS:
        raise UsageError(
            f"There is no such codec. Expected: {', '.join(CODECS)}. Received: {codec!r}."
        )
    container, coding, rate_hz, compression = _CODECS[codec]
    speech = np.asarray(speech, np.float32)
    if not len(speech):
        return speech.copy()
    file = io.BytesIO()
    sent = resample(speech, SAMPLE_RATE_HZ, rate_hz)
    soundfile.write(
        file, sent, rate_hz, coding, format=container, compression_level=compression
    )
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float32")
    heard = resample(heard, rate_hz, SAMPLE_RATE_HZ)[: len(speech)]
    heard = np.pad(heard, (0, len(speech) - len(heard)))
    return np.clip(heard, -1.0, 1.0)
