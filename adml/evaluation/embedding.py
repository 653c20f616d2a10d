"""Clips and texts to unit embeddings: sorted by length, few padded shapes, bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.errors import DataError, NumericError

SAMPLE_STEP = 1600  # padded clip lengths are multiples of 0.1 s, as in training batches
LENGTH_GROWTH = 1.15  # and grow by about this factor, so that there are few of them
PHONEME_STEP = 4

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Indices of the items [B], the items padded [B, length], and their lengths int32 [B]."""


def padded_samples(length: int) -> int:
    """Smallest rung of a geometric ladder of multiples of `SAMPLE_STEP` that holds `length`."""
    rung = SAMPLE_STEP
    while rung < length:
        rung = max(rung + SAMPLE_STEP, int(rung * LENGTH_GROWTH) // SAMPLE_STEP * SAMPLE_STEP)
    return rung


def padded_phonemes(length: int) -> int:
    """Smallest multiple of `PHONEME_STEP` that holds `length` phonemes."""
    return max(1, -(-length // PHONEME_STEP)) * PHONEME_STEP


class Embeds(Protocol):
    """What embeds the clips and texts of a test; `Embedder` is one."""

    def audio(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """One row for each clip of 16 kHz samples, in order."""
        ...

    def phonemes(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """One row for each text of phoneme ids, in order."""
        ...


class Embedder:
    """Embeds audio and text with two trained towers; the order of the result is that of the input.

    An item's embedding does not depend on its neighbours, because the towers mask their padding.

    Args:
        acoustic: callable (features [B, F, M], frame lengths [B], training=False) ->
            (frames [B, F, D], utterance [B, D]).
        text: callable (phonemes [B, L], lengths [B], training=False) ->
            (phonemes, utterance [B, D]).
        log_mel: callable (waveform [B, T] at 16 kHz, lengths [B]) -> (features, frame lengths).
        max_batch_samples: most padded samples in one batch of audio (1,600,000 is 100 s).
        max_batch_items: most items in one batch.
        progress: show a progress bar on a terminal's stderr.
    """

    def __init__(
        self,
        acoustic: Callable,
        text: Callable,
        log_mel: Callable,
        *,
        max_batch_samples: int = 1_600_000,
        max_batch_items: int = 256,
        progress: bool = True,
    ):
        self._max_batch_samples = max_batch_samples
        self._max_batch_items = max_batch_items
        self._progress = progress

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ]
        )
        def embed_audio(waveform: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            features, frame_lengths = log_mel(waveform, lengths)
            _, utterance = acoustic(features, frame_lengths, training=False)
            return tf.math.l2_normalize(tf.cast(utterance, tf.float32), axis=-1)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        )
        def embed_text(phonemes: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            _, utterance = text(phonemes, lengths, training=False)
            return tf.math.l2_normalize(tf.cast(utterance, tf.float32), axis=-1)

        self._embed_audio = embed_audio
        self._embed_text = embed_text

    def audio(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Embed clips of 16 kHz samples.

        Args:
            clips: float arrays [T] of samples in [-1, 1]; T may differ.

        Returns:
            float32 [n, D], rows of unit length.

        Raises:
            DataError: no clips, or one that is empty, not one-dimensional or not finite.
            NumericError: the encoder returns a value that is not finite.
        """
        batches = clip_batches(
            clips,
            max_batch_samples=self._max_batch_samples,
            max_batch_items=self._max_batch_items,
            progress=self._progress,
        )
        return _embeddings(batches, self._embed_audio, len(clips), "audio")

    def phonemes(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Embed texts given as phoneme ids.

        Args:
            rows: ids (1 and up) of each text's phonemes.

        Returns:
            float32 [n, D], rows of unit length.

        Raises:
            DataError: no rows, an empty row, or an id below 1.
            NumericError: the encoder returns a value that is not finite.
        """
        limit = self._max_batch_items
        batches = phoneme_batches(rows, max_batch_items=limit, progress=self._progress)
        return _embeddings(batches, self._embed_text, len(rows), "text")


def clip_batches(
    clips: Sequence[np.ndarray],
    *,
    max_batch_samples: int = 1_600_000,
    max_batch_items: int = 256,
    progress: bool = True,
) -> Iterator[Batch]:
    """Batches of clips of like length, the longest first, with a progress bar.

    Args:
        clips: float arrays [T] of 16 kHz samples.
        max_batch_samples: most padded samples in one batch.
        max_batch_items: most clips in one batch.
        progress: show the bar on a terminal's stderr.

    Yields:
        indices [B], samples float32 [B, T] and lengths int32 [B].

    Raises:
        DataError: no clips, or one that is empty, not one-dimensional or not finite.
    """
    _require_items(clips, "clips", "float samples [T]")
    for index, clip in enumerate(clips):
        if (problem := clip_problem(clip)) is not None:
            raise DataError(f"Clip {index} cannot be embedded: {problem}")
    buckets = clip_buckets(
        [len(clip) for clip in clips],
        max_batch_samples=max_batch_samples,
        max_batch_items=max_batch_items,
    )
    yield from _batches(clips, buckets, np.float32, "audio", progress)


def phoneme_batches(
    rows: Sequence[Sequence[int]], *, max_batch_items: int = 256, progress: bool = True
) -> Iterator[Batch]:
    """Batches of texts of like length, as `clip_batches`: indices [K], ids int32 [K, L], lengths.

    Raises:
        DataError: no rows, an empty row, or an id below 1.
    """
    _require_items(rows, "texts", "phoneme ids [L]")
    for index, row in enumerate(rows):
        if len(row) == 0 or min(row) < 1:
            raise DataError(
                f"Text {index} cannot be embedded. Expected: at least one phoneme id, all "
                f"from 1 up. Received: {list(row)!r}."
            )
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    buckets = _buckets(lengths, padded_phonemes, lambda _: max_batch_items, max_batch_items)
    yield from _batches(rows, buckets, np.int32, "text", progress)


def pad(rows: Sequence, dtype: type, width: int | None = None) -> np.ndarray:
    """Rows [length, ...] of different lengths as one array [n, width, ...], zeros behind.

    Args:
        rows: at least one; equal but for their lengths.
        dtype: of the result.
        width: at least the greatest length; that one where it is None.
    """
    rows = [np.asarray(row, dtype=dtype) for row in rows]
    width = max(len(row) for row in rows) if width is None else width
    array = np.zeros((len(rows), width, *rows[0].shape[1:]), dtype=dtype)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


def clip_buckets(
    lengths: Sequence[int], *, max_batch_samples: int = 1_600_000, max_batch_items: int = 256
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (padded samples, indices of clips) of batches of like length, the longest first."""
    limit = max_batch_samples
    counts = np.asarray(lengths, dtype=np.int32)
    return _buckets(counts, padded_samples, lambda width: limit // width, max_batch_items)


def clip_problem(clip: np.ndarray) -> str | None:
    """Say why samples cannot be embedded, or None where they can."""
    array = np.asarray(clip)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        return f"Expected: float samples [T]. Received: {array.dtype} of shape {array.shape}."
    if array.size == 0:
        return "Expected: at least one sample. Received: none."
    if not np.isfinite(array).all():
        return "Expected: finite samples. Received: NaN or infinity."
    return None


def _buckets(
    lengths: np.ndarray,
    padded: Callable[[int], int],
    batch_limit: Callable[[int], int],
    max_items: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (padded width, indices): each batch has one padded width; the longest come first."""
    widths = {length: padded(int(length)) for length in np.unique(lengths)}
    item_widths = np.array([widths[length] for length in lengths])
    for width in sorted(set(widths.values()), reverse=True):
        members = np.flatnonzero(item_widths == width)
        size = max(1, min(max_items, batch_limit(width)))
        for start in range(0, len(members), size):
            yield width, members[start : start + size]


def _batches(
    items: Sequence,
    buckets: Iterable[tuple[int, np.ndarray]],
    dtype: type,
    name: str,
    progress: bool,
) -> Iterator[Batch]:
    disable = None if progress else True  # None lets it show on a terminal only
    with tqdm(total=len(items), desc=f"embed {name}", unit="item", disable=disable) as bar:
        for width, indices in buckets:
            chosen = [items[index] for index in indices]
            lengths = np.array([len(item) for item in chosen], dtype=np.int32)
            yield indices, pad(chosen, dtype, width), lengths
            bar.update(len(indices))


def _embeddings(batches: Iterable[Batch], embed: Callable, count: int, name: str) -> np.ndarray:
    """Embed batch by batch and put the rows back in order."""
    result = None
    for indices, batch, lengths in batches:
        embedded = embed(tf.constant(batch), tf.constant(lengths)).numpy()
        if result is None:
            result = np.empty((count, embedded.shape[-1]), dtype=np.float32)
        result[indices] = embedded
    require_finite(np.isfinite(result).all(axis=1), name)
    return result


def _require_items(items: Sequence, name: str, expected: str) -> None:
    if len(items) == 0:
        raise DataError(f"There are no {name} to embed. Expected: at least one ({expected}).")


def require_finite(finite: np.ndarray, name: str) -> None:
    """Raise NumericError unless every item's embedding is finite.

    Args:
        finite: bool [n], of each item.
        name: of the encoder: "audio" or "text".
    """
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise NumericError(
            f"The {name} encoder returned NaN or infinity for {len(bad)} of {len(finite)} "
            f"items, the first of them number {bad[0]}. Expected: finite embeddings. The model is "
            "damaged or its training diverged: load an earlier checkpoint."
        )
