"""Makes trial lists: words, phrases with random or similar negatives, choices, wake words."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from adml.data.negatives import (
    Pronounce,
    draw,
    equal_shares,
    near_texts,
    pronounceable,
    pronunciations,
    random_texts,
    require_choice,
    require_counts,
    require_pool,
    tell_shortage,
)  # fmt: skip
from adml.data.segments import SegmentTable
from adml.data.trial_list import Clip, TrialList
from adml.data.words import WordTable
from adml.errors import DataError

logger = logging.getLogger(__name__)


def clips_of(
    words: WordTable,
    *,
    root: str | Path | None = None,
    min_seconds: float = 0.0,
    group: str = "text",
    whole_file: bool = False,
) -> list[Clip]:
    """Make a clip of every row of a word table.

    Args:
        words: from `read_words` or `read_clips`; rows without a text are left out.
        root: the clips' paths are relative to this folder, which makes a list's hash independent
            of the machine; None keeps them as they are.
        min_seconds: leave out shorter rows.
        group: what a bootstrap draws: "text", or "speaker" (the recording where it is unknown).
        whole_file: the clip is the whole recording, not the row's times.

    Raises:
        DataError: no clip is left.
        UsageError: `group` is neither.
    """
    require_choice("group", group, ("text", "speaker"))
    clips = []
    for path, text, speaker, start, end in zip(
        words.path, words.word, words.speaker, words.start_s, words.end_s, strict=True
    ):
        if end - start < min_seconds - 1e-6 or not text:
            continue
        path, span = _relative(str(path), root), _span(start, end)
        of = str(text) if group == "text" else str(speaker) or path
        clips.append(Clip(path, *((0.0, np.inf) if whole_file else span), str(text), of))
    if not clips:
        raise DataError(
            f"No clips are left of {len(words)} words. Expected: at least one with a text and of "
            f"{min_seconds:g} s or more. Lower the limit or give more speech."
        )
    return clips


def wsj_style(
    clips: Sequence[Clip],
    *,
    negatives_per_positive: int = 50,
    seed: int = 0,
    draws: int = 1,
    g2p: Pronounce | None = None,
    name: str = "words",
) -> tuple[TrialList, ...]:
    """Every clip against its own text, and against random other texts of the list.

    A negative's text sounds different from the clip's (stress ignored), and no negative stands
    twice in a list. Where fewer texts are there than asked for, all of them are used.

    Args:
        clips: one positive trial each; a clip whose text has no pronunciation is set aside.
        negatives_per_positive: random texts for each clip.
        seed: of the draw.
        draws: how many lists to make, each with its own negatives.
        g2p: text -> phonemes; `G2P()` where None.
        name: of the lists; the draw's number is appended where there are several.

    Returns:
        `draws` lists.

    Raises:
        DataError: no clips, or only one pronunciation among their texts.

    Source: paper, section 4.1 (word trials with 50 times as many negatives).
    """
    require_counts(negatives_per_positive=negatives_per_positive, draws=draws)
    clips, texts, sound = pronounceable(clips, g2p, name)
    sound_of_clip = sound[_codes((clip.text for clip in clips), texts)]
    settings = {"negatives_per_positive": negatives_per_positive, "seed": seed}
    lists = []
    for number in range(draws):
        rng = np.random.default_rng([seed, number])
        negatives = [
            draw(rng, np.flatnonzero(sound != own), negatives_per_positive)
            for own in sound_of_clip
        ]
        full_name = name if draws == 1 else f"{name}-{number + 1}"
        described = settings | {"draw": number}
        lists.append(_assemble(full_name, "wsj", clips, texts, negatives, described))
    tell_shortage(name, negatives_per_positive, negatives)
    return tuple(lists)


def phrase_trials(
    segments: SegmentTable,
    kind: str,
    *,
    num_positives: int = 3000,
    negatives_per_positive: int = 3,
    seed: int = 0,
    pool: str = "all",
    g2p: Pronounce | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    workers: int = -1,
) -> TrialList:
    """Phrases, an equal share of each number of words, against other texts of the same speech.

    "easy": random texts with as many words. "hard": the texts of the pool, of any number of
    words, at the least phone distance above 0. Of texts that sound alike the pool holds one. The
    same seed draws the same clips. A number of words with too few segments leaves its share to
    the others.

    Args:
        segments: the phrases to draw clips from; their texts are the pool.
        kind: "easy" or "hard".
        num_positives: clips to draw, at most.
        negatives_per_positive: texts for each clip.
        seed: of the draw.
        pool: negatives come from "all" texts, or from those of the "drawn" clips.
        g2p: text -> phonemes; `G2P()` where None.
        root: paths in the list are relative to this folder.
        name: of the list; "phrases-" + kind where None.
        workers: threads for the search of near texts, -1 for all cores; the result is the same.

    Returns:
        The list; its bootstrap groups are the clips' texts.

    Raises:
        UsageError: another kind or pool, or a count below 1.
        DataError: no segments, or no other text to be a negative.
    """
    require_choice("kind", kind, ("easy", "hard"))
    require_choice("pool", pool, ("all", "drawn"))
    require_counts(negatives_per_positive=negatives_per_positive, num_positives=num_positives)
    name, rng = name or f"phrases-{kind}", np.random.default_rng(seed)
    sounds = pronunciations(segments.texts, g2p, name)
    usable = np.flatnonzero(np.isin(segments.texts, list(sounds))[segments.text])
    rows = equal_shares(rng, segments.num_words[usable], num_positives)
    clips = [_segment_clip(segments, row, root) for row in usable[rows]]
    among = {clip.text for clip in clips} if pool == "drawn" else set(sounds)
    pool_texts = sorted({sounds[text]: text for text in sorted(among, reverse=True)}.values())
    require_pool(name, clips, pool_texts)
    search = partial(near_texts, workers=workers) if kind == "hard" else partial(random_texts, rng)
    others = search(clips, pool_texts, sounds, negatives_per_positive)
    tell_shortage(name, negatives_per_positive, others)
    texts = sorted({clip.text for clip in clips}.union(*others))
    code = {text: index for index, text in enumerate(texts)}
    settings = {"kind": kind, "num_positives": num_positives, "seed": seed,
                "pool": len(pool_texts), "negatives_per_positive": negatives_per_positive,
                "data": segments.data_hash}  # fmt: skip
    negatives = [np.array([code[text] for text in row], int) for row in others]
    return _assemble(name, f"phrases-{kind}", clips, texts, negatives, settings)


def classification(
    clips: Sequence[Clip], words: Iterable[str] | None = None, *, name: str = "classification"
) -> TrialList:
    """Every clip against every one of the given words.

    Args:
        clips: those that say none of the words are left out, and counted in the log.
        words: the choices; None takes all texts of the clips but such as "_silence_".
        name: of the list.

    Raises:
        DataError: fewer than two words, or no clip that says one of them.
    """
    if words is None:
        words = {clip.text for clip in clips if not clip.text.startswith("_")}
    texts = sorted(set(words))
    if len(texts) < 2:
        raise DataError(f"A choice needs two words or more. Received: {texts} for {name!r}.")
    kept = [clip for clip in clips if clip.text in set(texts)]
    if not kept:
        raise DataError(
            f"No clips are left for {name!r}. Expected: clips that say one of its {len(texts)} "
            f"words. Received: {len(clips)} clips that say others."
        )
    if len(kept) < len(clips):
        logger.info("%s: %d clips say none of the words", name, len(clips) - len(kept))
    grid = np.arange(len(kept) * len(texts))
    pair_clip, pair_text = grid // len(texts), grid % len(texts)
    label = pair_text == _codes((clip.text for clip in kept), texts)[pair_clip]
    return TrialList(name, "classification", kept, texts, pair_clip, pair_text, label)


def wake_words(
    clips: Sequence[Clip],
    vocabulary: Iterable[str] = (),
    *,
    num_random: int = 50,
    seed: int = 0,
    g2p: Pronounce | None = None,
    name: str = "wake-words",
) -> TrialList:
    """Every clip against its wake word, the other wake words, and random texts of a vocabulary.

    Args:
        clips: recordings of wake words; one whose text has no pronunciation is set aside.
        vocabulary: texts to draw from; such as sound like the clip's are not drawn for it.
        num_random: texts drawn for each clip.
        seed: of the draw.
        g2p: text -> phonemes; `G2P()` where None.
        name: of the list.

    Raises:
        DataError: no clips, or only one pronunciation among wake words and vocabulary.
    """
    vocabulary = list(vocabulary)
    clips, texts, sound = pronounceable(clips, g2p, name, vocabulary)
    spoken = np.isin(texts, [clip.text for clip in clips])
    rng = np.random.default_rng(seed)
    own = sound[_codes((clip.text for clip in clips), texts)]
    random = [draw(rng, np.flatnonzero((sound != of) & ~spoken), num_random) for of in own]
    if vocabulary:
        tell_shortage(name, num_random, random)
    negatives = [
        np.concatenate([np.flatnonzero((sound != of) & spoken), row])
        for of, row in zip(own, random, strict=True)
    ]
    settings = {"num_random": num_random, "seed": seed}
    return _assemble(name, "wake-words", clips, texts, negatives, settings)


def _relative(path: str, root: str | Path | None) -> str:
    return path if root is None else Path(os.path.relpath(path, root)).as_posix()


def _span(start_s: float, end_s: float) -> tuple[float, float]:
    """Seconds to a tenth of a millisecond, so that they print alike wherever they come from."""
    return round(float(start_s), 4), round(float(end_s), 4)


def _segment_clip(segments: SegmentTable, row: int, root: str | Path | None) -> Clip:
    path = _relative(segments.utterances[segments.utterance[row]], root)
    text = segments.texts[segments.text[row]]
    return Clip(path, *_span(segments.start_s[row], segments.end_s[row]), text, text)


def _codes(texts: Iterable[str], among: Sequence[str]) -> np.ndarray:
    code = {text: index for index, text in enumerate(among)}
    return np.array([code[text] for text in texts], np.int64)


def _assemble(
    name: str, protocol: str, clips: Sequence[Clip], texts: Sequence[str],
    negatives: Sequence[np.ndarray], settings: dict,
) -> TrialList:  # fmt: skip
    """For each clip its own text first, then its negatives."""
    own = _codes((clip.text for clip in clips), texts)
    counts = np.array([1 + len(row) for row in negatives])
    pair_text = np.concatenate([part for text, row in zip(own, negatives, strict=True)
                                for part in ([text], row)])  # fmt: skip
    label = np.zeros(counts.sum(), np.int8)
    label[np.cumsum(counts) - counts] = 1
    if label.all():
        raise DataError(
            f"The trial list {name!r} has no negatives. Expected: other texts with as many words. "
            "Give more speech or texts."
        )
    fewest, most = int(counts.min()) - 1, int(counts.max()) - 1
    logger.info("%s: %d clips, %d to %d negatives each, %d trials in all; said: %d texts",
                name, len(clips), fewest, most, len(label), len(Counter(own.tolist())))  # fmt: skip
    pair_clip = np.repeat(np.arange(len(clips)), counts)
    return TrialList(name, protocol, clips, texts, pair_clip, pair_text, label, settings)
