"""What it costs on one core to find many keywords in an hour of audio."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.benchmarks.memory import peak_mb
from adml.errors import UsageError
from adml.spotting.detecting import Detector
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.spotter import KeywordSpotter, find_export
from adml.text.phonemes import PHONES

KEYWORDS = (1, 10, 100, 1000)
_PHONES = 7
_CHUNK_S = 1.0
_CLIPS = 50
_MEASURE = "import sys, json; from adml.benchmarks.spotting import measure; " \
    "print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))"  # fmt: skip


def spotting_benchmark(
    model: Path | None = None, *, counts: Sequence[int] = KEYWORDS, seconds: float = 3600.0
) -> list[dict]:
    """Measure detection in noise, each number of keywords in a process of its own on one core.

    What is said changes nothing: every block is encoded and compared with every keyword.

    Args:
        model: run folder or export folder; the weights in the package where None.
        counts: numbers of keywords.
        seconds: of audio.

    Returns:
        For each count `keywords`, and what `measure` tells.

    Raises:
        UsageError: there is no such export, or it could not be measured.
    """
    rows, folder = [], str(find_export(model))
    alone = os.environ | {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    for count in tqdm(counts, "keywords", disable=None):
        command = [sys.executable, "-c", _MEASURE, folder, str(count), str(seconds)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            env=alone | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["killed"])[-1]
            raise UsageError(f"Detection with {count} keywords could not be measured: {said}")
        rows.append({"keywords": count, **json.loads(done.stdout.splitlines()[-1])})
    return rows


def measure(model: str, count: int, seconds: float) -> dict:
    """Measure in this process, which keeps to one core.

    Args:
        model: run folder or export folder.
        count: of keywords, of `_PHONES` phonemes each.
        seconds: of audio.

    Returns:
        `seconds` of audio, `cpu_seconds` it took and `times_real_time`; `peak_mb`, and how much of
        it the audio added; `clip_ms`: CPU-milliseconds to embed one second and compare it.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    spotter, rng = KeywordSpotter.load(model), np.random.default_rng(0)
    second = rng.normal(0, 0.1, spotter.sample_rate_hz).astype(np.float32)
    size = len(spotter.embed_audio(second, spotter.sample_rate_hz))
    vectors = rng.normal(size=(count, 1, size))
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
    spoken = (tuple(rng.choice(PHONES, _PHONES).tolist()) for _ in range(count))
    keywords = KeywordFile(
        spotter.model,
        tuple(
            Keyword(str(number), vector, (symbols,))
            for number, (vector, symbols) in enumerate(zip(vectors, spoken, strict=True))
        ),
    )
    detector = Detector(spotter, keywords, sample_rate_hz=spotter.sample_rate_hz, threshold=1.0)
    for _ in range(4):  # the first blocks make the graph
        detector.push(second)
    before_mb, start = peak_mb(), time.process_time()
    for _ in range(round(seconds / _CHUNK_S)):
        detector.push(rng.normal(0, 0.1, round(_CHUNK_S * spotter.sample_rate_hz)))
    cpu_s = time.process_time() - start
    start = time.process_time()
    for _ in range(_CLIPS):
        spotter.embed_audio(second, spotter.sample_rate_hz) @ vectors[:, 0].T
    clip_ms = 1000 * (time.process_time() - start) / _CLIPS
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_s,
        "times_real_time": seconds / cpu_s,
        "peak_mb": peak_mb(),
        "audio_mb": peak_mb() - before_mb,
        "clip_ms": clip_ms,
    }


def format_spotting(rows: Sequence[dict]) -> str:
    """Returns `spotting_benchmark` as a table of Markdown."""
    lines = [
        "| keywords | times real time | peak MiB | added by the audio | one second, CPU-ms |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['keywords']:,} | {row['times_real_time']:.0f} | {row['peak_mb']:.0f} "
        f"| {row['audio_mb']:.0f} | {row['clip_ms']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
