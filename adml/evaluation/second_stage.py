"""A second look at a trial: the cosine, and how well the clip's frames spell the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.evaluation.clips import ReadClip, cut_times
from adml.evaluation.embedded import EmbeddedTest, cosine
from adml.evaluation.embedding import clip_buckets
from adml.evaluation.texts import G2PFunction
from adml.losses.ctc import frame_ctc
from adml.text.phonemes import to_classes

IMPOSSIBLE = 40.0  # cost a phoneme of a text that does not fit into the clip's frames
_PAIRS_AT_ONCE = 2048


class SecondStage:
    """Scores pairs by cosine - weight * CTC cost a phoneme; not in the paper.

    The cost is -log P(text | frames) / number of phonemes under a frame classifier that was
    trained along with the encoders (`losses.ctc_weight` above 0).

    Args:
        frame_logits: callable (waveform [B, T], lengths [B]) -> (logits [B, F, V + 1] with the
            blank last, frame lengths [B]).
        read_clip: (path, start_s, end_s) -> float32 [T] at 16 kHz.
        g2p: turns a text into phoneme symbols.
        weight: of the cost.
    """

    def __init__(
        self, frame_logits: Callable, read_clip: ReadClip, g2p: G2PFunction, *, weight: float
    ):
        self._read_clip, self._g2p, self._weight = read_clip, g2p, weight
        specs = [tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)]
        self._frame_logits = tf.function(frame_logits, input_signature=specs)
        specs = [tf.TensorSpec([None, None, None], tf.float32), tf.TensorSpec([None], tf.int32)]
        specs += [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        self._cost = tf.function(frame_ctc, input_signature=specs)

    def __call__(self, test: EmbeddedTest, clips: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores [N] of pairs of clip and text, float32; higher means more alike."""
        used, clip_index = np.unique(clips, return_inverse=True)
        logits = self._logits(test, used)
        named, text_index = np.unique(texts, return_inverse=True)
        spelled = [to_classes(self._g2p(test.texts[index])) for index in named]
        costs = self.costs(logits, spelled, clip_index, text_index)
        return cosine(test, clips, texts) - np.float32(self._weight) * costs

    def costs(
        self,
        logits: Sequence[np.ndarray],
        spelled: Sequence[Sequence[int]],
        clips: np.ndarray,
        texts: np.ndarray,
    ) -> np.ndarray:
        """CTC cost a phoneme of pairs, float32 [N]; `IMPOSSIBLE` where the text is too long.

        Args:
            logits: [F, V + 1] of each clip.
            spelled: phone classes of each text.
            clips: [N] indices of logits.
            texts: [N] indices of spelled.
        """
        frames = np.array([len(rows) for rows in logits], dtype=np.int32)
        lengths = np.array([len(row) for row in spelled], dtype=np.int32)
        repeats = [sum(a == b for a, b in zip(row, row[1:], strict=False)) for row in spelled]
        needed = lengths + np.array(repeats, dtype=np.int32)
        costs = np.full(len(clips), IMPOSSIBLE, dtype=np.float32)
        fits = np.flatnonzero(needed[texts] <= frames[clips])
        order = fits[np.argsort(frames[clips[fits]], kind="stable")]  # little padding in a batch
        for start in tqdm(range(0, len(order), _PAIRS_AT_ONCE), desc="spell", disable=None):
            part = order[start : start + _PAIRS_AT_ONCE]
            clip, text = clips[part], texts[part]
            batch = (
                _padded([logits[index] for index in clip], np.float32),
                frames[clip],
                _padded([spelled[index] for index in text], np.int32),
                lengths[text],
            )
            costs[part] = self._cost(*map(tf.constant, batch)).numpy()
        return costs

    def _logits(self, test: EmbeddedTest, clips: np.ndarray) -> list[np.ndarray]:
        """Frame logits of clips; a margin of neighbouring speech is heard as in the embedding."""
        chosen = [test.clips[index] for index in clips]
        samples = [
            self._read_clip(clip.path, *cut_times(clip.start_s, clip.end_s, test.margin_ms))
            for clip in chosen
        ]
        result: list[np.ndarray] = [np.empty(0)] * len(samples)
        for width, indices in clip_buckets([len(row) for row in samples]):
            waveform = np.zeros((len(indices), width), dtype=np.float32)
            for row, index in enumerate(indices):
                waveform[row, : len(samples[index])] = samples[index]
            lengths = np.array([len(samples[index]) for index in indices], dtype=np.int32)
            logits, frames = self._frame_logits(tf.constant(waveform), tf.constant(lengths))
            for index, rows, count in zip(indices, logits.numpy(), frames.numpy(), strict=True):
                result[index] = rows[:count]
        return result


def _padded(rows: Sequence, dtype: type) -> np.ndarray:
    """Rows of different lengths as one array, zeros behind."""
    rows = [np.asarray(row, dtype=dtype) for row in rows]
    shape = (len(rows), max(len(row) for row in rows), *rows[0].shape[1:])
    array = np.zeros(shape, dtype=dtype)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array
