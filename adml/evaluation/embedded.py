"""A test list with everything embedded once, and the scores of its (clip, text) pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from adml.data.trial_list import Clip, TrialList
from adml.errors import NumericError
from adml.evaluation.clips import ReadClip, SetAside, embed_clips
from adml.evaluation.embedding import Embeds
from adml.evaluation.texts import G2PFunction, embed_texts

_PAIRS_AT_ONCE = 65_536


@dataclass(frozen=True)
class EmbeddedTest:
    """A test list with everything embedded once; what a scorer sees.

    Args:
        clips: all clips of the list.
        texts: all texts of the list.
        audio: [len(clips), D] unit embeddings, or one [F', D] for each clip where a model fuses
            pairs (`adml.evaluation.pairs`); zeros for clips that were set aside.
        text: [len(texts), D] unit embeddings, or one [L, D] for each text; zeros likewise.
        clip_usable: bool [len(clips)].
        text_usable: bool [len(texts)].
        set_aside: the inputs that could not be used.
        margin_ms: neighbouring speech taken along on each side of a clip.
    """

    clips: Sequence[Clip]
    texts: Sequence[str]
    audio: np.ndarray
    text: np.ndarray
    clip_usable: np.ndarray
    text_usable: np.ndarray
    set_aside: list[SetAside]
    margin_ms: float


Score = Callable[[EmbeddedTest, np.ndarray, np.ndarray], np.ndarray]
"""score(test, clip indices [N], text indices [N]) -> [N]; higher means more alike."""


def cosine(test: EmbeddedTest, clips: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of each (clip, text) pair, float32 [N]; the default score."""
    scores = np.empty(len(clips), dtype=np.float32)
    for start in range(0, len(clips), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        scores[part] = np.einsum("nd,nd->n", test.audio[clips[part]], test.text[texts[part]])
    return scores


def embed_test(
    embedder: Embeds,
    trials: TrialList,
    read_clip: ReadClip,
    g2p: G2PFunction,
    *,
    margin_ms: float = 0.0,
) -> EmbeddedTest:
    """Embed each clip and each text of a test list once.

    Args:
        embedder: embeds audio and phonemes.
        trials: a `TrialList`.
        read_clip: (path, start_s, end_s) -> float32 [T] at 16 kHz.
        g2p: turns a text into phoneme symbols.
        margin_ms: neighbouring speech taken along on each side of a clip; 0 cuts exactly.

    Returns:
        The embedded test.
    """
    texts, text_index, text_problems = embed_texts(embedder, trials.texts, g2p)
    audio, clip_index, clip_problems = embed_clips(
        embedder, trials.clips, read_clip, margin_ms=margin_ms
    )
    all_audio, clip_usable = _scatter(audio, clip_index, len(trials.clips))
    all_texts, text_usable = _scatter(texts, text_index, len(trials.texts))
    return EmbeddedTest(
        trials.clips, trials.texts, all_audio, all_texts, clip_usable, text_usable,
        clip_problems + text_problems, margin_ms,
    )  # fmt: skip


def pair_scores(
    score: Score, test: EmbeddedTest, clips: np.ndarray, texts: np.ndarray
) -> np.ndarray:
    """Scores of pairs by any scorer, checked.

    Raises:
        NumericError: a score is not finite, or there is not one score a pair.
    """
    scores = np.asarray(score(test, clips, texts))
    if scores.shape != clips.shape or not np.isfinite(scores).all():
        raise NumericError(
            f"The scorer is wrong. Expected: {len(clips)} finite scores. Received: shape "
            f"{scores.shape}, {int(np.count_nonzero(~np.isfinite(scores)))} not finite."
        )
    return scores


def choose_texts(test: EmbeddedTest, clips: np.ndarray, score: Score) -> np.ndarray:
    """Index of the best usable text of each clip, int64 [len(clips)]."""
    texts = np.flatnonzero(test.text_usable)
    chosen = np.empty(len(clips), dtype=np.int64)
    rows = max(1, _PAIRS_AT_ONCE // len(texts))
    for start in range(0, len(clips), rows):
        part = clips[start : start + rows]
        pairs = pair_scores(score, test, np.repeat(part, len(texts)), np.tile(texts, len(part)))
        table = pairs.reshape(len(part), len(texts))
        chosen[start : start + rows] = texts[table.argmax(axis=1)]
    return chosen


def _scatter(rows: np.ndarray, index: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    full = np.zeros((count, *rows.shape[1:]), dtype=rows.dtype)
    full[index] = rows
    usable = np.zeros(count, dtype=bool)
    usable[index] = True
    return full, usable
