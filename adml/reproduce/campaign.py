"""Train and evaluate row by row; what is done is skipped, what was begun goes on."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from adml.code_state import changed_modules, code_hashes, training_code
from adml.config import Config, load_config
from adml.config_file import to_mapping
from adml.config_identity import differences, digest, training_settings
from adml.data.trial_list import TrialList
from adml.errors import AdmlError, DataError, UsageError
from adml.evaluate import evaluate
from adml.evaluation.records import Record, write_record
from adml.experiment import load_run, train
from adml.files import write_atomically
from adml.reproduce.plan import (
    CampaignPlan,
    PlannedRow,
    refuse_unfair,
    seeded,
    table_differences,
)
from adml.reproduce.speech import draw_lists, identify, speech_root
from adml.reproduce.states import (
    CAMPAIGN_LOCK,
    DESCRIPTION,
    DONE,
    FOREIGN,
    OLDER,
    Identity,
    is_finished,
    record_path,
    run_folder,
    state_of,
    total_steps,
)
from adml.run_folder import require_writable
from adml.text.g2p import G2P
from adml.training.lock import sole_trainer
from adml.training.loop import Interrupted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Where and how a campaign runs.

    Args:
        out: folder of the runs.
        records: folder of the records.
        cache: folder of decoded speech.
        speech: folder of the sets; None: made, where the scale can.
        seeds: 0 to this number less one.
        accept_older_code: a record of older code counts as done.
    """

    out: Path
    records: Path
    cache: Path
    speech: Path | None = None
    seeds: int = 1
    accept_older_code: bool = False


@dataclass
class Outcome:
    """What a campaign did: row and seed of each, with the errors of those set aside."""

    done: list[tuple[str, int]] = field(default_factory=list)
    skipped: list[tuple[str, int]] = field(default_factory=list)
    busy: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, int, AdmlError]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """That of the first row that failed; 0 where none did."""
        return self.failed[0][2].exit_code if self.failed else 0


@dataclass(frozen=True)
class _Stage:
    """What all rows of a campaign share."""

    plan: CampaignPlan
    settings: Settings
    root: Path
    lists: Sequence[TrialList]
    identity: Identity
    code: Mapping[str, str]
    g2p: G2P


def run_campaign(plan: CampaignPlan, settings: Settings) -> Outcome:
    """Run the chosen rows of a plan, seed by seed; a row that fails is set aside.

    Raises:
        UsageError: the rows are not comparable, or speech is missing.
        DataError: speech cannot be used.
        Interrupted: asked to stop; the same call goes on.
    """
    code = code_hashes()
    refuse_unfair(plan)
    for told in filter(None, (plan.row(name).overruled_text for name in plan.chosen)):
        logger.info("%s.", told)
    root, g2p = speech_root(plan, settings.speech, settings.cache), G2P()
    require_writable(settings.out, "--out")
    require_writable(settings.records, "--records")
    lists = draw_lists(plan, root, g2p, settings.out / plan.scale.name / "trials")
    stage = _Stage(plan, settings, root, lists, identify(plan, root, lists), code, g2p)
    outcome = Outcome()
    for seed in range(settings.seeds):
        for name in plan.chosen:
            _run_row(stage, plan.row(name), seed, outcome)
    return outcome


def _run_row(stage: _Stage, row: PlannedRow, seed: int, outcome: Outcome) -> None:
    """Do what is left of a row, and note what came of it."""
    which = (row.name, seed)
    try:
        if row.config is None:
            raise UsageError(row.problem)
        if _is_done(stage, row, seed):
            logger.info("== %s, seed %d: done before", *which)
            outcome.skipped.append(which)
            return
        with ExitStack() as stack:
            folder = _hold(stack, stage, row, seed)
            if folder is None:
                logger.warning("== %s, seed %d: another process is at it; skipped", *which)
                outcome.busy.append(which)
                return
            logger.info("== %s, seed %d, in %s", *which, folder)
            _forget_peak_memory()
            record = _make_record(stage, row, seed, folder)
            write_record(record, record_path(stage.settings.records, row.name, seed))
        outcome.done.append(which)
    except Interrupted as stopped:
        said = f"{stopped} The same command goes on with {row.name}."
        raise Interrupted(said, stopped.exit_code) from None
    except AdmlError as error:
        logger.error("== %s, seed %d: set aside: %s", *which, error)
        outcome.failed.append((*which, error))
    finally:
        keras.backend.clear_session()
        gc.collect()


def _hold(stack: ExitStack, stage: _Stage, row: PlannedRow, seed: int) -> Path | None:
    """The run folder, held until the stack is left; None where another process holds it."""
    data_hash = stage.identity.data_hash
    scale, out = stage.plan.scale.name, stage.settings.out
    folder = run_folder(out, scale, row, seed, stage.code, data_hash)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(sole_trainer(folder, name=CAMPAIGN_LOCK))
    except UsageError:
        return None
    return folder


def _forget_peak_memory() -> None:
    """Let the row's cost tell its own peak, not that of the rows before; where Linux allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@contextmanager
def _eagerly(wanted: bool) -> Iterator[None]:
    """Run functions as plain Python where that is wanted: a few calls cost less than a trace."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(wanted or before)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _is_done(stage: _Stage, row: PlannedRow, seed: int) -> bool:
    state = state_of(
        stage.plan, row, seed, out=stage.settings.out, records=stage.settings.records,
        code=stage.code, identity=stage.identity,
    )  # fmt: skip
    if state.kind == FOREIGN:
        path = record_path(stage.settings.records, row.name, seed)
        raise DataError(
            f"{path} is not replaced. Expected: a record of this row, seed and scale. Received: "
            f"{state.detail} Remove it, or choose another folder by --records DIR."
        )
    if state.kind == OLDER and stage.settings.accept_older_code:
        logger.info("%s, seed %d: older code is accepted: %s", row.name, seed, state.detail)
        return True
    return state.kind == DONE


def _make_record(stage: _Stage, row: PlannedRow, seed: int, folder: Path) -> Record:
    """Train what is left, evaluate, and tell all that the figures stand on."""
    config = seeded(row.config, seed, str(stage.root))
    _describe(stage, row, config, folder)
    begun = (folder / "config.yaml").is_file()
    of_run = _as_begun(config, folder) if begun else config
    if not is_finished(folder):
        train(of_run, folder, resume=begun, cache=stage.settings.cache)
        keras.backend.clear_session()
    trained = load_run(folder)
    if trained.step < total_steps(folder):
        logger.warning("Only the checkpoint of step %d is whole; it goes on.", trained.step)
        train(of_run, folder, resume=True, cache=stage.settings.cache)
        keras.backend.clear_session()
        trained = load_run(folder)
    with _eagerly(row.kind == "adml" and not config.training.compile):
        record, _ = evaluate(
            trained,
            stage.lists,
            stage.root,
            cache=stage.settings.cache,
            resamples=config.evaluation.resamples,
            command=_command(stage.plan, row, seed),
            name=row.name,
            g2p=stage.g2p,
        )
    changed = changed_modules(stage.code, code_hashes(), row.kind)
    if changed:
        logger.warning("Modules changed on the disk during the run: %s", ", ".join(changed))
    mapping = to_mapping(config)
    return replace(
        record,
        config=mapping | {"data": mapping["data"] | {"root": ""}},
        details=record.details
        | {
            "code": dict(stage.code),
            "code_changed_during_run": changed,
            "scale": stage.plan.scale.name,
            "differs": _differs(stage.plan, row),
        },
    )


def _describe(stage: _Stage, row: PlannedRow, config: Config, folder: Path) -> None:
    """Say in the run folder what it is of, before anything is trained."""
    values = {
        "row": row.name,
        "seed": config.seed,
        "scale": stage.plan.scale.name,
        "settings": digest(training_settings(config)),
        "data_hash": stage.identity.data_hash,
        "code": training_code(stage.code, row.kind),
    }
    write_atomically(folder / DESCRIPTION, json.dumps(values, indent=1).encode())


def _as_begun(config: Config, folder: Path) -> Config:
    """The configuration that the run began with; names, lists and place may have changed.

    Raises:
        UsageError: something else changed, so that the run would not be the row's.
    """
    begun = load_config(folder / "config.yaml")
    wrong = differences(training_settings(config), training_settings(begun))
    if wrong:
        told = ", ".join(f"{key} {own!r}, not {row!r}" for key, (row, own) in wrong.items())
        raise UsageError(
            f"{folder / 'config.yaml'} is not what the row began with. Expected: the settings of "
            f"the row. Received: {told}. Put it back, or remove the folder: it is trained anew."
        )
    return replace(begun, data=replace(begun.data, root=config.data.root))


def _differs(plan: CampaignPlan, row: PlannedRow) -> dict:
    """For each table of the row: the first row, and the keys that differ from it, with values."""
    found = {}
    for table in plan.tables:
        rows = table_differences(plan, table)
        if row.name in rows:
            keys = {key: list(values) for key, values in rows[row.name].items()}
            found[table.name] = {"from": next(iter(rows)), "keys": keys}
    return found


def _command(plan: CampaignPlan, row: PlannedRow, seed: int) -> str:
    speech = "" if plan.scale.synthetic else " --speech DIR"
    seeds = f" --seeds {seed + 1}" if seed else ""
    return (
        f"adml reproduce {row.tables[0]} --scale {plan.scale.name} --rows {row.name}{seeds}{speech}"
    )
