"""The speech of a scale: whether all of it is there, and what exactly it is."""

from __future__ import annotations

import fcntl
import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adml.build.data import build_segments_of
from adml.build.trials import build_trials, chosen_trials
from adml.config import Config
from adml.config_identity import digest
from adml.data.synthetic import make_corpus
from adml.data.trial_list import TrialList
from adml.errors import UsageError
from adml.evaluation.registry import Need, Scale
from adml.files import write_atomically
from adml.reproduce.doctor import recordings
from adml.reproduce.plan import CampaignPlan, seeded
from adml.reproduce.states import Identity
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)


def speech_root(plan: CampaignPlan, speech: Path | None, cache: Path) -> Path:
    """The folder of the speech, all that the tables need checked to be in it, or made.

    Raises:
        UsageError: no folder was given, it lacks something, or the scale has no list for a table;
            the message tells all of it and the layout.
        DataError: the synthesiser failed.
    """
    scale = plan.scale
    if speech is None and scale.synthetic:
        folder = cache / f"{scale.name}-{digest(scale.synthetic)[:8]}"
        with _alone(folder.with_name(f".{folder.name}.lock")):
            return make_corpus(folder, **scale.synthetic).resolve()
    needs = [need for need in scale.needs if _concerns(need, plan)]
    missing = [need for need in needs if speech is None or not _is_there(speech / need.path)]
    unread = _without_list(plan)
    if speech is None or missing or unread:
        raise UsageError(_told(scale, speech, missing, unread))
    return speech.resolve()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds the file; two that make one corpus would mix it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_there(path: Path) -> bool:
    """Whether a file is there, or a folder with a recording."""
    return any(True for _ in recordings(path)) if path.is_dir() else path.exists()


def _concerns(need: Need, plan: CampaignPlan) -> bool:
    return not need.tables or any(table.name in need.tables for table in plan.tables)


def _without_list(plan: CampaignPlan) -> list[str]:
    wanted = {(c.test, table.name) for table in plan.tables for c in table.columns}
    return [
        f"No list of trials of this scale plays the role {test!r} of {table}."
        for test, table in sorted(wanted)
        if test not in plan.scale.tests
    ]


def _told(scale: Scale, speech: Path | None, missing: Sequence[Need], unread: list[str]) -> str:
    lines = []
    if missing:
        where = f"{speech} lacks" if speech else "No speech was given. Expected: --speech DIR with"
        lines = [f"{where}, for the scale {scale.name!r}:"]
        for need in missing:
            columns = f" Columns: {need.columns}." if need.columns else ""
            lines.append(f"  {need.path}: {need.what}.{columns}")
        lines.append("Folders may be links. Their layout: README, 'Train on your own speech'.")
        if any(need.command for need in missing):
            given = shlex.quote(str(speech)) if speech else "DIR"
            lines.append(f"What makes each is told by `adml data doctor --speech {given}`.")
    elif speech is None:
        lines = [f"No speech was given for the scale {scale.name!r}. Expected: --speech DIR."]
    return "\n".join([*lines, *unread])


def draw_lists(plan: CampaignPlan, root: Path, g2p: G2P, folder: Path) -> list[TrialList]:
    """Draw or read the lists of the scale, which all rows share, and write them to a folder.

    A list that the chosen tables do without is left out where its speech is not there.

    Raises:
        DataError: a set cannot be used.
        UsageError: no row can be read, or the folder cannot be written.
    """
    config, lists = _any_config(plan), []
    needed = {plan.scale.tests.get(c.test) for table in plan.tables for c in table.columns}
    for trials in chosen_trials(config, ()):
        if trials.name not in needed and not (root / trials.folder).exists():
            logger.info("the list %s is left out: there is no %s", trials.name, trials.folder)
            continue
        logger.info("drawing the list %s", trials.name)
        lists.append(build_trials(trials, root, g2p, held_out=config.data.held_out_speakers))
        write_atomically(folder / f"{trials.name}.tsv", lists[-1].to_bytes())
    return lists


def identify(plan: CampaignPlan, root: Path, lists: Sequence[TrialList]) -> Identity:
    """What the speech is, by the hashes that records hold.

    Raises:
        DataError: a set cannot be used.
        UsageError: no row can be read.
    """
    segments = build_segments_of(seeded(_any_config(plan), 0, str(root)))
    return Identity(segments.data_hash, {trials.name: trials.sha256 for trials in lists})


def _any_config(plan: CampaignPlan) -> Config:
    """The configuration of any row, for what they share."""
    for row in plan.rows:
        if row.config:
            return row.config
    raise UsageError(f"No row of these tables can be read; the first: {plan.rows[0].problem}")
