"""From a run and its trial lists to a record: embed, score, write."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adml.build.initial import known_texts
from adml.build.judging import build_clip_reader, build_scorer
from adml.build.trials import chosen_trials, write_trials
from adml.config import load_config
from adml.config_file import to_mapping
from adml.data.trial_list import TrialList
from adml.errors import DataError, UsageError
from adml.evaluation.cells import results_table
from adml.evaluation.modality import MODALITY, aligner, evaluate_modality
from adml.evaluation.records import (
    Cost,
    Record,
    git_state,
    now,
    package_versions,
    read_record,
    write_record,
)
from adml.evaluation.second_stage import SecondStage
from adml.evaluation.suites import SuiteResult, evaluate_trials
from adml.experiment import Trained, default_cache, load_run, read_values
from adml.run_folder import INITIAL, INITIAL_TEXTS
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """A record, where it lies, and the scores it was made of (for plots)."""

    record: Record
    path: Path
    results: dict[str, SuiteResult]

    @property
    def table(self) -> str:
        """The figures as a Markdown table."""
        return results_table([("", self.record)])


def evaluate(
    trained: Trained,
    lists: Sequence[TrialList],
    root: str | Path,
    *,
    cache: Path | None = None,
    resamples: int = 1000,
    command: str = "",
    name: str | None = None,
    g2p: G2P | None = None,
    ctc_weight: float = 0.0,
) -> tuple[Record, dict[str, SuiteResult]]:
    """Score every list with a model and record the figures.

    Args:
        trained: the model with its run folder.
        lists: from `build_trials`.
        root: folder that the lists' paths are relative to.
        cache: folder for decoded speech.
        resamples: of the bootstrap over words.
        command: that repeats the run, for the record.
        name: of the record; the configuration's where it is None.
        g2p: texts to phonemes.
        ctc_weight: above 0 the score is the cosine less so much of the CTC cost a phoneme.

    Returns:
        The record and the results by list.
    """
    g2p = g2p or G2P()
    _require_one_space(trained, lists)
    scorer = build_scorer(trained.model, trained.log_mel)
    texts = known_texts(trained.folder) if trained.step else None
    data, cost = _values(trained.folder / "data.json"), _cost(trained)
    results = {}
    for trials in lists:
        logger.info("%s: %d trials, sha256 %s", trials.name, trials.num_trials, trials.sha256[:16])
        read = build_clip_reader(trials, Path(root), cache or default_cache())
        results[trials.name] = _judge(
            trained, scorer, trials, read, g2p, texts, resamples, ctc_weight
        )
    commit, dirty = git_state(Path(__file__).parent)
    record = Record(
        name=name or trained.config.name,
        config=_configuration(trained),
        commit=commit,
        dirty=dirty,
        seed=trained.config.seed,
        data_hash=data.get("data_hash", ""),
        trials={n: r.sha256 for n, r in results.items()},
        metrics={n: r.metrics for n, r in results.items()},
        cost=cost,
        versions=package_versions(),
        command=command,
        created=now(),
        details={n: r.details for n, r in results.items()}
        | _made_of(trained, resamples, ctc_weight),
    )
    return record, results


def _configuration(trained: Trained) -> dict:
    """All settings but where the speech lay, which is one machine's matter; its hash is known."""
    settings = to_mapping(trained.config)
    return settings | {"data": settings["data"] | {"root": ""}}


def _made_of(trained: Trained, resamples: int, ctc_weight: float) -> dict:
    commit = _values(trained.folder / "environment.json").get("commit", "")
    initial = _values(trained.folder / INITIAL)
    return {
        "step": trained.step,
        "resamples": resamples,
        "ctc_weight": ctc_weight,
        "trained_commit": commit,
        **({"initial": initial, "initial_texts": _count(trained.folder)} if initial else {}),
    }


def _count(folder: Path) -> int:
    """How many texts are known that the weights had been trained on with which a run began."""
    path = folder / INITIAL_TEXTS
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


def _judge(
    trained: Trained, scorer, trials: TrialList, read, g2p: G2P, texts, resamples: int, ctc_weight
) -> SuiteResult:
    """The result of one list, by its protocol."""
    model, log_mel, (embedder, score) = trained.model, trained.log_mel, scorer
    given = (embedder, trials, read, g2p)
    if trials.protocol == MODALITY:
        return evaluate_modality(*given, align=aligner(model, log_mel), resamples=resamples)
    if ctc_weight:
        score = SecondStage.of_model(model, log_mel, read, g2p, ctc_weight)
    return evaluate_trials(*given, training_texts=texts, score=score, resamples=resamples)


def _require_one_space(trained: Trained, lists: Sequence[TrialList]) -> None:
    names = [trials.name for trials in lists if trials.protocol == MODALITY]
    if names and getattr(trained.model, "pairwise", False):
        raise UsageError(
            f"The model of the run in {trained.folder} fuses pairs, so it has no space in which "
            f"the modalities of {names[0]!r} could lie apart. Expected: a run of two encoders. "
            "Name the other lists by --trials."
        )


def _require_frame_classifier(trained: Trained, ctc_weight: float) -> None:
    if not ctc_weight:
        return
    if getattr(trained.model, "pairwise", False):
        raise UsageError(
            f"The model of the run in {trained.folder} fuses pairs, so it has no cosine to take "
            "a CTC cost from. Expected: a run of two encoders. Evaluate without --ctc-weight."
        )
    if trained.model.frame_classifier is None:
        raise UsageError(
            f"The run in {trained.folder} has no frame classifier, so it has no CTC cost. "
            "Expected: a run trained with losses.ctc_weight above 0. Evaluate without --ctc-weight."
        )


def evaluate_run(
    workdir: str | Path,
    *,
    config_path: Path | None = None,
    speech: Path | None = None,
    only: Sequence[str] = (),
    untrained: bool = False,
    record_path: Path | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    ctc_weight: float = 0.0,
    checkpoint: str = "latest",
) -> Evaluated:
    """Evaluate a run folder on the lists of a configuration and write lists and record.

    Args:
        workdir: the run folder.
        config_path: file whose `evaluation` section names the lists; the run's own where None.
        speech: folder of the sets; the run's own where None.
        only: names of the lists to use; all where empty.
        untrained: the initial weights, for comparison.
        record_path: where the record goes; `records/` of the run where None.
        cache: folder for decoded speech.
        overwrite: replace another list of a name, or the record of another evaluation.
        ctc_weight: of a second stage, see `adml.evaluation.second_stage`; 0: the cosine alone.
        checkpoint: "latest", "best" or a step; but for the latest, the record's name tells it.

    Raises:
        UsageError: there is no such checkpoint; a list or record would be lost.
        ConfigError: there are no lists, or none of a name asked for.
        DataError: a set is missing or cannot be used.
    """
    trained = load_run(workdir, untrained=untrained, checkpoint=checkpoint)
    config = load_config(config_path) if config_path else trained.config
    chosen = chosen_trials(config, only)
    root = Path(speech or config.data.root or trained.config.data.root)
    if not root.is_dir():
        raise UsageError(f"No speech folder at {str(root)!r}. Expected: --speech DIR.")
    _require_frame_classifier(trained, ctc_weight)
    g2p = G2P()
    share = trained.config.data.held_out_speakers
    name = trained.config.name + ("-untrained" if untrained else "")
    name += f"-ctc{ctc_weight:g}" * bool(ctc_weight) + f"-{checkpoint}" * (checkpoint != "latest")
    path = record_path or trained.folder / "records" / f"{name}.json"
    folder, resamples = trained.folder / "trials", config.evaluation.resamples
    lists = write_trials(chosen, root, g2p, folder, held_out=share, overwrite=overwrite)
    if path.exists() and not overwrite:
        _require_same(path, trained, lists, resamples, ctc_weight)
    record, results = evaluate(
        trained,
        lists,
        root,
        cache=cache,
        resamples=resamples,
        command=_command(),
        name=name,
        g2p=g2p,
        ctc_weight=ctc_weight,
    )
    return Evaluated(record, write_record(record, path), results)


def _command() -> str:
    """What was typed, where `adml` was; it goes into the record."""
    typed = sys.argv[0].endswith(("adml", "__main__.py"))
    return shlex.join(["adml", *sys.argv[1:]]) if typed else ""


def _require_same(path, trained: Trained, lists: Sequence[TrialList], resamples, ctc_weight):
    """Refuse to lose the record of another evaluation; the same one may be made again."""
    advice = "Write the new one elsewhere by --record FILE, or replace this one by --overwrite."
    try:
        earlier = read_record(path)
    except DataError as error:
        raise DataError(f"{error} {advice}") from None
    commit, dirty = git_state(Path(__file__).parent)
    wanted = {
        "lists": {trials.name: trials.sha256 for trials in lists},
        "configuration": _configuration(trained),
        "step": trained.step,
        "resamples": resamples,
        "weight of the second stage": ctc_weight,
        "code": (commit, False),
    }
    found = {
        "lists": earlier.trials,
        "configuration": earlier.config,
        "step": earlier.details.get("step"),
        "resamples": earlier.details.get("resamples"),
        "weight of the second stage": earlier.details.get("ctc_weight", 0.0),
        "code": (earlier.commit, earlier.dirty or dirty),
    }
    other = [what for what, value in wanted.items() if found[what] != value]
    if other:
        raise UsageError(
            f"{path} is the record of another evaluation, made {earlier.created}. Expected: the "
            f"same {', '.join(wanted)}. Received: other {', '.join(other)}. {advice}"
        )


def _values(path: Path) -> dict:
    return read_values(path, "the record then tells none of it")


def _cost(trained: Trained) -> Cost:
    known = {field.name for field in dataclasses.fields(Cost)}
    values = _values(trained.folder / "cost.json") if trained.step else {}
    return Cost(**{name: value for name, value in values.items() if name in known})
