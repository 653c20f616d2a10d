"""Retrieval against known ranks and counting in loops."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import DataError
from adml.metrics import retrieval
from adml.metrics.ranking import retrieval_ranks


def on_circle(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def test_ranks_by_hand():
    text = on_circle(0, 90, 180)
    audio = on_circle(10, 80, 100, 30)  # says 0, 1, 2, 1
    clips, texts = retrieval_ranks(audio, text, np.array([0, 1, 2, 1]))
    assert clips.tolist() == [1, 1, 2, 2]
    # text 1: the clip at 80 degrees is as near as the wrong one at 100; text 2: that one is first
    assert texts.tolist() == [1, 2, 1]
    assert retrieval(audio, text, [0, 1, 2, 1]) == {
        "audio_to_text_recall_1": 0.5,
        "audio_to_text_recall_5": 1.0,
        "text_to_audio_recall_1": pytest.approx(2 / 3),
        "text_to_audio_recall_5": 1.0,
    }


def test_ties_count_against():
    same = np.ones((8, 3))
    assert set(retrieval(same, same, np.arange(8)).values()) == {0.0}
    clips, texts = retrieval_ranks(same, same, np.arange(8))
    assert clips.tolist() == texts.tolist() == [8] * 8
    assert set(retrieval(same, same, np.zeros(8), np.zeros(8)).values()) == {1.0}


def test_texts_of_one_label_are_all_right():
    text = on_circle(0, 3, 90)
    clips, texts = retrieval_ranks(on_circle(1, 85), text, np.array(["a", "b"]), ["a", "a", "b"])
    assert clips.tolist() == [1, 1] and texts.tolist() == [1, 1, 1]


def test_ranks_are_those_of_loops(monkeypatch):
    generator = np.random.default_rng(2)
    monkeypatch.setattr("adml.metrics.ranking._ROWS_AT_ONCE", 7)
    text, labels = generator.normal(size=(9, 4)), np.concatenate([np.arange(9), [3] * 21])
    audio = text[labels] + generator.normal(size=(30, 4))

    def cosine(a, b):
        return sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))

    def rank(query, label, pool, pool_labels):
        scores = [cosine(query, row) for row in pool]
        best = max(s for s, other in zip(scores, pool_labels, strict=True) if other == label)
        pairs = zip(scores, pool_labels, strict=True)
        return 1 + sum(s >= best and other != label for s, other in pairs)

    clips, texts = retrieval_ranks(audio, text, labels)
    assert clips.tolist() == [
        rank(row, n, text, range(9)) for row, n in zip(audio, labels, strict=True)
    ]
    assert texts.tolist() == [rank(text[n], n, audio, labels) for n in range(9)]
    shares = retrieval(5 * audio, text, labels)
    assert shares["audio_to_text_recall_1"] == np.mean(clips == 1)
    assert shares["audio_to_text_recall_5"] == np.mean(clips <= 5)
    assert shares["text_to_audio_recall_5"] == np.mean(texts <= 5)


@pytest.mark.parametrize(
    ("audio", "text", "labels", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), [0], r"audio \[n, D\]"),
        (np.ones((0, 3)), np.ones((2, 3)), [], r"\(0, 3\)"),
        (np.ones((2, 3)), np.ones((2, 4)), [0, 1], "one width"),
        (np.ones((2, 3)), np.ones((2, 3)), [0, 5], "the label .*5"),
        (np.ones((1, 3)), np.ones((2, 3)), [0], "the label .*1"),
        (np.full((1, 3), np.inf), np.ones((1, 3)), [0], "finite"),
    ],
)
def test_what_cannot_be_found_is_named(audio, text, labels, message):
    with pytest.raises(DataError, match=message):
        retrieval(audio, text, np.array(labels, int))
