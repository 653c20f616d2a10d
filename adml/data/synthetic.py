"""A small corpus of synthetic speech: many voices, held-out voices and words, exact times."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from adml.data.corpus_plan import Plan, String, Voice, make_plan
from adml.data.espeak import Synthesiser, Utterance, find_synthesiser, speak
from adml.data.generated_noise import KINDS, make_noise
from adml.errors import DataError, UsageError

__all__ = ["make_corpus", "read_vocabulary"]

logger = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 16000
_FORMAT = 1
_NOISE_FILES, _NOISE_SECONDS, _BABBLERS = 3, 15, 6
_TRIM_DECIBELS, _TRIM_MARGIN_S = -45.0, 0.01
_TOLD = {"voices", "train_seconds", "test_seconds", "synthesiser"}
"""What a finished corpus tells of itself, beside what it was asked for."""

_WORD_COLUMNS = ("path", "word", "speaker", "start", "end", "confidence", "index")
_CLIP_COLUMNS = ("path", "text", "speaker", "duration")
_NOISE_COLUMNS = ("path", "text", "speaker", "speech_start", "speech_end")


@dataclass(frozen=True)
class Spoken:
    """A recorded string: `samples` float32 [T] at 16 kHz; (word, start_s, end_s) of its words."""

    samples: np.ndarray
    words: tuple[tuple[str, float, float], ...]


def read_vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the packaged words, and the phrases made of them, each once and in file order."""
    text = resources.files("adml.data").joinpath("vocabulary.txt").read_text(encoding="utf-8")
    words, phrases = {}, {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("="):
            phrases[line.removeprefix("=").strip()] = None
        else:
            words.update(dict.fromkeys(line.split()))
    return tuple(words), tuple(phrases)


def make_corpus(
    folder: str | Path,
    *,
    num_words: int = 800,
    num_voices: int = 60,
    seed: int = 0,
    held_out_words: int | None = None,
    held_out_voices: int | None = None,
    voices_per_word: int = 8,
    test_voices_per_word: int = 4,
    items_per_string: int = 10,
    workers: int | None = None,
) -> Path:
    """Make a corpus `train/`, `test/` and `noise/` of synthetic speech, or find it made.

    Each recording is a string of words of one voice with pauses between. `train` holds the
    training voices and words only; `test` holds the held-out voices speaking all words. The same
    settings and synthesiser give the same bytes. `settings.json` tells what was made.

    Args:
        folder: of the corpus; must be new, or hold a corpus of the same settings.
        num_words: words of the packaged vocabulary to use; phrases of these come along.
        num_voices: voices, of different timbre, accent, rate and pitch.
        seed: of every choice.
        held_out_words: words that are in no training recording; 15 % where None.
        held_out_voices: voices that are in no training recording; 20 % where None.
        voices_per_word: training voices that speak a word (at most all of them).
        test_voices_per_word: the same for the held-out voices.
        items_per_string: words or phrases in a recording.
        workers: voices spoken at a time; all cores where None. The bytes do not depend on it.

    Returns:
        The folder.

    Raises:
        UsageError: the synthesiser is not installed, the folder holds something else or cannot be
            written, or a count does not fit.
        DataError: the synthesiser failed.
    """
    folder = Path(folder).resolve()
    words, phrases = read_vocabulary()
    plan = make_plan(
        words, phrases, num_words=num_words, num_voices=num_voices, seed=seed,
        held_out_words=_share(held_out_words, 0.15 * num_words),
        held_out_voices=_share(held_out_voices, 0.2 * num_voices),
        voices_per_word=voices_per_word, test_voices_per_word=test_voices_per_word,
        items_per_string=items_per_string,
    )  # fmt: skip
    settings = {"format": _FORMAT, **plan.settings}
    if _is_made(folder, settings):
        logger.info("The corpus in %s is used as it is.", folder)
        return folder
    _build(folder, plan, settings, find_synthesiser(), workers or os.cpu_count() or 1)
    return folder


def _share(count: int | None, otherwise: float) -> int:
    return max(1, round(otherwise)) if count is None else count


def _build(
    folder: Path, plan: Plan, settings: dict, synthesiser: Synthesiser, workers: int
) -> None:
    """Make the corpus beside its place and move it there when it is whole."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        made = _make(part, plan, synthesiser, workers)
        described = {**settings, **made, "synthesiser": f"espeakng-loader {synthesiser.version}"}
        (part / "settings.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        if folder.is_dir():
            folder.rmdir()
        os.replace(part, folder)
    except OSError as error:
        raise UsageError(
            f"Cannot write the corpus {folder}: {error.strerror or error}. Choose another folder."
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_made(folder: Path, settings: dict) -> bool:
    """Whether the folder holds a corpus of these settings; UsageError where it holds another."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / "settings.json").read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= _TOLD:
        raise UsageError(
            f"{folder} exists and is no synthetic corpus. Expected: a new folder. Choose another."
        )
    lists = [f"{name}/manifest.tsv" for name in ("train", "test", "noise")]
    if gone := [name for name in lists if not (folder / name).is_file()]:
        raise UsageError(
            f"The corpus {folder} is not whole. Expected: all that its settings.json tells. "
            f"Received: no {gone[0]}. Remove the folder, or choose another."
        )
    wrong = [key for key in settings if found.get(key) != settings[key]]
    if wrong:
        raise UsageError(
            f"{folder} holds a corpus of other settings. Expected: {wrong[0]} "
            f"{settings[wrong[0]]!r}. Received: {found.get(wrong[0])!r}. "
            "Choose another folder or remove this one."
        )
    return True


def _make(part: Path, plan: Plan, synthesiser: Synthesiser, workers: int) -> dict:
    """Write all files of the corpus; return what settings.json tells about them."""
    voices = plan.pick_voices(synthesiser.accents, synthesiser.variants)
    tables: dict[str, tuple[list, list]] = {"train": ([], []), "test": ([], [])}
    babblers: list[np.ndarray] = []
    for split in tables:
        (part / split / "audio").mkdir(parents=True)

    def work(number: int) -> list[Spoken]:
        seeds = [plan.seed, number]
        return list(_speak_voice(synthesiser, voices[number], plan.strings[number], seeds))

    with ThreadPoolExecutor(workers) as pool:
        spoken = pool.map(work, range(len(voices)))
        for voice, recordings in zip(
            voices, tqdm(spoken, "speaking", len(voices), unit="voice", disable=None), strict=True
        ):
            split = "test" if voice.held_out else "train"
            clips, words = tables[split]
            for number, recording in enumerate(recordings):
                path = f"audio/{voice.name}-{number:03d}.wav"
                _write_audio(part / split / path, recording.samples)
                clips.append((path, " ".join(word for word, _, _ in recording.words), voice.name,
                              f"{len(recording.samples) / SAMPLE_RATE_HZ:.4f}"))  # fmt: skip
                words += [(path, word, voice.name, f"{start:.4f}", f"{end:.4f}", "0.00", str(index))
                          for index, (word, start, end) in enumerate(recording.words)]  # fmt: skip
            if split == "train":
                babblers += [recording.samples for recording in recordings[:2]]
    for split, (clips, words) in tables.items():
        _write_table(part / split / "manifest.tsv", _CLIP_COLUMNS, clips)
        _write_table(part / split / "words.tsv", _WORD_COLUMNS, words)
    _make_noise(part / "noise", babblers, np.random.default_rng([plan.seed, len(voices)]))
    seconds = {f"{split}_seconds": round(sum(float(clip[3]) for clip in clips), 1)
               for split, (clips, _) in tables.items()}  # fmt: skip
    return {"voices": [asdict(voice) for voice in voices], **seconds}


def _speak_voice(
    synthesiser: Synthesiser, voice: Voice, strings: Sequence[String], seeds: Sequence[int]
) -> Iterator[Spoken]:
    """The recordings of one voice, in order."""
    rng = np.random.default_rng(seeds)
    utterances = []
    for string in strings:
        for word in string.words:
            rate = round(voice.rate * rng.uniform(0.9, 1.1))
            pitch = int(np.clip(round(voice.pitch + rng.uniform(-6, 6)), 0, 99))
            mark = rng.choice([".", ",", ""])
            utterances.append(Utterance(f"{word}{mark}", rate, pitch, voice.pitch_range))
    if not utterances:
        return
    rate_hz, sounds = speak(synthesiser, f"{voice.accent}+{voice.variant}", utterances)
    sound = iter(sounds)
    for number, string in enumerate(strings):
        pieces = [_trim(np.frombuffer(next(sound), "<i2"), rate_hz, word) for word in string.words]
        yield _join(pieces, string, rate_hz, np.random.default_rng([*seeds, number]))


def _trim(samples: np.ndarray, rate_hz: int, word: str) -> np.ndarray:
    """The samples from the first to the last loud one, with a margin; float64 of peak 1."""
    peak = int(np.abs(samples.astype(np.int32)).max(initial=0))
    if not peak:
        raise DataError(f"The synthesiser gave no sound for {word!r}. Take it off the vocabulary.")
    samples = samples / peak
    loud = np.flatnonzero(np.abs(samples) > 10.0 ** (_TRIM_DECIBELS / 20.0))
    margin = round(_TRIM_MARGIN_S * rate_hz)
    return samples[max(0, loud[0] - margin) : loud[-1] + margin + 1]


def _join(
    pieces: Sequence[np.ndarray], string: String, rate_hz: int, rng: np.random.Generator
) -> Spoken:
    """Words with pauses between, at 16 kHz, at a random level over a faint noise floor."""
    parts, spans, at = [], [], 0
    for piece, tied in zip(pieces, string.tied, strict=True):
        shortest, longest = (0.0, 0.03) if tied else (0.02, 0.25) if parts else (0.15, 0.4)
        pause = np.zeros(round(rng.uniform(shortest, longest) * rate_hz))
        at += len(pause)
        spans.append((at / rate_hz, (at + len(piece)) / rate_hz))
        parts += [pause, piece]
        at += len(piece)
    parts.append(np.zeros(round(rng.uniform(0.15, 0.4) * rate_hz)))
    samples = soxr.resample(np.concatenate(parts), rate_hz, SAMPLE_RATE_HZ)
    peak = 10.0 ** (rng.uniform(-12.0, -3.0) / 20.0)
    samples *= peak / np.abs(samples).max()
    samples += peak * 10.0 ** (rng.uniform(-65.0, -50.0) / 20.0) * rng.standard_normal(len(samples))
    words = tuple((word, *span) for word, span in zip(string.words, spans, strict=True))
    return Spoken(np.clip(samples, -1.0, 1.0).astype(np.float32), words)


def _make_noise(folder: Path, babblers: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    (folder / "audio").mkdir(parents=True)
    rows = []
    for kind in KINDS:
        for number in range(_NOISE_FILES):
            picks = rng.choice(len(babblers), min(_BABBLERS, len(babblers)), replace=False)
            voices = [babblers[pick] for pick in picks]
            noise = make_noise(kind, _NOISE_SECONDS * SAMPLE_RATE_HZ, rng, voices=voices)
            path = f"audio/{kind}-{number}.wav"
            _write_audio(folder / path, noise)
            rows.append((path, kind, "generated", "0.000", f"{_NOISE_SECONDS:.3f}"))
    _write_table(folder / "manifest.tsv", _NOISE_COLUMNS, rows)


def _write_audio(path: Path, samples: np.ndarray) -> None:
    whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(path, whole, SAMPLE_RATE_HZ, subtype="PCM_16")


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = ["\t".join(row) for row in (columns, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
