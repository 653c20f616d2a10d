"""Scores of models that fuse each pair of a clip and a text, where a dual encoder has a cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.evaluation.embedded import EmbeddedTest
from adml.evaluation.embedding import Batch, clip_batches, pad, phoneme_batches, require_finite

_POSITIONS_AT_ONCE = 65_536  # frames and phonemes of all pairs of a batch, padding included
_CELLS_AT_ONCE = 16_000_000  # of their attention, positions x positions
_FRAME_STEP, _PHONEME_STEP = 8, 4  # pairs whose lengths differ by less stand together


class FusesPairs(Protocol):
    """A model whose score of a clip and a text needs both: CMCD, PhonMatchNet."""

    def encode_audio(self, features: tf.Tensor, frame_lengths: tf.Tensor) -> tuple:
        """Features [B, F, M], lengths [B] to embeddings [B, F', D] and their lengths [B]."""
        ...

    def encode_text(self, phonemes: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Phoneme ids [K, L], lengths [K] to embeddings [K, L, D]."""
        ...

    def read_audio(self, audio: tf.Tensor, audio_lengths: tf.Tensor) -> dict:
        """What the audio alone gives to the fusion: tensors [B, ...] by name."""
        ...

    def fuse(self, memory: dict, text: tf.Tensor, text_lengths: tf.Tensor) -> dict:
        """That of N clips and the embeddings of N texts to "utterance_logit" [N] and more."""
        ...


class PairScorer:
    """Encodes each clip and each text of a test once, and fuses them pair by pair.

    It takes the place of both an `Embedder` (its rows are sequences, one array of each clip or
    text) and a `Score`:

        scorer = PairScorer(model, log_mel)
        evaluate_trials(scorer, trials, read_clip, g2p, score=scorer)

    A pair's score does not depend on its batch, because the model masks its padding. All encoded
    clips of a list are held: 0.5 kB for each of their frames where D = 128.

    Args:
        model: fuses pairs; see `FusesPairs`.
        log_mel: callable (waveform [B, T] at 16 kHz, lengths [B]) -> (features, frame lengths).
        progress: show progress bars on a terminal's stderr.
    """

    def __init__(self, model: FusesPairs, log_mel: Callable, *, progress: bool = True):
        self._progress = progress
        lengths = tf.TensorSpec([None], tf.int32)

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32), lengths])
        def encode_audio(waveform: tf.Tensor, lengths: tf.Tensor) -> tuple:
            features, frame_lengths = log_mel(waveform, lengths)
            frames, frame_lengths = model.encode_audio(features, frame_lengths)
            return tf.cast(frames, tf.float32), frame_lengths

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), lengths])
        def encode_text(phonemes: tf.Tensor, lengths: tf.Tensor) -> tuple:
            return tf.cast(model.encode_text(phonemes, lengths), tf.float32), lengths

        self._encode_audio, self._encode_text = encode_audio, encode_text
        sequences = [
            tf.TensorSpec([None, None, encode.get_concrete_function().outputs[0].shape[-1]])
            for encode in (encode_audio, encode_text)
        ]

        @tf.function(
            input_signature=[sequences[0], lengths, lengths, sequences[1], lengths, lengths]
        )
        def score(audio, audio_lengths, clip, text, text_lengths, spelled) -> tf.Tensor:
            memory = model.read_audio(audio, audio_lengths)
            memory = {name: tf.gather(value, clip) for name, value in memory.items()}
            counts = tf.gather(text_lengths, spelled)
            fused = model.fuse(memory, tf.gather(text, spelled), counts)
            return tf.cast(fused["utterance_logit"], tf.float32)

        self._score = score

    def audio(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Encode clips of 16 kHz samples.

        Args:
            clips: float arrays [T] of samples in [-1, 1]; T may differ.

        Returns:
            An array [n] of objects, each float32 [F', D].

        Raises:
            DataError: no clips, or one that is empty, not one-dimensional or not finite.
            NumericError: the encoder returns a value that is not finite.
        """
        batches = clip_batches(clips, progress=self._progress)
        return _sequences(batches, self._encode_audio, len(clips), "audio")

    def phonemes(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Encode texts given as phoneme ids (1 and up): an array [n] of objects, float32 [L, D].

        Raises:
            DataError: no rows, an empty row, or an id below 1.
            NumericError: the encoder returns a value that is not finite.
        """
        batches = phoneme_batches(rows, progress=self._progress)
        return _sequences(batches, self._encode_text, len(rows), "text")

    def __call__(self, test: EmbeddedTest, clips: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Utterance logits of pairs of a test that this object has encoded.

        Args:
            test: the test; its rows are sequences.
            clips: [N] indices of usable clips.
            texts: [N] indices of usable texts.

        Returns:
            float32 [N]; higher means more alike.
        """
        scores = np.empty(len(clips), dtype=np.float32)
        disable = None if self._progress else True
        with tqdm(total=len(clips), desc="match", unit="pair", disable=disable) as bar:
            for part in _pair_batches(test, clips, texts):
                heard, spelled = _padded(test.audio, clips[part]), _padded(test.text, texts[part])
                scores[part] = self._score(*map(tf.constant, (*heard, *spelled))).numpy()
                bar.update(len(part))
        return scores


def _sequences(batches: Iterable[Batch], encode: Callable, count: int, name: str) -> np.ndarray:
    """Encode batch by batch; an array [count] of each item's valid rows."""
    result = np.empty(count, dtype=object)
    for indices, batch, lengths in batches:
        encoded, valid = encode(tf.constant(batch), tf.constant(lengths))
        for index, rows, length in zip(indices, encoded.numpy(), valid.numpy(), strict=True):
            result[index] = rows[:length].copy()
    require_finite(np.array([np.isfinite(rows).all() for rows in result]), name)
    return result


def _padded(sequences: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """The chosen sequences, each once, padded; their lengths; and which of them each index is."""
    used, places = np.unique(indices, return_inverse=True)
    rows = [sequences[index] for index in used]
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    return pad(rows, np.float32), lengths, places.astype(np.int32)


def _lengths(sequences: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Rows of each chosen sequence, [N]."""
    used, places = np.unique(indices, return_inverse=True)
    return np.array([len(sequences[index]) for index in used], dtype=np.int64)[places]


def _pair_batches(test: EmbeddedTest, clips: np.ndarray, texts: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of pairs of like lengths, the longest clips first, with bounded padded size.

    Pairs of one clip stand together, so that it is read for many texts at once.
    """
    frames, phonemes = _lengths(test.audio, clips), _lengths(test.text, texts)
    order = np.lexsort((clips, phonemes // _PHONEME_STEP, frames // _FRAME_STEP))[::-1]
    start = 0
    while start < len(order):
        most = int(frames[order[start]]) // _FRAME_STEP * _FRAME_STEP + _FRAME_STEP
        most += int(phonemes.max())
        size = max(1, min(_POSITIONS_AT_ONCE // most, _CELLS_AT_ONCE // most**2))
        yield order[start : start + size]
        start += size
