"""The one module that knows tensorflow-io.

Its native decoders load with TensorFlow 2.16 and 2.17. With later versions the import warns and
every native decoder raises NotImplementedError; then, and for Opus, which it does not know, the
caller decodes with soundfile. PCM samples are equal; Vorbis and MP3 agree to rounding.
"""

from __future__ import annotations

import functools
import importlib
import logging
import struct
import warnings
from types import ModuleType

import numpy as np

LOGGER = logging.getLogger(__name__)


@functools.cache
def native_audio() -> ModuleType | None:
    """Ask once whether the native decoders work, by decoding a WAV of one sample.

    Returns:
        The module `tensorflow_io.audio`, or None.
    """
    one_sample = struct.pack(
        "<4sI4s4sIHHIIHH4sIh", b"RIFF", 38, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16,
        b"data", 2, 1,
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            audio = importlib.import_module("tensorflow_io").audio
        audio.decode_wav(one_sample, dtype=importlib.import_module("tensorflow").int16)
    except (ImportError, NotImplementedError, AttributeError, OSError, RuntimeError) as error:
        LOGGER.info("tensorflow-io cannot decode here (%s); soundfile decodes.", error)
        return None
    return audio


def decode(data: bytes, format: str, bits: int, is_float: bool) -> np.ndarray | None:
    """Decode a whole file with tensorflow-io.

    Args:
        data: the file.
        format: "wav", "flac", "ogg vorbis" or "mp3"; others are left to the caller.
        bits: bits of a WAV or FLAC sample.
        is_float: the samples of the WAV are floating-point numbers.

    Returns:
        float32 [frames, channels] in -1..1, or None where it cannot.

    Raises:
        ValueError: the decoder refuses the file.
    """
    audio = native_audio()
    decoders = {"ogg vorbis": "decode_vorbis", "mp3": "decode_mp3"}
    # Its WAV reader takes 32-bit integers for floats, so those are left to the caller.
    depths = {"wav": (32,) if is_float else (8, 16, 24), "flac": (16, 24)}
    if audio is None or not (format in decoders or bits in depths.get(format, ())):
        return None
    tf = importlib.import_module("tensorflow")
    try:
        if format in decoders:
            return getattr(audio, decoders[format])(data).numpy()
        stored = {8: tf.uint8, 16: tf.int16, 24: tf.int32, 32: tf.float32}[bits]
        function = audio.decode_wav if format == "wav" else audio.decode_flac
        samples = function(data, dtype=stored).numpy()
    except tf.errors.OpError as error:
        raise ValueError(error.message) from error
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype == np.float32:
        return samples
    return (samples / float(-np.iinfo(samples.dtype).min)).astype(np.float32)
