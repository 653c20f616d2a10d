"""A miniature corpus of tones and noise, laid out like real aligned speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml.data.words import build_segments, read_words
from adml.errors import TextError

SAMPLE_RATE_HZ = 16000
SPOKEN = {
    "anna_1": "read the red book now",
    "anna_2": "the night was long",
    "bert_1": "a knight has read the book",
    "bert_2": "the book was red",
    "cora_1": "now the long night",
}
WORD_SECONDS, FIRST_SECONDS = 0.4, 0.5


def make_corpus(root: Path) -> Path:
    """Five utterances of three speakers: half a second of quiet, then a tone for every word."""
    (root / "audio").mkdir(parents=True)
    rng = np.random.default_rng(7)
    manifest, words = (
        ["path\ttext\tspeaker\tduration"],
        ["path\tword\tspeaker\tstart\tend\tconfidence\tindex"],
    )
    for name, text in SPOKEN.items():
        spoken = text.split()
        path, speaker = f"audio/{name}.flac", name.split("_")[0]
        seconds = FIRST_SECONDS + WORD_SECONDS * len(spoken) + 0.2
        samples = 1e-3 * rng.standard_normal(int(seconds * SAMPLE_RATE_HZ))
        for place, word in enumerate(spoken):
            start = FIRST_SECONDS + WORD_SECONDS * place
            first, last = int(start * SAMPLE_RATE_HZ), int((start + WORD_SECONDS) * SAMPLE_RATE_HZ)
            pitch_hz = 150 + 40 * (sum(map(ord, word)) % 50)
            samples[first:last] += 0.3 * np.sin(
                2 * np.pi * pitch_hz * np.arange(last - first) / SAMPLE_RATE_HZ
            )
            words.append(
                f"{path}\t{word}\t{speaker}\t{start:.2f}\t{start + WORD_SECONDS:.2f}\t-1.0\t{place}"
            )
        soundfile.write(root / path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        manifest.append(f"{path}\t{text}\t{speaker}\t{seconds:.3f}")
    (root / "manifest.tsv").write_text("\n".join(manifest) + "\n", encoding="utf-8")
    (root / "words.tsv").write_text("\n".join(words) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """The folder of the miniature corpus; read only."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "train")


@pytest.fixture(scope="session")
def segments(corpus):
    """All segments of 1 to 3 words of the miniature corpus."""
    return build_segments(read_words(corpus), max_words=3)


class Spelling:
    """Stands in for G2P: a fixed pronunciation for each word of the corpus."""

    WORDS = {
        "a": "AH0", "book": "B UH1 K", "has": "HH AE1 Z", "knight": "N AY1 T", "long": "L AO1 NG",
        "night": "N AY1 T", "now": "N AW1", "read": "R EH1 D", "red": "R EH1 D", "the": "DH AH0",
        "was": "W AA1 Z",
    }  # fmt: skip

    def __init__(self, without: str = ""):
        self.without = without

    def phonemes(self, text: str) -> list[str]:
        if self.without in text.split():
            raise TextError(f"no pronunciation of {text!r}")
        return [symbol for word in text.split() for symbol in self.WORDS[word].split()]


@pytest.fixture(scope="session")
def spell() -> Spelling:
    """A small G2P."""
    return Spelling()
