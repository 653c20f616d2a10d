"""LibriPhrase's trials: three protocols are in use, and their figures are not comparable.

All scores of a list are pooled. `adml.data.libriphrase_pairs` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from adml.data.libriphrase_pairs import NEGATIVES, POSITIVE, Pair, Pairs
from adml.data.trial_list import Clip, TrialList
from adml.errors import DataError, UsageError

PROTOCOLS = ("csv", "phonmatchnet", "mmkws")
SUBSETS = tuple(NEGATIVES)

OFFICIAL_ROWS = 67_671
"""Rows of each type in the four official files."""

OFFICIAL_TRIALS = {"csv": 135_342, "phonmatchnet": 270_684, "mmkws": 270_684}
"""Trials of a subset, easy or hard."""


class Trial(NamedTuple):
    """A recording, what it says, the text it is scored against, 1 where that is the same."""

    path: str
    said: str
    text: str
    label: int


def trials_of(pairs: Iterable[Pair], protocol: str, subset: str) -> Iterator[Trial]:
    """The trials of a subset, row by row.

    "csv": one a row, the comparison's audio x the anchor's text. "phonmatchnet": four a negative
    row, both recordings x both texts; positive rows are not used. "mmkws": two a row, each
    recording x the text of the other. A trial may occur more than once, as in the originals.

    Args:
        pairs: rows of the files.
        protocol: "csv", "phonmatchnet" or "mmkws".
        subset: "easy" or "hard": which negatives.

    Raises:
        UsageError: another protocol or subset.

    Source: the evaluation code that Lee and Cho (PhonMatchNet, 2023) and Ai et al. (MM-KWS, 2024)
    published.
    """
    _require("protocol", protocol, PROTOCOLS)
    _require("subset", subset, SUBSETS)
    for row in pairs:
        if row.type not in (POSITIVE, NEGATIVES[subset]):
            continue
        anchor, comparison = (row.anchor, row.anchor_text), (row.comparison, row.comparison_text)
        if protocol == "csv":
            yield Trial(*comparison, row.anchor_text, row.target)
        elif protocol == "mmkws":
            yield Trial(*anchor, row.comparison_text, row.target)
            yield Trial(*comparison, row.anchor_text, row.target)
        elif row.type != POSITIVE:
            yield Trial(*anchor, row.anchor_text, 1)
            yield Trial(*anchor, row.comparison_text, 0)
            yield Trial(*comparison, row.comparison_text, 1)
            yield Trial(*comparison, row.anchor_text, 0)


def libriphrase_trials(
    pairs: Pairs, protocol: str, subset: str, *, name: str, folder: str = ""
) -> TrialList:
    """Make the trial list of a protocol and a subset; see `trials_of`.

    Args:
        pairs: from `read_pairs`.
        protocol, subset: which.
        name: of the list.
        folder: put before the recordings' paths, which are then relative to the speech folder.

    Raises:
        UsageError: another protocol or subset, or the folder leaves the speech folder.
        DataError: no trial, or trials of one label alone.
    """
    if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
        raise UsageError(
            f"The recordings' folder leaves the speech folder. Expected: a path within it. "
            f"Received: {folder!r}."
        )
    clips, texts, columns = {}, {}, ([], [], [])
    for trial in trials_of(pairs.rows, protocol, subset):
        path = (PurePosixPath(folder) / trial.path).as_posix()
        clip = Clip(path, 0.0, float("inf"), trial.said, trial.said)
        columns[0].append(clips.setdefault(clip, len(clips)))
        columns[1].append(texts.setdefault(trial.text, len(texts)))
        columns[2].append(trial.label)
    if len(set(columns[2])) < 2:
        raise DataError(
            f"The rows make no trials of both kinds. Expected: rows of {POSITIVE} and "
            f"{NEGATIVES[subset]}. Received: {pairs.counts}. Give all four files."
        )
    settings = {
        "protocol": protocol,
        "subset": subset,
        "rows": pairs.counts,
        "set_aside": pairs.set_aside,
        "files": dict(pairs.files),
    }
    made_by = f"libriphrase-{protocol}-{subset}"
    return TrialList(name, made_by, tuple(clips), tuple(texts), *columns, settings)


def official_fault(pairs: Pairs, trials: TrialList) -> str | None:
    """Why a list is not one of the official files, or None: its counts are others."""
    expected = OFFICIAL_TRIALS[trials.settings["protocol"]]
    if set(pairs.counts.values()) == {OFFICIAL_ROWS} and trials.num_trials == expected:
        return None
    counts = ", ".join(f"{count} of {kind}" for kind, count in pairs.counts.items())
    return (
        "These are not LibriPhrase's official trials, so figures on them are not comparable with "
        f"published ones. Expected: {OFFICIAL_ROWS} rows of each type and {expected} trials. "
        f"Received: {counts} ({pairs.set_aside} rows set aside) and {trials.num_trials} trials."
    )


def _require(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(
            f"Unknown {what} of LibriPhrase. Expected: {', '.join(choices)}. Received: {value!r}."
        )
