"""A corpus of noise under random words, so that training is timed without any data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from adml.config import Config, load_config
from adml.data.synthetic import read_vocabulary

SAMPLE_RATE_HZ = 16000


def noise_config(root: Path, keywords: int) -> Config:
    """The paper's objective on a corpus of `make_noise_corpus`, in batches of `keywords` x 2."""
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
