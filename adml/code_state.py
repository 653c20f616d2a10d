"""Which code a figure was made with: one hash for each module that can change a figure."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path

TRAINING = (
    "audio", "build/baselines", "build/data", "build/model", "build/training", "data", "layers",
    "losses", "models", "numerics", "text", "training/schedule", "training/seeding",
    "training/step",
)  # fmt: skip
"""Rooms and modules that can change weights."""

JUDGING = (
    "build/trials", "evaluation/clips", "evaluation/embedded", "evaluation/embedding",
    "evaluation/intervals", "evaluation/pairs", "evaluation/suites", "evaluation/texts", "metrics",
)  # fmt: skip
"""Rooms and modules that can change what is found about weights."""

UNCOUNTED = (
    "data/corpora", "data/corpus_plan", "data/espeak", "data/fetch", "data/generated_noise",
    "data/libriphrase", "data/libriphrase_pairs", "data/neighbour_list", "data/noisy_set",
    "data/rooms", "data/shards/checking", "data/shards/making", "data/shards/pipeline",
    "data/shards/plan", "data/shards/records", "data/shards/writing", "data/simulation",
    "data/synthetic", "data/workers", "metrics/batchmean",
    "metrics/detection", "metrics/modality", "metrics/ranking", "text/neighbours",
)  # fmt: skip
"""No figure of a table is theirs, nor of a module in them. (What makes speech or lists is told by
their hashes.)"""

_BASELINES = ("cmcd", "phonmatchnet")
MODELS = {
    "build/baselines": _BASELINES,
    "data/negative_texts": _BASELINES,
    "evaluation/pairs": _BASELINES,
    "losses/matching": _BASELINES,
    "models/cmcd": ("cmcd",),
    "models/pairwise": _BASELINES,
    "models/phonmatchnet": ("phonmatchnet",),
}
"""Modules that serve some kinds of model only; the others serve all."""

_DIGITS = 16
_UNTOLD = ("ctx", "kind", "type_comment")


def code_hashes(package: Path | None = None) -> dict[str, str]:
    """Hash every module that can change a figure, as it lies on the disk now.

    Args:
        package: folder of the code; this package where None.

    Returns:
        Module, such as "losses/proxy", to 16 hexadecimal digits. Comments, docstrings and
        formatting do not count.
    """
    package = package or Path(__file__).parent
    paths = {path.relative_to(package).with_suffix("").as_posix(): path
             for path in package.rglob("*.py")}  # fmt: skip
    return {
        name: source_hash(path.read_text(encoding="utf-8"))
        for name, path in sorted(paths.items())
        if counts(name, TRAINING + JUDGING)
    }


def source_hash(source: str) -> str:
    """16 hexadecimal digits of what a module says, whatever its comments, docstrings and layout."""
    told: list[str] = []
    _tell(ast.parse(source), told)
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def counts(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether a module is one of the rooms and modules, or in one of them."""
    return (
        _is_in(module, rooms) and not _is_in(module, UNCOUNTED) and not module.endswith("__init__")
    )


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}/") for room in rooms)


def changed_modules(
    recorded: Mapping[str, str], current: Mapping[str, str], kind: str = "adml"
) -> list[str]:
    """Modules that a model of this kind can use and that are not what they were.

    Args:
        recorded: hashes from a record.
        current: hashes of today's code.
        kind: of the model; modules of other kinds alone are passed over.

    Returns:
        Their names; one that is gone counts, one that is new does not.
    """
    return [
        name
        for name, digest in sorted(recorded.items())
        if kind in MODELS.get(name, (kind,)) and current.get(name) != digest
    ]


def training_code(hashes: Mapping[str, str], kind: str = "adml") -> dict[str, str]:
    """The hashes of what can change the weights of a model of this kind."""
    return {
        name: digest
        for name, digest in hashes.items()
        if counts(name, TRAINING) and kind in MODELS.get(name, (kind,))
    }


def _tell(node: object, told: list[str]) -> None:
    """A tree as text; fields that are empty are left out, since Python versions add such."""
    if isinstance(node, ast.AST):
        kind = type(node)
        told.append(kind.__name__)
        for name in kind._fields:
            value = getattr(node, name, None)
            if name == "body" and isinstance(value, list):
                value = _without_docstring(node, value)
            if value is not None and value != [] and name not in _UNTOLD:
                told.append(name)
                _tell(value, told)
        told.append(")")
    elif isinstance(node, list):
        for item in node:
            _tell(item, told)
        told.append("]")
    else:
        told.append(repr(node))


def _without_docstring(owner: ast.AST, body: list) -> list:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = body[0] if body and isinstance(owner, kinds) else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text and isinstance(first.value.value, str) else body
