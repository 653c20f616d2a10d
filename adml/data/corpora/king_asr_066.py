"""King-ASR-066 (SpeechOcean): American English prompts read over several microphones.

The layout is that of the King-ASR family as public recipes and samples show it, and has not been
checked against the licensed discs: `DATA/CHANNELc/WAVE/SPEAKERssss/SESSIONn/cssssniii.WAV` with
`DATA/CHANNELc/SCRIPT/cssssn.TXT`, or `SPEAKERssss.txt`. A script has lines of `id<tab>prompt`, each
of which may be followed by an indented line: what was said, with `<SPK/>`, `<NON/>`, `<STA/>`,
`<FIL/>`, `<NPS/>` for noises and `**` for speech that was not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.librispeech import read_lines
from adml.data.corpora.recording import Corpus, Item, Recording, Rejected
from adml.data.corpora.walk import AUDIO_SUFFIXES, folders_of, walk_files
from adml.errors import DataError

_NOISE = re.compile(r"<[A-Za-z]+/?>")
_NOT_UNDERSTOOD = "**"
_SPEAKER = "SPEAKER"
_SCRIPT = re.compile(r"(?:SPEAKER(?P<named>\w+)|\d(?P<numbered>\d{4})\d)", re.IGNORECASE)


def read_king_asr(source: Path, split: str) -> Iterator[Item]:
    """Recordings of every channel, speaker by speaker.

    Args:
        source: the folder DATA, the one that holds it, or one of several channels.
        split: "all".
    """
    data = source / "DATA" if (source / "DATA").is_dir() else source
    for channel in folders_of(data):
        if (channel / "WAVE").is_dir():
            yield from _channel(source, channel)


def _channel(source: Path, channel: Path) -> Iterator[Item]:
    scripts: dict[str, list[Path]] = {}
    folder = channel / "SCRIPT"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _SCRIPT.fullmatch(path.stem)
        if match and path.suffix.lower() == ".txt":
            speaker = (match["named"] or match["numbered"]).upper()
            scripts.setdefault(speaker, []).append(path)
    for spoken in folders_of(channel / "WAVE"):
        speaker = spoken.name.upper().removeprefix(_SPEAKER)
        texts: dict[str, str] = {}
        differing: set[str] = set()
        for path in scripts.pop(speaker, ()):
            try:
                for name, text in _read_script(path):
                    if texts.setdefault(name, text) != text:
                        differing.add(name)
            except DataError as error:
                told = path.relative_to(source).as_posix()
                yield Rejected(told, "list cannot be read", str(error))
        yield from _speaker(source, spoken, speaker, texts, differing)
    for path in sorted(path for paths in scripts.values() for path in paths):
        yield Rejected(path.relative_to(source).as_posix(), "audio file is missing", "no folder")


def _speaker(
    source: Path, spoken: Path, speaker: str, texts: dict[str, str], differing: set[str]
) -> Iterator[Item]:
    for path in walk_files(spoken, AUDIO_SUFFIXES, below=source):
        if isinstance(path, Rejected):
            yield path
            continue
        key, text = path.relative_to(source).as_posix(), texts.pop(path.stem.upper(), "")
        if path.stem.upper() in differing:
            yield Rejected(key, "two transcripts that differ", text)
        elif _NOT_UNDERSTOOD in text:
            yield Rejected(key, "speech that was not understood", text)
        else:
            yield Recording(path, key, _NOISE.sub(" ", text), speaker)
    for name in sorted(texts):
        told = (spoken / f"{name}.WAV").relative_to(source).as_posix()
        yield Rejected(told, "audio file is missing", texts[name])


def _read_script(path: Path) -> list[tuple[str, str]]:
    """Recordings and texts: what was said where the script tells it, else the prompt."""
    told: list[tuple[str, str]] = []
    for line in read_lines(path):
        first, _, text = line.partition("\t")
        if first.strip():
            told.append((first.strip().upper(), text.strip()))
        elif told and text.strip():
            told[-1] = (told[-1][0], text.strip())
    return told


KING_ASR_066 = Corpus(
    name="king_asr_066",
    description="King-ASR-066: American English prompts; the layout of its family, see README",
    licence="SpeechOcean",
    layout="DATA/CHANNELc/WAVE/SPEAKERssss/SESSIONn/*.WAV and DATA/CHANNELc/SCRIPT/*.TXT of "
    "`id<tab>text`",
    read=read_king_asr,
    alignable=True,
)
