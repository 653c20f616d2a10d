"""How often the nearest text of a clip, or clip of a text, is a right one."""

from __future__ import annotations

import numpy as np

from adml.errors import DataError

__all__ = ["retrieval", "retrieval_ranks", "unit_rows"]

_ROWS_AT_ONCE = 1024
_TIE = 1e-6  # cosines nearer than this are equal; the encoders are float32


def retrieval(
    audio: np.ndarray,
    text: np.ndarray,
    audio_labels: np.ndarray,
    text_labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Share of queries that find one of their own among the nearest 1 and 5 by cosine.

    Args:
        audio: [N, D] clips.
        text: [K, D] texts, each once.
        audio_labels: [N] label of what each clip says.
        text_labels: [K]; 0 to K - 1 where None. Texts that sound alike share a label.

    Returns:
        Fractions audio_to_text_recall_1, audio_to_text_recall_5, text_to_audio_recall_1 and
        text_to_audio_recall_5; see `retrieval_ranks`.

    Raises:
        DataError: as `retrieval_ranks`.
    """
    ranks = retrieval_ranks(audio, text, audio_labels, text_labels)
    names = ("audio_to_text", "text_to_audio")
    return {
        f"{name}_recall_{limit}": float(np.mean(found <= limit))
        for name, found in zip(names, ranks, strict=True)
        for limit in (1, 5)
    }


def retrieval_ranks(
    audio: np.ndarray,
    text: np.ndarray,
    audio_labels: np.ndarray,
    text_labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the first right text of each clip [N], and of the first right clip of each text [K].

    The rank is 1 and the number of wrong ones that are as near or nearer: ties count against, so
    that embeddings which are all equal find nothing.

    Args: as of `retrieval`.

    Raises:
        DataError: shapes do not fit, a value is not finite, or nothing has a query's label.
    """
    audio_labels = np.asarray(audio_labels)
    text_labels = np.arange(len(text)) if text_labels is None else np.asarray(text_labels)
    for name, rows, labels in (("audio", audio, audio_labels), ("text", text, text_labels)):
        if np.ndim(rows) != 2 or len(rows) == 0 or labels.shape != (len(rows),):
            raise DataError(
                f"Retrieval needs rows with labels. Expected: {name} [n, D] and [n] labels. "
                f"Received: {np.shape(rows)} and {labels.shape}."
            )
    if np.shape(audio)[1] != np.shape(text)[1]:
        raise DataError(
            "Audio and text are not in one space. Expected: rows of one width. "
            f"Received: {np.shape(audio)} and {np.shape(text)}."
        )
    audio, text = unit_rows(audio), unit_rows(text)
    return (
        _ranks(audio, audio_labels, text, text_labels),
        _ranks(text, text_labels, audio, audio_labels),
    )


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [N, D] as float64 of unit length; rows of zeros stay.

    Raises:
        DataError: a value is not finite.
    """
    rows = np.asarray(rows, np.float64)
    if not np.isfinite(rows).all():
        raise DataError("Embeddings are not usable. Expected: finite numbers. Received: others.")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _ranks(queries, labels, pool, pool_labels) -> np.ndarray:
    if len(missing := np.setdiff1d(labels, pool_labels)):
        raise DataError(
            f"Nothing can be found for the label {missing[0]!r}. Expected: a clip and a text of "
            "every label."
        )
    ranks = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cosines = queries[part] @ pool.T
        right = labels[part, None] == pool_labels
        nearest = np.where(right, cosines, -np.inf).max(axis=1, keepdims=True)
        ranks[part] = 1 + np.count_nonzero(~right & (cosines >= nearest - _TIE), axis=1)
    return ranks
