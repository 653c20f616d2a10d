"""Miniature corpora in the layouts they are published in, and a way to prepare them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE_HZ = 16000


def write_tone(path: Path, seconds: float = 1.0, *, rate_hz: int = RATE_HZ, channels: int = 1):
    """A tone of a pitch of its own, so that no two recordings are the same; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = 200 + sum(map(ord, path.name)) % 300
    tone = 0.3 * np.sin(2 * np.pi * pitch_hz * time)
    samples = tone if channels == 1 else np.stack([tone] + [-tone] * (channels - 1), axis=1)
    form = {".opus": {"format": "OGG", "subtype": "OPUS"}}.get(path.suffix.lower(), {})
    soundfile.write(path, samples, rate_hz, **form)
    return path


def write_lines(path: Path, *lines: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_list(path: Path) -> list[dict[str, str]]:
    """A tab-separated list with a header, read by other means than the code's."""
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]


class Prepared:
    """A prepared folder as tests look at it."""

    def __init__(self, folder: Path, described: dict):
        self.folder, self.described = folder, described

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """Path below audio/ -> (text, speaker)."""
        return {
            row["path"].removeprefix("audio/"): (row["text"], row["speaker"])
            for row in read_list(self.folder / "manifest.tsv")
        }

    @property
    def words(self) -> list[tuple]:
        """(path, word, start, end, index) of each row."""
        return [
            (r["path"].removeprefix("audio/"), r["word"], r["start"], r["end"], int(r["index"]))
            for r in read_list(self.folder / "words.tsv")
        ]

    @property
    def set_aside(self) -> dict[tuple[str, str], str]:
        """(path, detail where it is a word) -> reason."""
        return {
            (row["path"], row["detail"] if row["what"] == "word" else row["what"]): row["reason"]
            for row in read_list(self.folder / "set_aside.tsv")
        }


@pytest.fixture
def prepared(tmp_path) -> Callable[..., Prepared]:
    """Prepares a corpus in a new folder."""
    from adml.data.corpora.prepare import Settings, prepare
    from adml.data.corpora.registry import CORPORA

    def run(name: str, source: Path, **settings) -> Prepared:
        out = tmp_path / f"prepared{len(list(tmp_path.glob('prepared*')))}"
        return Prepared(out, prepare(CORPORA[name], source, out, Settings(**settings)))

    return run


@pytest.fixture
def librispeech(tmp_path) -> Path:
    """LibriSpeech with two speakers, and one of every kind of bad item."""
    root = tmp_path / "LibriSpeech" / "dev-clean"
    for name in ("84-121-0000", "84-121-0001", "84-121-0002", "9-7-0000"):
        speaker, chapter, _ = name.split("-")
        write_tone(root / speaker / chapter / f"{name}.flac", 1.0)
    write_tone(root / "84" / "121" / "84-121-0003.flac")
    (root / "84" / "121" / "84-121-0004.flac").write_bytes(b"no audio at all")
    write_lines(
        root / "84" / "121" / "84-121.trans.txt",
        "84-121-0000 GO DO YOU HEAR",
        "84-121-0001 MISTER O'NEIL'S HOUSE",
        "84-121-0002 ",
        "84-121-0004 THIS IS DAMAGED",
        "84-121-0005 THIS IS MISSING",
    )
    write_lines(root / "9" / "7" / "9-7.trans.txt", "9-7-0000 A SECOND VOICE")
    return tmp_path / "LibriSpeech"


def textgrid(words: list[tuple[float, float, str]], tier: str = "words") -> list[str]:
    """Lines of a TextGrid as the Montreal Forced Aligner writes it, with a tier of phones."""
    end = words[-1][1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 "]
    lines += [f"xmax = {end} ", "tiers? <exists> ", "size = 2 ", "item []: "]
    for number, (name, intervals) in enumerate(
        ((tier, words), (tier.replace("words", "phones"), [(0, end, "AH0")])), start=1
    ):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ']
        lines += [f'        name = "{name}" ', "        xmin = 0 ", f"        xmax = {end} "]
        lines.append(f"        intervals: size = {len(intervals)} ")
        for place, (start, stop, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start} "]
            lines += [f"            xmax = {stop} ", f'            text = "{label}" ']
    return lines
