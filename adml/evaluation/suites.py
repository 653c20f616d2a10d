"""The tests: trials of (clip, text) pairs, and classification of clips among given words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from adml.data.trial_list import TrialList
from adml.errors import DataError
from adml.evaluation.clips import ReadClip
from adml.evaluation.confusions import (
    count_confusions,
    mean_word_accuracy,
    top_confusions,
    worst_words,
)
from adml.evaluation.embedded import (
    EmbeddedTest,
    Score,
    choose_texts,
    cosine,
    embed_test,
    pair_scores,
)
from adml.evaluation.embedding import Embeds
from adml.evaluation.intervals import Estimate, proportion_estimate, trial_estimates
from adml.evaluation.texts import G2PFunction, unseen_texts

_LISTED = 20  # words, confusions and inputs set aside that a record names


@dataclass(frozen=True)
class SuiteResult:
    """What a test gave.

    Args:
        name: of the test list.
        sha256: of the test list.
        metrics: part -> metric -> {"value", "low", "high", "n"}, as a record holds them.
        details: counts, inputs set aside, worst words; fit for JSON.
        labels: [N] of the scored trials (trials only), for plots.
        scores: [N] of the scored trials (trials only), for plots.
        confusions: [C, C] counts, true word by chosen word (classification only).
        words: the C words (classification only).
    """

    name: str
    sha256: str
    metrics: dict[str, dict[str, dict]]
    details: dict
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    confusions: np.ndarray | None = None
    words: tuple[str, ...] = ()


def evaluate_trials(
    embedder: Embeds,
    trials: TrialList,
    read_clip: ReadClip,
    g2p: G2PFunction,
    *,
    training_texts: Iterable[str] | None = None,
    margin_ms: float = 0.0,
    score: Score = cosine,
    resamples: int = 1000,
    seed: int = 0,
    expected_sha256: str | None = None,
) -> SuiteResult:
    """Judge a list of trials; its protocol says how.

    A "classification" gives each clip the best of the list's texts: accuracy, confusions and the
    worst words. Any other list gives average precision, equal error rate and ROC area over its
    pooled scores.

    Args:
        embedder: embeds audio and phonemes; a `PairScorer` where a model fuses pairs, which is
            then `score` too.
        trials: a `TrialList`; in a classification each clip's own text is the truth.
        read_clip: (path, start_s, end_s) -> float32 [T] at 16 kHz.
        g2p: turns a text into phoneme symbols.
        training_texts: every text of the training data; given, the trials of clips whose text
            is seen and unseen in it are also judged apart, as the parts "seen" and "unseen". (The
            clip's own text decides, so that the share of positives stays that of the list.) Not
            for a classification.
        margin_ms: neighbouring speech taken along on each side of a clip; 0 cuts exactly.
        score: scores pairs of clip and text.
        resamples: of the bootstrap over the clips' groups (words; speakers in a classification).
        seed: of the bootstrap.
        expected_sha256: the list must have this hash.

    Returns:
        The result; `metrics` also holds the chance level.

    Raises:
        DataError: the list is empty or not the expected one, or nothing of it can be used; of a
            classification also: fewer than two words, or a clip whose word is not in the list.
        NumericError: an embedding or a score is not finite.
    """
    if expected_sha256 is not None:
        trials.verify(expected_sha256)
    choice = trials.protocol == "classification"
    require_trials(trials, len(trials.clips if choice else trials.pair_label))
    truth = _truth(trials) if choice else None
    test = embed_test(embedder, trials, read_clip, g2p, margin_ms=margin_ms)
    if choice:
        estimate = partial(proportion_estimate, resamples=resamples, seed=seed)
        return _judge_choices(test, trials, score, truth, estimate)
    unseen = _unseen_clips(trials, training_texts, g2p)
    estimate = partial(trial_estimates, resamples=resamples, seed=seed)
    return _judge_trials(test, trials, score, unseen, estimate)


def _judge_trials(
    test: EmbeddedTest,
    trials: TrialList,
    score: Score,
    unseen: np.ndarray | None,
    estimate: Callable,
) -> SuiteResult:
    clips, texts = np.asarray(trials.pair_clip), np.asarray(trials.pair_text)
    labels = np.asarray(trials.pair_label).astype(bool)
    usable = test.clip_usable[clips] & test.text_usable[texts]
    require_usable(trials, usable, "trial")
    clips, texts, labels = clips[usable], texts[usable], labels[usable]
    scores = pair_scores(score, test, clips, texts)
    groups = _groups(trials)[clips]
    parts = {"all": np.ones(len(labels), dtype=bool)}
    if unseen is not None:
        parts |= {"seen": ~unseen[clips], "unseen": unseen[clips]}
    metrics = {}
    for name, part in parts.items():
        if part.any():
            metrics[name] = _with_chance(
                estimate(labels[part], scores[part], groups[part]),
                "chance_average_precision",
                float(labels[part].mean()),
            )
    details = details_of(trials, test) | {
        "trials": len(usable),
        "trials_scored": len(labels),
        "positives": int(labels.sum()),
    }
    return SuiteResult(trials.name, trials.sha256, metrics, details, labels, scores)


def _judge_choices(
    test: EmbeddedTest, trials: TrialList, score: Score, truth: np.ndarray, estimate: Callable
) -> SuiteResult:
    words = tuple(trials.texts)
    usable = test.clip_usable & test.text_usable[truth]
    require_usable(trials, usable, "clip")
    kept = np.flatnonzero(usable)
    chosen = choose_texts(test, kept, score)
    confusions = count_confusions(truth[kept], chosen, len(words))
    accuracy = estimate(chosen == truth[kept], _groups(trials)[kept])
    mean = Estimate(mean_word_accuracy(confusions), None, None, len(kept))
    estimates = {"accuracy": accuracy, "mean_word_accuracy": mean}
    metrics = {"all": _with_chance(estimates, "chance_accuracy", 1.0 / len(words))}
    details = details_of(trials, test) | {
        "clips_scored": len(kept),
        "worst_words": worst_words(confusions, words, _LISTED),
        "confusions": top_confusions(confusions, words, _LISTED),
    }
    return SuiteResult(
        trials.name, trials.sha256, metrics, details, confusions=confusions, words=words
    )


def _with_chance(estimates: dict[str, Estimate], name: str, chance: float) -> dict[str, dict]:
    count = next(iter(estimates.values())).n
    estimates = estimates | {name: Estimate(chance, None, None, count)}
    return {key: estimate.to_dict() for key, estimate in estimates.items()}


def _unseen_clips(
    trials: TrialList, training_texts: Iterable[str] | None, g2p: G2PFunction
) -> np.ndarray | None:
    """Whether each clip's text is in no training text; None where these are not known."""
    if training_texts is None:
        return None
    names, index = np.unique([clip.text for clip in trials.clips], return_inverse=True)
    return unseen_texts(names.tolist(), training_texts, g2p)[index]


def _groups(trials: TrialList) -> np.ndarray:
    return np.array([str(clip.group) for clip in trials.clips])


def details_of(trials: TrialList, test: EmbeddedTest) -> dict:
    """Counts of a test and what was set aside, for a record."""
    return {
        "clips": len(trials.clips),
        "clips_set_aside": int((~test.clip_usable).sum()),
        "texts": len(trials.texts),
        "texts_set_aside": int((~test.text_usable).sum()),
        "set_aside": [problem.to_dict() for problem in test.set_aside[:_LISTED]],
        "margin_ms": test.margin_ms,
    }


def require_trials(trials: TrialList, count: int) -> None:
    """Raise DataError where a list has nothing to judge."""
    if count == 0:
        raise DataError(f"The test list {trials.name!r} is empty. Expected: at least one trial.")


def require_usable(trials: TrialList, usable: np.ndarray, what: str) -> None:
    """Raise DataError where nothing of a list is left."""
    if not usable.any():
        raise DataError(
            f"No {what} of {trials.name!r} can be scored: an input of each was set aside. "
            "The log names the reasons."
        )


def _truth(trials: TrialList) -> np.ndarray:
    index = {word: position for position, word in enumerate(trials.texts)}
    if len(index) < 2:
        raise DataError(
            f"Classification needs two words or more. Received: {len(index)} in {trials.name!r}."
        )
    for clip in trials.clips:
        if clip.text not in index:
            raise DataError(
                f"{clip.path}: its word {clip.text!r} is not among the {len(index)} words of "
                f"{trials.name!r}. Add the word to the list, or drop the clip."
            )
    return np.array([index[clip.text] for clip in trials.clips], dtype=np.int64)
