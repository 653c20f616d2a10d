"""What is added to speech: MUSAN (openslr.org/17) and RIRS_NOISES (openslr.org/28)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adml.data.corpora.recording import Corpus, Item, Recording, Rejected
from adml.data.corpora.walk import walk_files

_CLASSES = ("music", "noise", "speech")
_RESPONSES = ("real_rirs_isotropic_noises", "simulated_rirs")
_ISOTROPIC = "_noise_"


def read_musan(source: Path, split: str) -> Iterator[Item]:
    """Recordings with their class as text and their source (`free-sound`) as speaker.

    Args:
        source: folder of music, noise and speech.
        split: one of these, or "all".
    """
    for name in _CLASSES:
        if split not in ("all", name) or not (source / name).is_dir():
            continue
        for path in walk_files(source / name, (".wav", ".flac"), below=source):
            if isinstance(path, Rejected):
                yield path
            else:
                inner = path.relative_to(source).parts
                origin = inner[1] if len(inner) > 2 else ""
                yield Recording(path, "/".join(inner), name, origin)


def read_rirs_noises(source: Path, split: str) -> Iterator[Item]:
    """Impulse responses, of several channels the first; the isotropic noises are left out.

    Args:
        source: RIRS_NOISES, or the folder that holds it.
        split: "real", "simulated" or "all".
    """
    root = source / "RIRS_NOISES" if (source / "RIRS_NOISES").is_dir() else source
    for name in _RESPONSES:
        if not name.startswith(split if split != "all" else "") or not (root / name).is_dir():
            continue
        for path in walk_files(root / name, (".wav", ".flac"), below=root):
            if isinstance(path, Rejected):
                yield path
            elif _ISOTROPIC not in path.name:
                key = path.relative_to(root).as_posix()
                yield Recording(path, key, "", "", first_channel=True)


MUSAN = Corpus(
    name="musan",
    description="MUSAN: noise, music and speech to add",
    licence="CC BY 4.0 and public domain",
    layout="noise/, music/ and speech/ with .wav files at any depth",
    read=read_musan,
    splits=_CLASSES,
    needs_text=False,
)
RIRS_NOISES = Corpus(
    name="rirs_noises",
    description="RIRS_NOISES: simulated and measured room impulse responses",
    licence="Apache-2.0",
    layout="simulated_rirs/ and real_rirs_isotropic_noises/ with .wav files",
    read=read_rirs_noises,
    splits=("real", "simulated"),
    needs_text=False,
)
