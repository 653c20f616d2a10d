"""PocketSphinx in its keyphrase mode, as an engine to set beside (extra `benchmark`)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adml.errors import UsageError

LOWEST = "1e-60"
"""Threshold from which on detections are told; each has a score, which is thresholded later."""

_FRAMES_PER_SECOND = 100


class PocketSphinx:
    """An engine for `adml.evaluation.spotting.spot`: pronunciations are those of its dictionary.

    Args:
        keywords: words and phrases that its dictionary has.

    Raises:
        UsageError: pocketsphinx is not installed, or lacks a word.
    """

    def __init__(self, keywords: Sequence[str]):
        try:
            import pocketsphinx
        except ImportError:
            raise UsageError(
                "PocketSphinx is not installed. Install the extra: pip install -e '.[benchmark]'"
            ) from None
        self.keywords = tuple(keywords)
        with tempfile.TemporaryDirectory() as folder:
            phrases = Path(folder, "keywords.txt")
            phrases.write_text("".join(f"{keyword} /{LOWEST}/\n" for keyword in keywords))
            self._decoder = pocketsphinx.Decoder(
                kws=str(phrases), lm=None, samprate=16000, loglevel="FATAL"
            )
        known = self._decoder.lookup_word
        missing = [word for keyword in keywords for word in keyword.split() if not known(word)]
        if missing:
            raise UsageError(
                f"PocketSphinx cannot pronounce {missing[0]!r}. Expected: words of its dictionary. "
                "Leave the keyword out."
            )

    def __call__(self, samples: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Times of the ends, in seconds, and scores of all detections, by keyword."""
        decoder, found = self._decoder, {keyword: [] for keyword in self.keywords}
        decoder.start_utt()
        decoder.process_raw(
            np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes(), False, True
        )
        for segment in decoder.seg() or ():
            place = segment.end_frame / _FRAMES_PER_SECOND, segment.prob
            found[segment.word.strip()].append(place)
        decoder.end_utt()
        return {name: _columns(places) for name, places in found.items()}


def _columns(places: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    columns = np.array(places, float).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
