"""Who says what in a synthetic corpus: words, voices, what is held out, strings of words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from adml.errors import UsageError

ACCENTS = (
    "en-us", "en", "en-us", "en-gb-x-rp", "en-us", "en-gb-scotland", "en-us", "en-029",
    "en-us-nyc", "en-us", "en-gb-x-gbclan", "en-us", "en-gb-x-gbcwmd",
)  # fmt: skip
"""Taken in turn; about half of the voices are American."""

VARIANTS = (
    "f1", "m1", "f2", "m2", "f3", "m3", "f4", "m4", "f5", "m5", "Annie", "m6", "Andrea", "m7",
    "anika", "m8", "aunty", "adam", "belinda", "Alex", "grandma", "Andy", "linda", "Denis",
    "shelby", "Diogo", "steph", "Gene", "zac", "Henrique", "Nguyen", "Jacky", "Lee", "Mario",
    "Michael", "Mike", "Reed", "antonio", "boris", "david", "ed", "edward", "gustave", "iven",
    "john", "klatt3", "klatt4", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul",
    "pedro", "quincy", "rob", "robert", "sandro", "travis", "victor", "ian", "Hugo", "benjamin",
    "mike2", "klatt5", "klatt6", "Gene2", "edward2", "iven2", "iven3", "iven4", "steph2", "steph3",
)  # fmt: skip
"""Voices that can be understood, the most different first; whispers and robots are left out."""

SPEAKERS_OF_A_STRING = 2


@dataclass(frozen=True)
class Voice:
    """A speaker: `accent` and `variant` of the synthesiser, speaking `rate`, `pitch` and range."""

    name: str
    accent: str
    variant: str
    rate: int
    pitch: int
    pitch_range: int
    held_out: bool


@dataclass(frozen=True)
class String:
    """The words of one recording; `tied` where a word follows its neighbour within a phrase."""

    words: tuple[str, ...]
    tied: tuple[bool, ...]


@dataclass(frozen=True)
class Plan:
    """A corpus before it is spoken.

    `strings[v]` are the recordings of voice v; `held_out[v]` says whether the voice is kept from
    training; `settings` is what the plan was made from and the words that it holds out.
    """

    seed: int
    strings: tuple[tuple[String, ...], ...]
    held_out: tuple[bool, ...]
    settings: dict

    def pick_voices(self, accents: Collection[str], variants: Collection[str]) -> list[Voice]:
        """Choose as many different voices as planned from what the synthesiser has.

        Raises:
            UsageError: it has too few.
        """
        accents = [accent for accent in ACCENTS if accent in accents]
        variants = [variant for variant in VARIANTS if variant in variants]
        different = len(set(accents)) * len(variants)
        count = len(self.held_out)
        if count > different:
            raise UsageError(
                f"Too many voices. Expected: at most {different}. Received: {count}. "
                "Ask for fewer voices."
            )
        rng, chosen = np.random.default_rng([self.seed, count]), {}
        shift = 0
        while len(chosen) < count:
            for place, variant in enumerate(variants):
                accent = accents[(place + shift) % len(accents)]
                chosen.setdefault((accent, variant))
            shift += 1
        voices = []
        for number, (accent, variant) in enumerate(list(chosen)[:count]):
            rate, pitch, pitch_range = (
                int(rng.integers(*span)) for span in ((120, 181), (30, 71), (30, 71))
            )
            name = f"v{number:03d}-{accent}-{variant}"
            voices.append(
                Voice(name, accent, variant, rate, pitch, pitch_range, self.held_out[number])
            )
        return voices


def make_plan(
    words: Sequence[str],
    phrases: Sequence[str],
    *,
    num_words: int,
    num_voices: int,
    seed: int,
    held_out_words: int,
    held_out_voices: int,
    voices_per_word: int,
    test_voices_per_word: int,
    items_per_string: int,
) -> Plan:
    """Choose words and voices, hold some out, and deal the words out to the voices.

    A phrase is used where all its words are, and trained where none of them is held out. Words of
    phrases are chosen first. Every string is said by two voices, so that neighbouring words are
    texts with two recordings.

    Args:
        words: the vocabulary.
        phrases: made of its words.
        num_words, num_voices, seed, held_out_words, held_out_voices, voices_per_word,
            test_voices_per_word, items_per_string: see `adml.data.synthetic.make_corpus`.

    Raises:
        UsageError: a count does not fit.
    """
    settings = {
        "num_words": num_words, "num_voices": num_voices, "seed": seed,
        "num_held_out_words": held_out_words, "num_held_out_voices": held_out_voices,
        "voices_per_word": voices_per_word, "test_voices_per_word": test_voices_per_word,
        "items_per_string": items_per_string,
    }  # fmt: skip
    _check("num_words", num_words, 2, len(words))
    _check("num_voices", num_voices, 2)
    _check("held_out_words", held_out_words, 0, num_words - 1)
    _check("held_out_voices", held_out_voices, 1, num_voices - 1)
    for name in ("voices_per_word", "test_voices_per_word", "items_per_string"):
        _check(name, settings[name], 1)
    _check("seed", seed, 0)
    rng = np.random.default_rng(seed)
    in_phrases = list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))
    others = sorted(set(words) - set(in_phrases))
    chosen = [*in_phrases, *(others[place] for place in rng.permutation(len(others)))][:num_words]
    kept_back = {chosen[place] for place in rng.choice(num_words, held_out_words, replace=False)}
    items = [*chosen, *(phrase for phrase in phrases if set(phrase.split()) <= set(chosen))]
    trained = [item for item in items if not set(item.split()) & kept_back]
    voices = rng.permutation(num_voices)
    tested = set(voices[:held_out_voices].tolist())
    strings: list[list[String]] = [[] for _ in range(num_voices)]
    _deal(rng, trained, voices[held_out_voices:], voices_per_word, items_per_string, strings)
    _deal(rng, items, voices[:held_out_voices], test_voices_per_word, items_per_string, strings)
    settings["held_out_words"] = sorted(kept_back)
    return Plan(
        seed,
        tuple(tuple(own) for own in strings),
        tuple(number in tested for number in range(num_voices)),
        settings,
    )


def _check(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least or (most is not None and value > most):
        expected = f"{least} or more" if most is None else f"{least} to {most}"
        raise UsageError(f"{name} does not fit. Expected: {expected}. Received: {value}.")


def _deal(
    rng: np.random.Generator,
    items: Sequence[str],
    voices: Sequence[int],
    voices_per_item: int,
    items_per_string: int,
    strings: list[list[String]],
) -> None:
    """Give every item to `voices_per_item` different voices, each time among other neighbours.

    A round shuffles the items into strings for voices that no other round uses.
    """
    left = min(voices_per_item, len(voices))
    rounds = -(-left // SPEAKERS_OF_A_STRING)
    for number in range(rounds):
        group = voices[number::rounds]
        speakers = min(SPEAKERS_OF_A_STRING, left)
        left -= speakers
        order = rng.permutation(len(items))
        turn = 0
        for start in range(0, len(items), items_per_string):
            string = _string([items[place] for place in order[start : start + items_per_string]])
            for _ in range(speakers):
                strings[group[turn % len(group)]].append(string)
                turn += 1


def _string(items: Sequence[str]) -> String:
    words = [(word, place > 0) for item in items for place, word in enumerate(item.split())]
    return String(tuple(word for word, _ in words), tuple(tied for _, tied in words))
