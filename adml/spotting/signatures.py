"""The signatures of exported SavedModels as functions of arrays."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

DAMAGED = OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError
"""What an export that is not whole is known by."""


class Running(NamedTuple):
    """What `Hearing` is made of."""

    log_mel: Callable
    listen: Callable
    window: int
    shift: int


def load_saved(folder: Path):
    """Load a SavedModel, without the warning that its gradients were not saved: none are asked for.

    Raises:
        one of `DAMAGED`.
    """
    talker = logging.getLogger("absl")
    level = talker.level
    talker.setLevel(logging.ERROR)
    try:
        return tf.saved_model.load(str(folder))
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
    finally:
        talker.setLevel(level)


def signature(loaded, name: str, inputs: tuple[str, ...]) -> Callable:
    """A signature as a function of positional arrays that returns the embedding."""
    call = _call(loaded, name, inputs)
    return lambda *arrays: call(*arrays)["embedding"].numpy()


def _call(loaded, name: str, inputs: tuple[str, ...]) -> Callable:
    """A signature as a function of positional arrays; the SavedModel is held, else it would die."""
    function = loaded.signatures[name]

    def call(*arrays: np.ndarray) -> dict[str, tf.Tensor]:
        named = {key: tf.constant(array) for key, array in zip(inputs, arrays, strict=True)}
        return function(**named)

    call.loaded = loaded
    return call


def running_of(loaded, settings: dict) -> Running | None:
    """The functions for running audio; None where the SavedModel has none.

    Raises:
        one of `DAMAGED`: the settings of the front end.
    """
    if "listen" not in loaded.signatures:
        return None
    log_mel = _call(loaded, "log_mel", ("waveform",))
    listen = _call(loaded, "listen", ("log_mel", "lengths", "recordings", "starts", "frames"))

    def hear(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        told = listen(*arrays)
        phones = told.get("phones")
        return told["embedding"].numpy(), None if phones is None else phones.numpy()

    window, shift = (
        round(settings["sample_rate_hz"] * settings[name] / 1000)
        for name in ("window_ms", "shift_ms")
    )
    if not 0 < shift <= window:
        raise ValueError(f"windows of {window} samples every {shift}")
    return Running(lambda waveform: log_mel(waveform)["log_mel"].numpy(), hear, window, shift)


def hash_of(saved: Iterable[Path]) -> str:
    """sha256 over the weights of SavedModels."""
    digest = hashlib.sha256()
    for folder in saved:
        for path in sorted((folder / "variables").glob("variables.data-*")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
