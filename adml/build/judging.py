"""What embeds, scores and reads the clips of a list of trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tf_keras as keras

from adml.data.sets import open_recordings
from adml.data.trial_list import TrialList
from adml.evaluation.embedded import Score, cosine
from adml.evaluation.embedding import Embedder, Embeds
from adml.evaluation.pairs import PairScorer


def build_scorer(
    model: keras.Model, log_mel: Callable, *, progress: bool = True
) -> tuple[Embeds, Score]:
    """What embeds the clips and texts of a list, and what scores their pairs."""
    if getattr(model, "pairwise", False):
        scorer = PairScorer(model, log_mel, progress=progress)
        return scorer, scorer
    return Embedder(model.acoustic, model.text, log_mel, progress=progress), cosine


def build_clip_reader(trials: TrialList, root: Path, cache: Path) -> Callable:
    """A function that reads the decoded samples of a span of one of the list's recordings."""
    paths = sorted({str(root / clip.path) for clip in trials.clips})
    store = open_recordings(paths, cache / "pcm")
    return lambda path, start_s, end_s: store.read(str(root / path), start_s, end_s)
