"""The spotter as an engine of `adml.evaluation.spotting`: all scores, before any threshold."""

from __future__ import annotations

import numpy as np

from adml.spotting.detecting import stream_scores
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.scoring import Scorer
from adml.spotting.spotter import KeywordSpotter


class SpotterEngine:
    """Hears whole streams and tells the score of every keyword at every place.

    Args:
        spotter: the model.
        keywords: enrolled with it.

    Raises:
        UsageError: they are of another model.
    """

    def __init__(self, spotter: KeywordSpotter, keywords: KeywordFile):
        keywords.require_model(spotter.model)
        self.spotter, self.keywords = spotter, keywords

    def __call__(self, samples: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Times of the ends of spans, in seconds, and the best score there, by keyword."""
        hearing = self.spotter.hearing()
        scorer = Scorer(self.keywords.keywords, hearing.places.lengths)
        scores = stream_scores(hearing, scorer, samples)
        times_s = scores.ends * (hearing.shift / self.spotter.sample_rate_hz)
        names = [keyword.name for keyword in self.keywords.keywords]
        if not len(times_s):
            return {name: (times_s, np.zeros(0, np.float32)) for name in names}
        return {name: (times_s, scores.scores[:, place]) for place, name in enumerate(names)}
