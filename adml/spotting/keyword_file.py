"""Enrolled keywords as a JSON file: what to listen for, with which model, from which score on."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adml.errors import AdmlError, DataError, UsageError
from adml.files import write_atomically
from adml.text.phonemes import to_classes

FORM = 1
"""Version of the file's form."""

LARGEST_BYTES = 4 << 20
"""Some 1,400 keywords; the most harmful file of that size is refused in two seconds."""


@dataclass(frozen=True)
class Keyword:
    """One keyword.

    Args:
        name: what detections call it.
        vectors: float32 [n, D] of unit length, one for each pronunciation; the best counts.
        pronunciations: phoneme symbols, one sequence for each vector made of text.
        recordings: how many recordings of it are in the vectors.
        threshold: score from which on it is detected; None: it was not calibrated.
        calibration: where the threshold comes from.
    """

    name: str
    vectors: np.ndarray
    pronunciations: tuple[tuple[str, ...], ...] = ()
    recordings: int = 0
    threshold: float | None = None
    calibration: dict = field(default_factory=dict)


@dataclass(frozen=True)
class KeywordFile:
    """Keywords of one model.

    Args:
        model: hash of the model that made the vectors; no other may compare with them.
        keywords: their names differ.
    """

    model: str
    keywords: tuple[Keyword, ...]

    def __post_init__(self):
        names = [keyword.name for keyword in self.keywords]
        if not names or len(set(names)) < len(names):
            twice = [name for name, times in Counter(names).items() if times > 1][:4]
            raise UsageError(
                "A keyword file names its keywords. Expected: at least one, each name once. "
                f"Received: {f'{twice} more than once' if twice else 'none'}."
            )

    def require_model(self, model: str) -> None:
        """Refuse another model than the one that the keywords were enrolled with.

        Raises:
            UsageError: it is another.
        """
        if self.model != model:
            raise UsageError(
                "These keywords were enrolled with another model, whose scores mean something "
                f"else. Expected: the model {self.model[:16]}. Received: {model[:16]}. "
                "Enrol them again with this model, or give the other one by --model."
            )

    def with_thresholds(self, thresholds: dict[str, tuple[float, dict]]) -> KeywordFile:
        """The same keywords with thresholds and their provenance, by name."""
        changed = [
            replace(keyword, threshold=thresholds[keyword.name][0],
                    calibration=thresholds[keyword.name][1])
            if keyword.name in thresholds else keyword
            for keyword in self.keywords
        ]  # fmt: skip
        return KeywordFile(self.model, tuple(changed))

    def write(self, path: str | Path) -> None:
        """Write the file, a line for each keyword; it is whole or not there.

        Raises:
            UsageError: it cannot be written, or is too large to be read again.
        """
        rows = []
        for keyword in self.keywords:
            values = asdict(keyword)
            rounded = [[round(float(x), 7) for x in row] for row in values.pop("vectors")]
            values["vectors"] = rounded  # the last, as they are long
            rows.append(_dumps(values))
        head = f'{{"form": {FORM}, "model": {_dumps(self.model)}, "keywords": ['
        content = (head + "\n" + ",\n".join(rows) + "\n]}\n").encode()
        if len(content) > LARGEST_BYTES:
            raise UsageError(
                f"The keywords are too many for one file. Expected: at most {LARGEST_BYTES:,} "
                f"bytes, some 1,400 pronunciations. Received: {len(content):,} bytes, "
                f"{len(rows)} keywords. Divide them among several files."
            )
        write_atomically(path, content)

    @classmethod
    def read(cls, path: str | Path) -> KeywordFile:
        """Read a file; nothing in it is run.

        Raises:
            DataError: it is missing, too large, damaged or of another form.
        """
        path = Path(path)
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise ValueError(f"{path.stat().st_size:,} bytes, more than {LARGEST_BYTES:,}")
            told = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
            if told["form"] != FORM:
                raise ValueError(f"form {told['form']!r}")
            if not isinstance(told["model"], str) or not told["model"].isprintable():
                raise ValueError("a model that is no text")
            found = cls(told["model"], tuple(_keyword(values) for values in told["keywords"]))
            if len({keyword.vectors.shape[1] for keyword in found.keywords}) > 1:
                raise ValueError("keywords whose vectors differ in length")
            return found
        except (OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError,
                AdmlError) as error:  # fmt: skip
            said = _shorten(f"{error}".rstrip("."))
            if isinstance(error, OSError):
                said = error.strerror
            elif isinstance(error, KeyError):
                said = f"a file without {said}"
            raise DataError(
                f"{path} cannot be used as a keyword file. Expected: a file of `adml enroll`. "
                f"Received: {said or type(error).__name__}. Enrol the keywords again."
            ) from error


def store_thresholds(
    path: str | Path, heard: KeywordFile, thresholds: dict[str, tuple[float, dict]]
) -> None:
    """Write thresholds into a file that others may have added to since it was read.

    Args:
        path: of the file.
        heard: what was read then. A keyword that is another by now gets no threshold.
        thresholds: as of `KeywordFile.with_thresholds`.

    Raises:
        DataError, UsageError: as of `KeywordFile.read` and `KeywordFile.write`.
    """
    before, now = {k.name: k.vectors for k in heard.keywords}, KeywordFile.read(path)
    same = {k.name for k in now.keywords
            if k.name in before and np.array_equal(k.vectors, before[k.name])}  # fmt: skip
    known = {name: found for name, found in thresholds.items() if name in same}
    now.with_thresholds(known).write(path)


def _shorten(text: str, longest: int = 200) -> str:
    """A text that may be as long as its file, cut for a message."""
    return text if len(text) <= longest else text[:longest] + "..."


def _dumps(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse(constant: str) -> float:
    raise ValueError(f"the number {constant}")


def _keyword(values: dict[str, Any]) -> Keyword:
    """A keyword from plain values, each checked."""
    name, threshold = values["name"], values["threshold"]
    vectors = np.array(values["vectors"], np.float32)
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"the name {name!r}")
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"vectors of shape {vectors.shape} for {name!r}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1.0, atol=1e-3):
        raise ValueError(f"vectors of {name!r} that are not of unit length")
    if threshold is not None and not (type(threshold) in (int, float) and
                                      math.isfinite(threshold)):  # fmt: skip
        raise ValueError(f"the threshold {threshold!r} of {name!r}")
    spoken = tuple(tuple(symbols) for symbols in values["pronunciations"])
    if not all(to_classes(symbols) for symbols in spoken):
        raise ValueError(f"an empty pronunciation of {name!r}")
    recordings, calibration = values["recordings"], dict(values["calibration"])
    if type(recordings) is not int or recordings < 0:
        raise ValueError(f"the number of recordings {recordings!r} of {name!r}")
    json.dumps(calibration, allow_nan=False, ensure_ascii=False).encode()  # can be written again
    return Keyword(name, vectors, spoken, recordings, threshold, calibration)
