"""The first ten minutes: speech, training, controls, plots, export, next steps."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.build.trials import build_trials
from adml.config import Config
from adml.data.store import PcmStore
from adml.data.synthetic import make_corpus
from adml.data.trial_list import TrialList
from adml.errors import UsageError
from adml.evaluate import Evaluated, evaluate, results_table
from adml.evaluation.heatmaps import alignment, confusions
from adml.evaluation.plots import det_curves, score_histogram
from adml.evaluation.records import Record, write_record
from adml.evaluation.report import Picture, write_report
from adml.experiment import Trained, default_cache, export_run, load_run, train
from adml.quickstart_config import (
    fit_batch,
    quickstart_config,
    real_settings,
    synthetic_settings,
)
from adml.run_report import run_pictures
from adml.text.g2p import G2P
from adml.text.phonemes import to_ids
from adml.training.loop import Interrupted

logger = logging.getLogger(__name__)

STEPS = 260


@dataclass(frozen=True)
class Quickstart:
    """What a quickstart leaves behind: a text for people, values for programs."""

    text: str
    values: dict


def quickstart(
    out: Path | None = None,
    *,
    speech: Path | None = None,
    test_sets: Sequence[str] = (),
    steps: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    words: int = 800,
    voices: int = 60,
) -> Quickstart:
    """Make or take speech, train ADML with SphereFace2, evaluate, plot, export, compare.

    Args:
        out: run folder; "runs/quickstart", with a number where it exists, if None.
        speech: a set of real speech (manifest.tsv, words.tsv), or a folder of sets; None makes a
            synthetic corpus.
        test_sets: names of the sets of `speech` to test on; told by their names where empty.
        steps: training steps.
        seed: of the corpus and the run.
        cache: folder for decoded speech and the synthetic corpus.
        words: size of the synthetic vocabulary.
        voices: number of synthetic voices.

    Raises:
        UsageError, DataError: the speech or the folder cannot be used; the text says why. All but
            damage to the recordings of a test shows before the training.
        Interrupted: the training was asked to stop; the text says how to go on.
    """
    if test_sets and speech is None:
        raise UsageError("Test sets were named, but no speech. Expected: --speech DIR with them.")
    cache, g2p = cache or default_cache(), G2P()
    folder = Path(out) if out is not None else _free_folder(Path("runs/quickstart"))
    times: dict[str, float] = {}
    with _stage("speech", times):
        if speech is None:
            place = cache / f"synthetic-{words}-{voices}-{seed}"
            root = make_corpus(place, num_words=words, num_voices=voices, seed=seed).resolve()
            settings = synthetic_settings()
        else:
            root, settings = real_settings(Path(speech), test_sets)
        config = quickstart_config(root, settings, STEPS if steps is None else steps, seed)
        share = config.data.held_out_speakers
        drawn = config.evaluation.trials
        lists = [build_trials(trials, root, g2p, held_out=share) for trials in drawn]
        config = fit_batch(config, cache, g2p)
    with _stage("training", times):
        _train(config, folder, cache)
    with _stage("evaluation", times):
        trained, untrained = load_run(folder), load_run(folder, untrained=True)
        for trials in lists:
            trials.write(folder / "trials" / f"{trials.name}.tsv")
        done = _evaluated(trained, lists, root, cache, g2p, config.name)
        before = _evaluated(untrained, lists, root, cache, g2p, f"{config.name}-untrained")
    with _stage("plots", times):
        page = _report(trained, done, before, lists, root, cache, g2p)
    with _stage("export", times):
        exported = export_run(folder)
    return _summary(folder, page, exported, done, before, times, root / lists[0].clips[0].path)


@contextmanager
def _stage(name: str, times: dict[str, float]):
    logger.info("== %s", name)
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def _train(config: Config, folder: Path, cache: Path) -> None:
    """Train; where that is interrupted, say which commands do what is left."""
    try:
        train(config, folder, cache=cache)
    except Interrupted as stopped:
        where = shlex.quote(str(folder))
        raise Interrupted(
            f"{stopped} A quickstart cannot be resumed itself; these do the rest of it: "
            f"adml train --resume --out {where}; adml evaluate {where}; adml export {where}",
            stopped.exit_code,
        ) from None


def _free_folder(folder: Path) -> Path:
    candidates = (
        folder if n == 1 else folder.with_name(f"{folder.name}-{n}") for n in range(1, 10_000)
    )
    return next(path for path in candidates if not path.exists())


def _evaluated(trained: Trained, lists, root: Path, cache: Path, g2p: G2P, name: str) -> Evaluated:
    record, results = evaluate(
        trained,
        lists,
        root,
        cache=cache,
        resamples=trained.config.evaluation.resamples,
        name=name,
        g2p=g2p,
        command="adml quickstart",
    )
    return Evaluated(
        record, write_record(record, trained.folder / "records" / f"{name}.json"), results
    )


def _report(
    trained: Trained, done: Evaluated, before: Evaluated, lists, root: Path, cache: Path, g2p: G2P
) -> Path:
    folder = trained.folder / "report"
    folder.mkdir(exist_ok=True)
    words, choice = lists[0], done.results[lists[-1].name]
    result, initial = done.results[words.name], before.results[words.name]
    picture = folder / "alignment.png"
    text = _draw_alignment(trained, words, root, cache, g2p, picture)
    curves = {
        "trained": (result.labels, result.scores),
        "untrained": (initial.labels, initial.scores),
    }
    pictures = [
        Picture(
            score_histogram(result.labels, result.scores, folder / "scores.png"),
            "Scores",
            "Cosines of matching and of other pairs, with the threshold of equal error.",
        ),
        Picture(
            det_curves(curves, folder / "det.png"),
            "Misses against false alarms",
            "Lower left is better.",
        ),
        Picture(
            picture,
            "Alignment",
            f"Which frames each phoneme of “{text}” attends to (Eq. 1); the voice was "
            "not trained on.",
        ),
        Picture(
            confusions(choice.confusions, choice.words, folder / "confusions.png"),
            "Confusions",
            "Which word is taken for which, among the most frequent of the held-out voices.",
        ),
        *run_pictures(trained.folder),
    ]
    return write_report(done.record, folder, pictures=pictures, compared=[before.record])


def _draw_alignment(
    trained: Trained, words: TrialList, root: Path, cache: Path, g2p: G2P, picture: Path
) -> str:
    """Draw the attention of the clip whose word has most phonemes among the first; its word."""
    clip = max(words.clips[:50], key=lambda clip: len(g2p.phonemes(clip.text)))
    store = PcmStore.build(sorted({str(root / c.path) for c in words.clips}), cache / "pcm")
    samples = store.read(str(root / clip.path), clip.start_s, clip.end_s)
    symbols = g2p.phonemes(clip.text)
    features, frames = trained.log_mel(
        tf.constant(samples[np.newaxis]), tf.constant([len(samples)])
    )
    outputs = trained.model(
        {
            "features": features,
            "frame_lengths": frames,
            "phonemes": tf.constant([to_ids(symbols)]),
            "phoneme_lengths": tf.constant([len(symbols)]),
        },
        training=False,
    )
    alignment(
        outputs["attention"][0].numpy(),
        symbols,
        picture,
        title=f"Alignment of “{clip.text}”",
        shift_ms=trained.config.features.shift_ms,
    )
    return clip.text


def _summary(
    folder: Path,
    page: Path,
    exported: dict,
    done: Evaluated,
    before: Evaluated,
    times: dict[str, float],
    clip: Path,
) -> Quickstart:
    table = results_table(
        [("trained", done.record), ("untrained", before.record), *_chance(done.record)]
    )
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items())
    text = "\n".join(
        [
            "",
            table,
            "Chance: average precision = share of positives; equal error rate and ROC area 50 %.",
            "",
            f"run      {folder}",
            f"report   {page}",
            f"acoustic {exported['acoustic']}",
            f"text     {exported['text']}",
            f"export equal to the model within {exported['max_difference']:.1e} in a fresh process",
            f"time     {spent}",
            "",
            "Next:",
            f'  adml score {clip} -k "hello" -k "thank you" --model {folder}',
            f"  adml train --config {folder}/config.yaml --set training.steps=2000 "
            "--out runs/longer",
            f"  tensorboard --logdir {folder}/tensorboard",
        ]
    )
    values = {
        "run": str(folder),
        "report": str(page),
        "export": exported,
        "seconds": times,
        "trained": done.record.to_dict()["metrics"],
        "untrained": before.record.to_dict()["metrics"],
    }
    return Quickstart(text, values)


def _chance(record: Record) -> list[tuple[str, Record]]:
    """A row of what guessing gives, on the same lists."""
    half = {"value": 0.5, "low": None, "high": None, "n": 0}
    metrics = {}
    for name, parts in record.metrics.items():
        if "accuracy" in parts["all"]:
            metrics[name] = {"all": {"accuracy": parts["all"]["chance_accuracy"]}}
        else:
            chance = parts["all"]["chance_average_precision"]
            metrics[name] = {
                "all": {"average_precision": chance, "equal_error_rate": half, "roc_auc": half}
            }
    return [("chance", replace(record, metrics=metrics))]
