"""How fast batches are made: the input side alone, clean and disturbed as configured."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from adml.build.data import build_source
from adml.config import Config
from adml.data.batches import BatchSource
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)


def input_benchmark(config: Config, cache: Path, *, batches: int = 40) -> dict:
    """Draw, cut and disturb batches as training does, with no step to wait for them.

    Args:
        config: the experiment.
        cache: folder for decoded speech.
        batches: how many of each kind.

    Returns:
        `clean` (no noise, room, speed or codec) and `configured`, each with `per_second` and
        `per_cpu_second` in utterances, and `seconds`: mean length of an utterance.

    Raises:
        ConfigError, DataError: as training would.
    """
    quiet = replace(
        config.augmentation, noise=(), music=(), babble=(), impulse_responses=(),
        speed_probability=0.0, codec_probability=0.0,
    )  # fmt: skip
    g2p = G2P()
    return {
        name: _measure(name, build_source(kind, cache, g2p), batches)
        for name, kind in (
            ("clean", replace(config, augmentation=quiet)),
            ("configured", config),
        )
    }


def _measure(name: str, source: BatchSource, batches: int) -> dict:
    made, samples = 0, 0
    drawn = iter(source.dataset(0, batches + 2))
    next(drawn), next(drawn)  # the first open files and fill memory
    start, cpu = time.perf_counter(), time.process_time()
    for batch in drawn:
        made += int(batch["waveform_lengths"].shape[0])
        samples += int(batch["waveform_lengths"].numpy().sum())
    taken, worked = time.perf_counter() - start, time.process_time() - cpu
    logger.info("%s: %d utterances in %.1f s", name, made, taken)
    return {
        "per_second": made / taken,
        "per_cpu_second": made / worked,
        "seconds": samples / made / 16000,
    }


def format_input_benchmark(values: dict, step_per_second: float) -> str:
    """Returns a line for each kind, with how many times as fast as the step it is."""
    return "\n".join(
        f"input {name:10} {row['per_second']:7.0f} utterances of {row['seconds']:.2f} s a second "
        f"({row['per_cpu_second']:.0f} per CPU-second): "
        f"{row['per_second'] / step_per_second:.1f} times what the whole step takes"
        for name, row in values.items()
    )
