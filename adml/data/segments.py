"""Segments: runs of 1 to N neighbouring words with one text, the material keywords are made of."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adml.errors import DataError, UsageError

if TYPE_CHECKING:
    from adml.data.words import WordTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentTable:
    """Spoken segments, one row each; texts, recordings and speakers as numbers into tuples.

    `utterance` int32 [N] -> `utterances` (audio path); `start_s`, `end_s` float32 [N] seconds;
    `text` int32 [N] -> `texts`; `speaker` int32 [N] -> `speakers`; `num_words` int8 [N].
    """

    utterance: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    text: np.ndarray
    speaker: np.ndarray
    num_words: np.ndarray
    texts: tuple[str, ...]
    utterances: tuple[str, ...]
    speakers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.utterance)

    @property
    def data_hash(self) -> str:
        """SHA-256 of the contents, with paths relative to their common folder (so that the same
        data in another place has the same hash)."""
        digest = hashlib.sha256()
        for column in (
            self.utterance,
            self.start_s,
            self.end_s,
            self.text,
            self.speaker,
            self.num_words,
        ):
            digest.update(np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")))
        common = os.path.commonpath(self.utterances) if self.utterances else ""
        relative = [os.path.relpath(path, common or ".") for path in self.utterances]
        for names in (self.texts, relative, self.speakers):
            digest.update("\n".join(names).encode() + b"\0")
        return digest.hexdigest()

    def subset(self, mask: np.ndarray) -> SegmentTable:
        """The rows where `mask` [N] is true (or at the row numbers it holds), in table order; the
        tuples hold only what these rows use."""
        utterance, utterances = _used(self.utterance[mask], self.utterances)
        text, texts = _used(self.text[mask], self.texts)
        speaker, speakers = _used(self.speaker[mask], self.speakers)
        return SegmentTable(
            utterance,
            self.start_s[mask],
            self.end_s[mask],
            text,
            speaker,
            self.num_words[mask],
            texts,
            utterances,
            speakers,
        )


def _used(codes: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    used, inverse = np.unique(codes, return_inverse=True)
    return inverse.astype(np.int32), tuple(names[code] for code in used)


def build_segments(
    word_tables: WordTable | Sequence[WordTable],
    *,
    min_words: int = 1,
    max_words: int = 4,
    min_seconds: float = 0.3,
    max_seconds: float = 2.5,
    max_gap_seconds: float = 0.3,
) -> SegmentTable:
    """Make every (overlapping) run of `min_words` to `max_words` neighbouring words a segment.

    Words are neighbours if they follow each other in one recording by index (an unaligned word
    between them parts them) with at most `max_gap_seconds` between them.

    Args:
        word_tables: one or more word tables.
        min_words, max_words: words in a segment.
        min_seconds, max_seconds: length of a segment, both ends included.
        max_gap_seconds: longest pause between two neighbours.

    Returns:
        The segments, ordered by recording, start and number of words.

    Raises:
        UsageError: a range is empty or negative.
        DataError: no segment is left; says how many each filter removed.
    """
    tables = list(word_tables) if isinstance(word_tables, (list, tuple)) else [word_tables]
    if not (1 <= min_words <= max_words and 0 <= min_seconds <= max_seconds):
        raise UsageError(
            "A range of segments is empty. Expected: 1 <= min_words <= max_words and 0 <= "
            f"min_seconds <= max_seconds. Received: words {min_words} to {max_words}, seconds "
            f"{min_seconds} to {max_seconds}."
        )
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("path", "word", "speaker", "start_s", "end_s", "index")
    }
    order = np.lexsort((columns["start_s"], columns["path"]))
    columns = {name: column[order] for name, column in columns.items()}
    first, last, removed = _runs(columns, min_words, max_words, max_gap_seconds)
    seconds = columns["end_s"][last] - columns["start_s"][first]
    short, long = seconds < min_seconds - 1e-6, seconds > max_seconds + 1e-6
    removed |= {
        f"shorter than {min_seconds:g} s": int(short.sum()),
        f"longer than {max_seconds:g} s": int(long.sum()),
    }
    told = ", ".join(f"{count} {reason}" for reason, count in removed.items() if count)
    keep = ~(short | long)
    if not keep.any():
        raise DataError(
            f"No segments are left of {len(order)} words: {told or 'nothing was removed'}. "
            "Widen the range of words or seconds, or give more speech."
        )
    logger.info("%d segments of %d words; left out: %s", keep.sum(), len(order), told or "none")
    return _assemble(columns, first[keep], last[keep])


def _runs(
    columns: dict[str, np.ndarray], min_words: int, max_words: int, max_gap_seconds: float
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """First and last row of every run of neighbours, ordered, and the pairs that were parted."""
    path, index = columns["path"], columns["index"]
    same = path[1:] == path[:-1]
    follows = same & (index[1:] == index[:-1] + 1) & (index[:-1] >= 0)
    near = columns["start_s"][1:] - columns["end_s"][:-1] <= max_gap_seconds + 1e-6
    # joined[i] counts the joints before row i, so a run is whole if the count grows by its length
    joined = np.concatenate([[0], np.cumsum(follows & near)])
    firsts, lasts = [], []
    for words in range(min_words, max_words + 1):
        first = np.arange(max(0, len(path) - words + 1))
        last = first + words - 1
        whole = joined[last] - joined[first] == words - 1
        firsts.append(first[whole])
        lasts.append(last[whole])
    first, last = np.concatenate(firsts), np.concatenate(lasts)
    order = np.lexsort((last, first))
    parted = {
        "pairs with an unaligned word between": int((same & ~follows).sum()),
        f"pairs with a pause over {max_gap_seconds:g} s": int((follows & ~near).sum()),
    }
    return first[order], last[order], parted if max_words > 1 else {}


def _assemble(columns: dict[str, np.ndarray], first: np.ndarray, last: np.ndarray) -> SegmentTable:
    words = columns["word"].tolist()
    ends = zip(first.tolist(), last.tolist(), strict=True)
    spoken = [" ".join(words[start : end + 1]) for start, end in ends]
    texts, text = np.unique(np.array(spoken, dtype=object), return_inverse=True)
    utterances, utterance = np.unique(columns["path"][first], return_inverse=True)
    speakers, speaker = np.unique(columns["speaker"][first], return_inverse=True)
    num_words = np.array([spoken_text.count(" ") + 1 for spoken_text in spoken])
    return SegmentTable(
        utterance=utterance.astype(np.int32),
        start_s=columns["start_s"][first].astype(np.float32),
        end_s=columns["end_s"][last].astype(np.float32),
        text=text.astype(np.int32),
        speaker=speaker.astype(np.int32),
        num_words=np.minimum(num_words, 127).astype(np.int8),
        texts=tuple(texts.tolist()),
        utterances=tuple(utterances.tolist()),
        speakers=tuple(speakers.tolist()),
    )
