"""Clips and texts to unit embeddings: sorted by length, few padded shapes, bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.errors import DataError, NumericError

SAMPLE_STEP = 1600  # padded clip lengths are multiples of 0.1 s, as in training batches
LENGTH_GROWTH = 1.15  # and grow by about this factor, so that there are few of them
PHONEME_STEP = 4


def padded_samples(length: int) -> int:
    """Smallest rung of a geometric ladder of multiples of `SAMPLE_STEP` that holds `length`."""
    rung = SAMPLE_STEP
    while rung < length:
        rung = max(rung + SAMPLE_STEP, int(rung * LENGTH_GROWTH) // SAMPLE_STEP * SAMPLE_STEP)
    return rung


def padded_phonemes(length: int) -> int:
    """Smallest multiple of `PHONEME_STEP` that holds `length` phonemes."""
    return max(1, -(-length // PHONEME_STEP)) * PHONEME_STEP


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
        _require_items(clips, "clips", "float samples [T]")
        for index, clip in enumerate(clips):
            if (problem := clip_problem(clip)) is not None:
                raise DataError(f"Clip {index} cannot be embedded: {problem}")
        limit = self._max_batch_samples
        return self._run(
            clips,
            self._embed_audio,
            padded_samples,
            lambda width: limit // width,
            np.float32,
            "audio",
        )

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
        _require_items(rows, "texts", "phoneme ids [L]")
        for index, row in enumerate(rows):
            if len(row) == 0 or min(row) < 1:
                raise DataError(
                    f"Text {index} cannot be embedded. Expected: at least one phoneme id, all "
                    f"from 1 up. Received: {list(row)!r}."
                )
        limit = self._max_batch_items
        return self._run(rows, self._embed_text, padded_phonemes, lambda _: limit, np.int32, "text")

    def _run(
        self,
        items: Sequence,
        embed: Callable,
        padded: Callable[[int], int],
        batch_limit: Callable[[int], int],
        dtype: type,
        name: str,
    ) -> np.ndarray:
        """Embed `items` bucket by bucket and put the rows back in order."""
        lengths = np.array([len(item) for item in items], dtype=np.int32)
        result = None
        with tqdm(
            total=len(items), desc=f"embed {name}", unit="item", disable=self._quiet()
        ) as bar:
            for width, indices in _buckets(lengths, padded, batch_limit, self._max_batch_items):
                batch = np.zeros((len(indices), width), dtype=dtype)
                for row, index in enumerate(indices):
                    batch[row, : lengths[index]] = items[index]
                embedded = embed(tf.constant(batch), tf.constant(lengths[indices])).numpy()
                if result is None:
                    result = np.empty((len(items), embedded.shape[-1]), dtype=np.float32)
                result[indices] = embedded
                bar.update(len(indices))
        _require_finite(result, name)
        return result

    def _quiet(self) -> bool | None:
        """Value of tqdm's `disable`: None lets it show on a terminal only."""
        return None if self._progress else True


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


def _require_items(items: Sequence, name: str, expected: str) -> None:
    if len(items) == 0:
        raise DataError(f"There are no {name} to embed. Expected: at least one ({expected}).")


def _require_finite(embeddings: np.ndarray, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise NumericError(
            f"The {name} encoder returned NaN or infinity for {len(bad)} of {len(embeddings)} "
            f"items, the first of them number {bad[0]}. Expected: finite embeddings. The model is "
            "damaged or its training diverged: load an earlier checkpoint."
        )
