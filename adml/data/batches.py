"""Batches of K keywords x M utterances: a pure function of (seed, epoch, position)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from adml.data.blocks import BlockDraw
from adml.data.cutting import Cutter
from adml.data.negative_texts import draw_negatives
from adml.data.sampling import KeywordDraw, build_keywords
from adml.data.segments import SegmentTable
from adml.data.store import PcmStore
from adml.errors import DataError, UsageError

if TYPE_CHECKING:
    import tensorflow as tf

    from adml.text.g2p import G2P

SAMPLES_MULTIPLE = 1600
"""Waveforms are padded to a multiple of this, so that few shapes occur."""

_PHONEMES_MULTIPLE = 4
_ROOM_S = 0.15
"""With a length window, padding and context may make a batch longer by this."""
_UTTERANCE, _MASKS, _NEGATIVES = 104, 105, 106
_SHAPES = {
    "waveform": ("float32", (None, None)),
    "waveform_lengths": ("int32", (None,)),
    "time_masks": ("int32", (None, None, 2)),
    "frequency_masks": ("int32", (None, None, 2)),
    "phonemes": ("int32", (None, None)),
    "phoneme_lengths": ("int32", (None,)),
    "phoneme_classes": ("int32", (None, None)),
    "text_ids": ("int32", (None,)),
    "keyword_labels": ("int32", (None,)),
}
_NEGATIVE_SHAPES = {
    "negative_phonemes": ("int32", (None, None, None)),
    "negative_lengths": ("int32", (None, None)),
    "negative_classes": ("int32", (None, None, None)),
}


class BatchSource:
    """Draw, cut and disturb batches of K keywords x M utterances (paper, section 4.1: 250 x 2).

    A batch is a dict of NumPy arrays, with B = K * M and utterance b of keyword b // M:
    waveform float32 [B, T] (zero padded), waveform_lengths int32 [B] in samples, time_masks and
    frequency_masks int32 [B, n, 2] (first, width), phonemes int32 [K, L] (0 = padding),
    phoneme_lengths int32 [K], phoneme_classes int32 [K, L] (-1 = padding), text_ids int32 [K]
    (equal for equal pronunciations, all different in a batch), keyword_labels int32 [K]
    (-1 = outside the classifier). With n negative texts also negative_phonemes int32 [K, n, L],
    negative_lengths int32 [K, n] and negative_classes int32 [K, n, L]: texts of the batch that
    the keyword's utterances do not say, the one that sounds nearest first (see `draw_negatives`).

    With blocks the B waveforms are blocks of running speech, and there are S >= B utterances in
    them, each with a text of its own: span_recordings, span_starts, span_frames int32 [S] (which
    waveform, first frame, number of frames; in the order of the waveforms), and K is S.

    Args:
        segments, store: what is spoken where, and the decoded audio.
        g2p: texts to phonemes.
        keywords_per_batch, utterances_per_keyword: K and M.
        seed: the same seed gives the same batches.
        min_utterances: keywords with fewer segments are left out; with 1, a keyword with fewer
            than M segments shows the same ones again, cut and disturbed anew.
        neighbour_fraction: share of a batch that are phonetic near neighbours of the others.
        length_window: number of neighbouring batches whose keywords are dealt to them by length;
            1 leaves the random order.
        keyword_classes: classes of the keyword classifier, most frequent first; None for all.
        cutter: how a segment becomes a waveform; the default `Cutter()` where None.
        negative_texts: n, below K; 0: no negatives are drawn.
        blocks: what `BlockDraw` takes by name; None: the waveforms are segments alone.
        share: (i, n): of every batch make the keywords of worker i of n alone, as they stand in
            the whole batch.

    Raises:
        UsageError: an argument is out of range; the message names it.
        DataError: no keyword, fewer than K keywords, or a single class is left.
    """

    def __init__(
        self,
        segments: SegmentTable,
        store: PcmStore,
        *,
        g2p: G2P,
        keywords_per_batch: int = 250,
        utterances_per_keyword: int = 2,
        seed: int = 0,
        min_utterances: int = 2,
        neighbour_fraction: float = 0.0,
        length_window: int = 1,
        keyword_classes: int | None = None,
        cutter: Cutter | None = None,
        negative_texts: int = 0,
        blocks: Mapping[str, float] | None = None,
        share: tuple[int, int] = (0, 1),
    ):
        _check(
            keywords_per_batch=(keywords_per_batch, 1, None),
            utterances_per_keyword=(utterances_per_keyword, 1, None),
            seed=(seed, 0, None),
            min_utterances=(min_utterances, 1, utterances_per_keyword),
            neighbour_fraction=(neighbour_fraction, 0, 1 - 1 / max(1, keywords_per_batch)),
            length_window=(length_window, 1, None),
            keyword_classes=(2 if keyword_classes is None else keyword_classes, 2, None),
            negative_texts=(negative_texts, 0, keywords_per_batch - 1),
            share=(share[0], 0, share[1] - 1),
        )
        self.segments, self.store, self.seed = segments, store, seed
        self.cutter = cutter or Cutter()
        self.keywords = build_keywords(segments, store, g2p, min_utterances=min_utterances)
        if len(self.keywords) < max(2, keywords_per_batch):
            raise DataError(
                f"There are too few keywords for a batch. Expected: {keywords_per_batch} and at "
                f"least 2. Received: {len(self.keywords)} with {min_utterances} or more segments. "
                f"{'Take smaller batches or' if keywords_per_batch > 2 else 'Give'} more speech."
            )
        self.length_window, self.negative_texts = length_window, negative_texts
        edges = np.linspace(0, keywords_per_batch, share[1] + 1).round().astype(int)
        first, last = edges[share[0] : share[0] + 2].tolist()
        self._own = slice(first, last)
        self._places = range(first * utterances_per_keyword, last * utterances_per_keyword)
        self.num_classes = min(keyword_classes or len(self.keywords), len(self.keywords))
        self._draw = KeywordDraw(
            self.keywords,
            segments.speaker,
            keywords_per_batch=keywords_per_batch,
            utterances_per_keyword=utterances_per_keyword,
            neighbour_fraction=neighbour_fraction,
            seed=seed,
            length_window=length_window,
            seconds=segments.end_s - segments.start_s,
        )
        self._codes = np.array(
            [store.code(path) if path in store else -1 for path in segments.utterances]
        )
        self._blocks = None
        if blocks is not None:
            self._blocks = BlockDraw(segments, store, self.keywords, self.cutter, **blocks)

    @property
    def num_keywords(self) -> int:
        """Different pronunciations that are drawn from."""
        return len(self.keywords)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that is drawn from: all spellings of all keywords."""
        drawn = np.unique(self.segments.text[self.keywords.segments])
        return tuple(self.segments.texts[text] for text in drawn.tolist())

    @property
    def batches_per_epoch(self) -> int:
        """Batches in one pass over the keywords."""
        return self._draw.batches_per_epoch

    def batch(self, epoch: int, position: int) -> dict[str, np.ndarray]:
        """Batch number `position` of an epoch; the same arguments give the same arrays.

        Raises:
            UsageError: the epoch is negative or has no such position.
        """
        _check(epoch=(epoch, 0, None), position=(position, 0, self.batches_per_epoch - 1))
        numbers = self._draw.draw_keywords(epoch, position)
        rows = self._draw.draw_segments(epoch, position, numbers)
        if self._blocks is not None:
            return self._in_blocks(epoch, position, rows)
        text = self._text(numbers)
        if self.negative_texts:
            rng = np.random.default_rng([_NEGATIVES, self.seed, epoch, position])
            symbols = [self.keywords.symbols[number] for number in numbers]
            text |= _negatives(text, draw_negatives(rng, symbols, self.negative_texts))
        text = {name: value[self._own] for name, value in text.items()}
        return self._audio(epoch, position, rows) | text

    def _audio(self, epoch: int, position: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        table, limit_s, waveforms = self.segments, self._limit_s(rows), []
        for rng, row, code in self._drawn(epoch, position, rows):
            start_s, end_s = float(table.start_s[row]), float(table.end_s[row])
            cut = self.cutter.waveform(rng, self.store, code, start_s, end_s, limit_s)
            waveforms.append(cut)
        return self._heard(epoch, position, waveforms)

    def _in_blocks(self, epoch: int, position: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        drawn, limit_s = self._drawn(epoch, position, rows), self._limit_s(rows)
        blocks = [self._blocks.draw(rng, row, code, limit_s) for rng, row, code in drawn]
        spans = self._blocks.places(blocks)
        text = self._text(np.concatenate([block.keywords for block in blocks]))
        return self._heard(epoch, position, [block.waveform for block in blocks]) | spans | text

    def _drawn(self, epoch: int, position: int, rows: np.ndarray) -> Iterator[tuple]:
        """Generator, row and recording of each utterance that is made."""
        for place in self._places:
            rng = np.random.default_rng([_UTTERANCE, self.seed, epoch, position, place])
            row = int(rows[place])
            yield rng, row, int(self._codes[self.segments.utterance[row]])

    def _limit_s(self, rows: np.ndarray) -> float:
        """The longest that padding and context may make an utterance of a batch, in seconds."""
        if self.length_window == 1:
            return np.inf
        return float((self.segments.end_s[rows] - self.segments.start_s[rows]).max()) + _ROOM_S

    def _heard(self, epoch: int, position: int, waveforms: list) -> dict[str, np.ndarray]:
        lengths, masks = np.array([len(item) for item in waveforms], np.int32), []
        for place, length in zip(self._places, lengths, strict=True):
            rng = np.random.default_rng([_MASKS, self.seed, epoch, position, place])
            masks.append(self.cutter.masks(rng, length[np.newaxis]))
        return {
            "waveform": _padded(waveforms, SAMPLES_MULTIPLE, 0, np.float32),
            "waveform_lengths": lengths,
            "time_masks": np.concatenate([over_time for over_time, _ in masks]),
            "frequency_masks": np.concatenate([over_bins for _, over_bins in masks]),
        }

    def _text(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        ids = [self.keywords.ids[number] for number in numbers]
        classes = [np.frombuffer(self.keywords.classes[number], np.uint8) for number in numbers]
        return {
            "phonemes": _padded(ids, _PHONEMES_MULTIPLE, 0, np.int32),
            "phoneme_lengths": np.array([len(item) for item in ids], np.int32),
            "phoneme_classes": _padded(classes, _PHONEMES_MULTIPLE, -1, np.int32),
            "text_ids": numbers.astype(np.int32),
            "keyword_labels": np.where(numbers < self.num_classes, numbers, -1).astype(np.int32),
        }

    def dataset(self, start_step: int, stop_step: int, *, prefetch: int = 4) -> tf.data.Dataset:
        """Batches of steps `start_step` to `stop_step` - 1, in order, made in the background.

        Step s is batch s % batches_per_epoch of epoch s // batches_per_epoch, so that a run can be
        taken up at any step.

        Args:
            start_step, stop_step: range of steps.
            prefetch: batches made ahead; two are made at a time.

        Raises:
            UsageError: the range is negative or backwards.
        """
        import tensorflow as tf

        _check(start_step=(start_step, 0, None), stop_step=(stop_step, start_step, None))
        shapes = _SHAPES | (_NEGATIVE_SHAPES if self.negative_texts else {})
        shapes |= self._blocks.shapes if self._blocks else {}
        names = list(shapes)

        def make(step: int) -> list[np.ndarray]:
            batch = self.batch(*divmod(int(step), self.batches_per_epoch))
            return [batch[name] for name in names]

        def shaped(step: tf.Tensor) -> dict[str, tf.Tensor]:
            values = tf.numpy_function(make, [step], [shapes[name][0] for name in names])
            return {
                name: tf.ensure_shape(value, shapes[name][1])
                for name, value in zip(names, values, strict=True)
            }

        steps = tf.data.Dataset.range(start_step, stop_step)
        return steps.map(shaped, num_parallel_calls=2, deterministic=True).prefetch(prefetch)


def _negatives(text: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "negative_phonemes": text["phonemes"][places],
        "negative_lengths": text["phoneme_lengths"][places],
        "negative_classes": text["phoneme_classes"][places],
    }


def _padded(rows: list, multiple: int, fill: float, dtype: type) -> np.ndarray:
    longest = max(len(row) for row in rows)
    # zeros are lent by the system untouched, which np.full is not
    shape = (len(rows), -(-longest // multiple) * multiple)
    padded = np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def _check(**ranges: tuple[float, float, float | None]) -> None:
    for name, (value, low, high) in ranges.items():
        if value < low or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"{low:g} to {high:g}"
            raise UsageError(f"{name} is out of range. Expected: {bounds}. Received: {value}.")
