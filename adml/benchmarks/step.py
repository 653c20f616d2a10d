"""How much of the encoder's speed the whole training step keeps, pipeline and losses included."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import tensorflow as tf

from adml.benchmarks.encoder import encoder_stepper
from adml.build.training import Training, build_training
from adml.config import Config, load_config
from adml.data.synthetic import read_vocabulary
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 16000


def step_benchmark(keywords: int = 64, *, rounds: int = 3, steps: int = 4, seed: int = 0) -> dict:
    """Measure training steps of the paper's objective against the acoustic encoder alone.

    The corpus is made of noise under random words, so that the figure needs no data: batches of
    `keywords` x 2 utterances of 0.3 to 1.5 s with noise and masks, all loss terms, both towers,
    both adversaries, AdamW. The encoder alone trains on the same utterances' features.

    Args:
        keywords: K; the batch has 2 K utterances.
        rounds: alternations of both; the medians are reported.
        steps: training steps of one measurement.
        seed: of the corpus.

    Returns:
        `step`, `encoder`: utterances per CPU-second; `share`: step / encoder; `step_per_second`:
        utterances a second of wall time; `wait_fraction`: share of that time spent waiting for a
        batch; `batch_size`; `seconds`: mean length of an utterance.
    """
    with tempfile.TemporaryDirectory() as folder:
        training = build_training(
            _config(make_noise_corpus(Path(folder), seed), keywords), Path(folder), G2P()
        )
        total = rounds * steps + 2
        batches = iter(training.source.dataset(0, total))
        lengths, waited, taken = [], 0.0, 0.0
        for _ in range(2):
            batch = next(batches)
            training.step(batch)
        encoder = _encoder_on(training, batch)
        whole, alone = [], []
        for _ in range(rounds):
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(steps):
                before = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - before
                training.step(batch)
                lengths.append(float(np.mean(batch["waveform_lengths"])))
            whole.append((time.process_time() - cpu) / steps)
            taken += time.perf_counter() - start
            cpu = time.process_time()
            for _ in range(steps):
                encoder()
            alone.append((time.process_time() - cpu) / steps)
            logger.info("step %.2f, encoder alone %.2f CPU-seconds", whole[-1], alone[-1])
    size = 2 * keywords
    step, encoder_rate = size / statistics.median(whole), size / statistics.median(alone)
    return {
        "step": step,
        "encoder": encoder_rate,
        "share": step / encoder_rate,
        "step_per_second": rounds * steps * size / taken,
        "wait_fraction": waited / taken,
        "batch_size": size,
        "seconds": float(np.mean(lengths)) / SAMPLE_RATE_HZ,
    }


def format_step_benchmark(values: dict) -> str:
    """Returns the figures of `step_benchmark` in two lines."""
    return (
        f"whole step {values['step']:.1f} utterances of {values['seconds']:.2f} s per CPU-second, "
        f"encoder alone {values['encoder']:.1f}: {values['share']:.0%} "
        f"(batch {values['batch_size']}, waiting {values['wait_fraction']:.1%} of the time)"
    )


def _encoder_on(training: Training, batch):
    features, lengths = training.step.log_mel(
        tf.convert_to_tensor(batch["waveform"]), tf.convert_to_tensor(batch["waveform_lengths"])
    )
    return encoder_stepper(True, features, lengths)


def _config(root: Path, keywords: int) -> Config:
    config = load_config()
    return replace(
        config,
        data=replace(config.data, root=str(root), max_words=1, min_seconds=0.25),
        batches=replace(config.batches, keywords=keywords),
        augmentation=replace(config.augmentation, noise=("noise",)),
        training=replace(config.training, steps=1000),
    )


def make_noise_corpus(folder: Path, seed: int) -> Path:
    """Noise under random words, in the layout of aligned speech."""
    rng = np.random.default_rng(seed)
    words, _ = read_vocabulary()
    root = folder / "speech"
    (root / "train" / "audio").mkdir(parents=True)
    (root / "noise" / "audio").mkdir(parents=True)
    aligned = ["path\tword\tspeaker\tstart\tend\tconfidence\tindex"]
    manifest = ["path\ttext\tspeaker\tduration"]
    for number in range(40):
        spoken = rng.choice(len(words), 40, replace=False)
        ends = np.cumsum(rng.uniform(0.35, 1.5, 40)) + 0.05
        starts = np.concatenate([[0.05], ends[:-1]])
        path = f"audio/{number}.wav"
        _write_noise(root / "train" / path, float(ends[-1]) + 0.1, rng)
        text = " ".join(words[word] for word in spoken)
        manifest.append(f"{path}\t{text}\tspeaker{number}\t{ends[-1] + 0.1:.3f}")
        aligned += [
            f"{path}\t{words[word]}\tspeaker{number}\t{start:.3f}\t{end:.3f}\t0.00\t{index}"
            for index, (word, start, end) in enumerate(zip(spoken, starts, ends, strict=True))
        ]
    _write_noise(root / "noise" / "audio" / "0.wav", 20.0, rng)
    (root / "train" / "words.tsv").write_text("\n".join(aligned) + "\n", encoding="utf-8")
    (root / "train" / "manifest.tsv").write_text("\n".join(manifest) + "\n", encoding="utf-8")
    (root / "noise" / "manifest.tsv").write_text(
        "path\ttext\tspeaker\tduration\naudio/0.wav\tnoise\t\t20.000\n", encoding="utf-8"
    )
    return root


def _write_noise(path: Path, seconds: float, rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.1, int(seconds * SAMPLE_RATE_HZ)).clip(-1, 1)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
