"""From a configuration's trial lists to a record: draw the lists, embed, score, write."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adml.build import held_out_speakers
from adml.config import Config, TrialsConfig, load_config
from adml.config_file import to_mapping
from adml.data.segments import build_segments
from adml.data.store import PcmStore
from adml.data.trial_list import TrialList
from adml.data.trials import classification, clips_of, phrase_trials, wake_words, wsj_style
from adml.data.words import WordTable, read_clips, read_words
from adml.errors import ConfigError, UsageError
from adml.evaluation.embedding import Embedder
from adml.evaluation.records import Cost, Record, git_state, now, package_versions, write_record
from adml.evaluation.results import format_figure, markdown_table, metric_title
from adml.evaluation.suites import SuiteResult, evaluate_classification, evaluate_trials
from adml.experiment import Trained, default_cache, load_run
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)

TABLE_METRICS = ("average_precision", "equal_error_rate", "roc_auc", "accuracy")


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


def build_trials(trials: TrialsConfig, root: str | Path, g2p: G2P, *, held_out: float = 0.0) -> TrialList:
    """Draw one list of trials; the same settings and data give the same bytes.

    Args:
        trials: the list's settings.
        root: folder of the sets; the list's paths are relative to it.
        g2p: texts to phonemes.
        held_out: with `trials.held_out_only`, the share of speakers that training left out.

    Raises:
        DataError: the set is missing or holds too little.
    """
    folder, g2p_symbols = Path(root) / trials.folder, g2p
    words = _table(trials, folder, held_out)
    if trials.kind in ("phrases_easy", "phrases_hard"):
        segments = build_segments(words, min_seconds=trials.min_seconds)
        return phrase_trials(segments, trials.kind.removeprefix("phrases_"), num_positives=trials.positives,
                             negatives_per_positive=trials.negatives, seed=trials.seed, g2p=g2p_symbols, root=root,
                             name=trials.name)
    if trials.kind == "classification":
        clips = clips_of(words, root=root, min_seconds=trials.min_seconds, group="speaker",
                         whole_file=trials.whole_file)
        return classification(clips, name=trials.name)
    clips = clips_of(words, root=root, min_seconds=trials.min_seconds, whole_file=trials.whole_file)
    if trials.max_clips is not None and len(clips) > trials.max_clips:
        step = len(clips) / trials.max_clips
        clips = [clips[int(place * step)] for place in range(trials.max_clips)]
    if trials.kind == "keywords":
        vocabulary = read_words(Path(root) / trials.vocabulary).word.tolist() if trials.vocabulary else ()
        return wake_words(clips, sorted(set(vocabulary)), num_random=trials.negatives, seed=trials.seed,
                          g2p=g2p_symbols, name=trials.name)
    return wsj_style(clips, negatives_per_positive=trials.negatives, seed=trials.seed, g2p=g2p_symbols,
                     name=trials.name)[0]


def _table(trials: TrialsConfig, folder: Path, held_out: float) -> WordTable:
    if trials.kind in ("classification", "keywords"):
        table = read_clips(folder, path_prefix=trials.prefix)
    else:
        table = read_words(folder, words_file=trials.words_file, path_prefix=trials.prefix)
    if trials.held_out_only:
        table = table.subset(held_out_speakers(table.speaker.tolist(), held_out))
    return table


def evaluate(trained: Trained, lists: Sequence[TrialList], root: str | Path, *, cache: Path | None = None,
             resamples: int = 1000, command: str = "", name: str | None = None,
             g2p: G2P | None = None) -> tuple[Record, dict[str, SuiteResult]]:
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

    Returns:
        The record and the results by list.
    """
    g2p = g2p or G2P()
    embedder = Embedder(trained.model.acoustic, trained.model.text, trained.log_mel)
    texts = _training_texts(trained.folder) if trained.step else None
    results = {}
    for trials in lists:
        logger.info("%s: %d trials, sha256 %s", trials.name, trials.num_trials, trials.sha256[:16])
        paths = sorted({clip.path for clip in trials.clips})
        store = PcmStore.build([str(Path(root) / path) for path in paths], (cache or default_cache()) / "pcm")

        def read(path: str, start_s: float, end_s: float, store=store):
            return store.read(str(Path(root) / path), start_s, end_s)

        if trials.protocol == "classification":
            result = evaluate_classification(embedder, trials, read, g2p, resamples=resamples)
        else:
            result = evaluate_trials(embedder, trials, read, g2p, training_texts=texts, resamples=resamples)
        results[trials.name] = result
    commit, dirty = git_state(Path(__file__).parent)
    record = Record(
        name=name or trained.config.name, config=to_mapping(trained.config), commit=commit, dirty=dirty,
        seed=trained.config.seed, data_hash=_read(trained.folder / "data.json").get("data_hash", ""),
        trials={n: r.sha256 for n, r in results.items()}, metrics={n: r.metrics for n, r in results.items()},
        cost=_cost(trained), versions=package_versions(), command=command, created=now(),
        details={n: r.details for n, r in results.items()} | {"step": trained.step})
    return record, results


def evaluate_run(workdir: str | Path, *, config_path: Path | None = None, speech: Path | None = None,
                 only: Sequence[str] = (), untrained: bool = False, record_path: Path | None = None,
                 cache: Path | None = None) -> Evaluated:
    """Evaluate a run folder on the lists of a configuration and write lists and record.

    Args:
        workdir: the run folder.
        config_path: file whose `evaluation` section names the lists; the run's own where None.
        speech: folder of the sets; the run's own where None.
        only: names of the lists to use; all where empty.
        untrained: the initial weights, for comparison.
        record_path: where the record goes; `records/` of the run where None.
        cache: folder for decoded speech.

    Raises:
        ConfigError: there are no lists, or none of a name asked for.
        DataError: a set is missing or cannot be used.
    """
    trained = load_run(workdir, untrained=untrained)
    config = load_config(config_path) if config_path else trained.config
    chosen = chosen_trials(config, only)
    root = Path(speech or config.data.root or trained.config.data.root)
    if not root.is_dir():
        raise UsageError(f"No speech folder at {str(root)!r}. Expected: --speech DIR.")
    g2p = G2P()
    share = trained.config.data.held_out_speakers
    lists = [build_trials(trials, root, g2p, held_out=share) for trials in chosen]
    for trials in lists:
        (trained.folder / "trials").mkdir(exist_ok=True)
        trials.write(trained.folder / "trials" / f"{trials.name}.tsv")
    name = f"{trained.config.name}-untrained" if untrained else None
    command = shlex.join(["adml", *sys.argv[1:]]) if sys.argv[0].endswith(("adml", "__main__.py")) else ""
    record, results = evaluate(trained, lists, root, cache=cache, resamples=config.evaluation.resamples,
                               command=command, name=name, g2p=g2p)
    path = record_path or trained.folder / "records" / f"{record.name}.json"
    return Evaluated(record, write_record(record, path), results)


def chosen_trials(config: Config, only: Sequence[str]) -> list[TrialsConfig]:
    """The lists of a configuration, or those of the given names.

    Raises:
        ConfigError: there are no lists, a name is missing, unknown or occurs twice.
    """
    lists = config.evaluation.trials
    names = [trials.name for trials in lists]
    if not lists:
        raise ConfigError("The configuration names no trials. Expected: a list in evaluation.trials.")
    if len(set(names)) < len(names) or "" in names:
        raise ConfigError(f"Each of evaluation.trials needs a name of its own. Received: {names}.")
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ConfigError(f"No trials of the name {unknown[0]!r}. Expected one of: {', '.join(names)}.")
    return [replace(trials) for trials in lists if not only or trials.name in only]


def results_table(rows: Sequence[tuple[str, Record]]) -> str:
    """Figures of several records as one Markdown table: a row for each record, list and part."""
    present = [m for m in TABLE_METRICS if any(
        m in figures for _, record in rows for parts in record.metrics.values() for figures in parts.values())]
    lines = []
    for label, record in rows:
        for name, parts in record.metrics.items():
            for part, figures in parts.items():
                cells = [format_figure(figures[m]) if m in figures else "" for m in present]
                lines.append([*([label] if label else []), name, part, *cells])
    head = [*(["model"] if any(label for label, _ in rows) else []), "trials", "part"]
    return markdown_table([*head, *(metric_title(m) for m in present)], lines)


def _training_texts(folder: Path) -> list[str]:
    path = folder / "training_texts.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _cost(trained: Trained) -> Cost:
    known = {field.name for field in dataclasses.fields(Cost)}
    values = _read(trained.folder / "cost.json") if trained.step else {}
    return Cost(**{name: value for name, value in values.items() if name in known})
