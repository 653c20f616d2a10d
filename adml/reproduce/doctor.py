"""What speech the paper's tables need, what of it is there, and what makes the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from adml.data.corpora.tables import TextTable
from adml.data.trial_list import TrialList
from adml.errors import DataError
from adml.evaluation.registry import Need, Scale, Table, read_registry, read_scale

SCALES = ("paper", "open")
_AUDIO = (".wav", ".flac", ".opus")


@dataclass(frozen=True)
class Examined:
    """One need of a table at a scale.

    `there` tells whether it can be used; `found` what is there, or why it cannot be used;
    `command` makes it.
    """

    scale: str
    table: str
    path: str
    what: str
    there: bool
    found: str
    command: str


def examine(
    experiments: Path, speech: Path | None, scales: Sequence[str] = SCALES
) -> list[Examined]:
    """Look at everything that the tables need.

    Args:
        experiments: folder of `tables.yaml` and `scale/`.
        speech: folder of the sets; None where there is none.
        scales: to look at.

    Raises:
        ConfigError: the tables or a scale cannot be read.
    """
    tables = read_registry(experiments).tables
    found: dict[Need, tuple[bool, str]] = {}
    examined = []
    for scale in (read_scale(experiments, name) for name in scales):
        for need in scale.needs:
            found[need] = _look(need, speech)
        for table in tables:
            examined += _without_list(scale, table)
            for need in scale.needs:
                if not need.tables or table.name in need.tables:
                    command = _command(need, speech)
                    examined.append(
                        Examined(
                            scale.name, table.name, need.path, need.what, *found[need], command
                        )
                    )
    return examined


def _command(need: Need, speech: Path | None) -> str:
    """The command that makes a need, SPEECH being the folder; LIBRISPEECH is another word."""
    place = shlex.quote(str(speech)) if speech else "SPEECH"
    return re.sub(r"\bSPEECH\b", lambda _: place, need.command)


def _without_list(scale: Scale, table: Table) -> list[Examined]:
    roles = sorted({column.test for column in table.columns} - set(scale.tests))
    what = "list of trials; none plays this role yet"
    return [Examined(scale.name, table.name, role, what, False, "", "") for role in roles]


def recordings(folder: Path) -> Iterator[Path]:
    """The recordings of a folder, at any depth."""
    return (file for file in folder.rglob("*") if file.suffix.lower() in _AUDIO)


def _look(need: Need, speech: Path | None) -> tuple[bool, str]:
    """Whether a need is met, and what is there."""
    path = speech / need.path if speech else None
    if path is None or not path.exists():
        return False, ""
    if path.is_dir():
        count = sum(1 for _ in recordings(path))
        return count > 0, f"{count:,} recordings" if count else "holds no wav, flac or opus files"
    if path.suffix != ".tsv":
        return True, ""
    try:
        if not need.columns:
            trials = TrialList.read(path)
            return True, f"{trials.num_trials:,} trials, {trials.protocol}"
        table = TextTable(path)
        spans = {"speech_start", "speech_end"} <= set(table.columns)
        named = need.columns.split(", ")
        table.require(*(name for name in named if not (spans and name == "duration")))
        rows = sum(1 for line in table if not line.fault)
    except DataError as error:
        return False, str(error)
    return rows > 0, f"{rows:,} rows"


def format_examined(examined: Sequence[Examined]) -> str:
    """What was found as text, tables of equal needs together."""
    grouped: dict[tuple, list[tuple[str, str]]] = {}
    for key, ones in groupby(examined, lambda one: (one.scale, one.table)):
        needs = tuple((o.path, o.what, o.there, o.found, o.command) for o in ones)
        grouped.setdefault((key[0], needs), []).append(key)
    blocks = []
    for (scale, needs), tables in grouped.items():
        names = ", ".join(table for _, table in tables)
        met = sum(there for _, _, there, _, _ in needs)
        lines = [f"{names} at the scale {scale}: {met} of {len(needs)} there"]
        for path, what, there, found, command in needs:
            lines.append(f"  {'there  ' if there else 'missing'}  {path}: {what.strip()}")
            lines += [f"           {found}"] if found else []
            lines += [f"           {command}"] if command and not there else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
