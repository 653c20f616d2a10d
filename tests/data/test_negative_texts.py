"""Negatives of a batch: near and random ones, never the keyword, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from adml.data.batches import BatchSource
from adml.data.negative_texts import draw_negatives
from adml.data.store import PcmStore
from adml.errors import DataError, UsageError
from adml.text.distance import phone_distance

TEXTS = [
    ("K", "AE1", "T"),
    ("B", "AE1", "T"),
    ("M", "UW1", "Z", "IH0", "K"),
    ("M", "UW1", "Z"),
    ("K", "AE0", "T"),  # sounds as the first one does
]
NEW = {"negative_phonemes", "negative_lengths", "negative_classes"}


@pytest.fixture(scope="module")
def store(segments, tmp_path_factory):
    return PcmStore.build(segments.utterances, tmp_path_factory.mktemp("cache"))


def source_of(segments, store, spell, **options):
    defaults = {"keywords_per_batch": 6, "seed": 5, "min_utterances": 1}
    return BatchSource(segments, store, g2p=spell, **(defaults | options))


def test_nearest_first_and_never_the_keyword():
    seen = [set() for _ in TEXTS]
    for seed in range(30):
        places = draw_negatives(np.random.default_rng(seed), TEXTS, 3)
        assert places.shape == (5, 3)
        for row, chosen in enumerate(places.tolist()):
            distances = [phone_distance(TEXTS[row], text) for text in TEXTS]
            assert len(set(chosen)) == 3
            assert min(distances[place] for place in chosen) > 0
            assert distances[chosen[0]] == min(d for d in distances if d > 0)
            seen[row].update(chosen[1:])
    assert seen[2] == {0, 1, 4}  # every text but itself and the nearest comes at random


def test_too_few_different_texts():
    with pytest.raises(DataError, match="4 that sound unlike K AE1 T. Received: 3"):
        draw_negatives(np.random.default_rng(0), TEXTS, 4)
    with pytest.raises(DataError, match="Received: 0"):
        draw_negatives(np.random.default_rng(0), [TEXTS[0], TEXTS[4]], 1)


def test_batches_hold_other_texts_of_their_own(segments, store, spell):
    plain = source_of(segments, store, spell).batch(1, 0)
    source = source_of(segments, store, spell, negative_texts=2)
    batch = source.batch(1, 0)
    assert set(batch) == set(plain) | NEW
    for name, values in plain.items():
        np.testing.assert_array_equal(batch[name], values)
    longest = batch["phonemes"].shape[1]
    assert batch["negative_phonemes"].shape == (6, 2, longest)
    for keyword in range(6):
        for column in range(2):
            own = batch["negative_classes"][keyword, column]
            equal = (batch["phoneme_classes"] == own).all(1)
            assert equal.sum() == 1 and not equal[keyword]
            (place,) = np.flatnonzero(equal)
            assert batch["negative_lengths"][keyword, column] == batch["phoneme_lengths"][place]
            np.testing.assert_array_equal(
                batch["negative_phonemes"][keyword, column], batch["phonemes"][place]
            )
    assert all(batch[name].dtype == np.int32 for name in NEW)


def test_a_batch_is_a_function_of_seed_epoch_and_position(segments, store, spell):
    def drawn(epoch, position, **options):
        source = source_of(segments, store, spell, negative_texts=2, **options)
        return source.batch(epoch, position)["negative_phonemes"].tolist()

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(1, 1) and drawn(0, 1) != drawn(0, 1, seed=6)


def test_the_dataset_carries_them(segments, store, spell):
    source = source_of(segments, store, spell, negative_texts=1)
    (batch,) = list(source.dataset(1, 2))
    expected = source.batch(0, 1)
    assert set(batch) == set(expected)
    for name in NEW:
        np.testing.assert_array_equal(batch[name], expected[name])


def test_there_cannot_be_as_many_as_keywords(segments, store, spell):
    with pytest.raises(UsageError, match="negative_texts.*0 to 5"):
        source_of(segments, store, spell, negative_texts=6)
