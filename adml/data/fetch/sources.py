"""Where the free corpora lie, under which licence, and what is published to check them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from adml.data.fetch.parts import Known
from adml.errors import UsageError

_OPENSLR = (
    "https://www.openslr.org/resources",
    "https://openslr.trmal.net/resources",
    "https://openslr.elda.org/resources",
)
_COMMANDS = "https://storage.googleapis.com/download.tensorflow.org/data"
_MSWC = "https://mswc.mlcommons-storage.org"
_CC_BY = "CC BY 4.0"


@dataclass(frozen=True)
class Source:
    """One archive of a free set.

    `urls` hold the same file; `file_name` is what it is called here; `known` is what is published
    of it; `page` tells of the set and its licence.
    """

    name: str
    title: str
    licence: str
    page: str
    urls: tuple[str, ...]
    file_name: str
    known: Known

    @property
    def checked_by(self) -> str:
        """Kind of the published checksum."""
        return self.known.checksum.partition(":")[0] if self.known.checksum else "first receipt"


def find_source(name: str) -> Source:
    """The source of this name.

    Raises:
        UsageError: there is none; the message holds the nearest.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    names = [source.name for source in SOURCES]
    near = get_close_matches(name, names, 3, 0.4) or names
    raise UsageError(
        f"No free corpus is called {name!r}. Nearest: {', '.join(near)}. "
        "`adml data download --list` shows all."
    )


def _openslr(
    number: int,
    name: str,
    title: str,
    file_name: str,
    size_bytes: int | None,
    checksum: str | None,
    licence: str = _CC_BY,
) -> Source:
    urls = tuple(f"{root}/{number}/{file_name}" for root in _OPENSLR)
    page = f"https://www.openslr.org/{number}/"
    return Source(name, title, licence, page, urls, file_name, Known(size_bytes, checksum))


def _librispeech(part: str, size_bytes: int, sha256: str) -> Source:
    name, title = f"librispeech-{part}", f"LibriSpeech {part}"
    return _openslr(12, name, title, f"{part}.tar.gz", size_bytes, f"sha256:{sha256}")


def _commands(name: str, title: str, file_name: str, size_bytes: int, sha256: str) -> Source:
    return Source(
        name,
        title,
        _CC_BY,
        "https://arxiv.org/abs/1804.03209",
        (f"{_COMMANDS}/{file_name}",),
        file_name,
        Known(size_bytes, f"sha256:{sha256}"),
    )


def _mswc(part: str, title: str) -> Source:
    return Source(
        f"mswc-en-{part}",
        f"Multilingual Spoken Words Corpus, English: {title}",
        _CC_BY,
        "https://mlcommons.org/en/multilingual-spoken-words/",
        (f"{_MSWC}/{part}/en.tar.gz",),
        f"mswc-en-{part}.tar.gz",
        Known(),
    )


SOURCES: Sequence[Source] = (
    # md5: as openslr.org states it; sha256: as TensorFlow Datasets and torchaudio state it; None:
    # nobody states one
    _librispeech(
        "dev-clean",
        337926286,
        "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    ),
    _librispeech(
        "dev-other",
        314305928,
        "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    ),
    _librispeech(
        "test-clean",
        346663984,
        "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    ),
    _librispeech(
        "test-other",
        328757843,
        "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    ),
    _librispeech(
        "train-clean-100",
        6387309499,
        "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    ),
    _librispeech(
        "train-clean-360",
        23049477885,
        "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    ),
    _librispeech(
        "train-other-500",
        30593501606,
        "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
    ),
    _openslr(
        31,
        "mini-librispeech-dev",
        "Mini LibriSpeech dev-clean-2",
        "dev-clean-2.tar.gz",
        126046265,
        "md5:6d7ab67ac6a1d2c993d050e16d61080d",
    ),
    _openslr(
        31,
        "mini-librispeech-train",
        "Mini LibriSpeech train-clean-5",
        "train-clean-5.tar.gz",
        332954390,
        "md5:5df7d4e78065366204ca6845bb08f490",
    ),
    _commands(
        "speech-commands-v1",
        "Google Speech Commands v0.01",
        "speech_commands_v0.01.tar.gz",
        1489096277,
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    _commands(
        "speech-commands-v2",
        "Google Speech Commands v0.02",
        "speech_commands_v0.02.tar.gz",
        2428923189,
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
    _commands(
        "speech-commands-v2-test",
        "Google Speech Commands v0.02, test set",
        "speech_commands_test_set_v0.02.tar.gz",
        112563277,
        "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
    ),
    _mswc("audio", "clips"),
    _mswc("splits", "lists of its parts"),
    Source(
        "ljspeech",
        "LJ Speech 1.1",
        "public domain",
        "https://keithito.com/LJ-Speech-Dataset/",
        ("https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",),
        "LJSpeech-1.1.tar.bz2",
        Known(
            2748572632, "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5"
        ),
    ),
    _openslr(101, "speechocean762", "speechocean762", "speechocean762.tar.gz", None, None),
    _openslr(
        17,
        "musan",
        "MUSAN: music, speech and noise",
        "musan.tar.gz",
        11086114085,
        "md5:0c472d4fc0c5141eca47ad1ffeb2a7df",
        "CC BY 4.0 (its parts: see their LICENSE files)",
    ),
    _openslr(
        28,
        "rirs-noises",
        "Room impulse responses and noises",
        "rirs_noises.zip",
        1311166223,
        "md5:e6f48e257286e05de56413b4779d8ffb",
        "Apache-2.0",
    ),
)
"""Every set that `adml data download` knows."""
