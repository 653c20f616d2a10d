"""A second look at a trial: the cosine, and how well the clip's frames spell the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.evaluation.clips import ReadClip, cut_times
from adml.evaluation.embedded import EmbeddedTest, cosine
from adml.evaluation.embedding import clip_buckets, pad
from adml.evaluation.texts import G2PFunction
from adml.losses.ctc import frame_ctc
from adml.text.phonemes import to_classes

IMPOSSIBLE = 40.0  # highest cost a phoneme; also of a text that does not fit into the frames
_FRAMES_AT_ONCE = 200_000  # of all pairs of a batch, padding included
_CLIPS_AT_ONCE = 2048  # whose samples are held


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

    @classmethod
    def of_model(
        cls, model, log_mel: Callable, read_clip: ReadClip, g2p: G2PFunction, weight: float
    ) -> SecondStage:
        """The second stage of an `ADML` with a frame classifier and of its front end."""

        def frame_logits(waveform: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            features, frame_lengths = log_mel(waveform, lengths)
            frames, _ = model.acoustic(features, frame_lengths, training=False)
            return model.frame_classifier(frames), frame_lengths

        return cls(frame_logits, read_clip, g2p, weight=weight)

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
        """CTC cost a phoneme of pairs, float32 [N], at most `IMPOSSIBLE`.

        A text that is empty or does not fit into the clip's frames costs `IMPOSSIBLE`.

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
        fits = np.flatnonzero((needed[texts] <= frames[clips]) & (lengths[texts] > 0))
        order = fits[np.argsort(frames[clips[fits]], kind="stable")]  # little padding in a batch
        for part in _batches(order, frames[clips[order]]):
            clip, text = clips[part], texts[part]
            batch = (
                pad([logits[index] for index in clip], np.float32),
                frames[clip],
                pad([spelled[index] for index in text], np.int32),
                lengths[text],
            )
            costs[part] = self._cost(*map(tf.constant, batch)).numpy()
        return np.minimum(costs, IMPOSSIBLE)

    def _logits(self, test: EmbeddedTest, clips: np.ndarray) -> list[np.ndarray]:
        """Frame logits of clips; a margin of neighbouring speech is heard as in the embedding."""
        heard = [test.clips[index] for index in clips]
        times = [cut_times(clip.start_s, clip.end_s, test.margin_ms) for clip in heard]
        result: list[np.ndarray] = [np.empty(0)] * len(clips)
        for start in range(0, len(clips), _CLIPS_AT_ONCE):
            chosen = range(start, min(start + _CLIPS_AT_ONCE, len(clips)))
            samples = [self._read_clip(heard[i].path, *times[i]) for i in chosen]
            for width, indices in clip_buckets([len(row) for row in samples]):
                waveform = pad([samples[index] for index in indices], np.float32, width)
                lengths = np.array([len(samples[index]) for index in indices], dtype=np.int32)
                logits, frames = self._frame_logits(tf.constant(waveform), tf.constant(lengths))
                for index, rows, count in zip(indices, logits.numpy(), frames.numpy(), strict=True):
                    result[start + index] = rows[:count].copy()
        return result


def _batches(order: np.ndarray, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Runs of `order`, whose frames rise, each with at most `_FRAMES_AT_ONCE` padded frames."""
    start = 0
    with tqdm(total=len(order), desc="spell", unit="pair", disable=None) as bar:
        while start < len(order):
            size = max(1, _FRAMES_AT_ONCE // int(frames[start]))
            while size > 1 and size * int(frames[min(start + size, len(order)) - 1]) > (
                _FRAMES_AT_ONCE
            ):
                size //= 2
            yield order[start : start + size]
            bar.update(min(size, len(order) - start))
            start += size

