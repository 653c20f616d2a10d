import numpy as np
import pytest

from adml.data.trial_list import TrialList
from adml.data.trials import classification, wsj_style
from adml.errors import DataError, NumericError
from adml.evaluation.clips import cut_times, embed_clips
from adml.evaluation.confusions import (
    count_confusions,
    mean_word_accuracy,
    top_confusions,
    worst_words,
)
from adml.evaluation.suites import evaluate_trials
from adml.evaluation.texts import embed_texts, unseen_texts


@pytest.fixture
def oracle(toys):
    return toys.Oracle(("alpha", "beta", "gamma"))


def test_trials_by_hand(toys, oracle):
    """Of 18 trials, 5 of 6 positives and 1 of 12 negatives score 1, all others 0."""
    result = evaluate_trials(oracle, toys.trials(), toys.read, toys.g2p, resamples=100)
    assert oracle.audio_items == 6 and oracle.text_items == 3
    metrics = result.metrics["all"]
    recall, precision = 5 / 6, 5 / 6
    expected = recall * precision + (1 - recall) * 6 / 18
    assert metrics["average_precision"]["value"] == pytest.approx(expected)
    assert metrics["chance_average_precision"]["value"] == pytest.approx(6 / 18)
    # thresholds: (FPR 1/12, FNR 1/6) is nearest
    assert metrics["equal_error_rate"]["value"] == pytest.approx((1 / 12 + 1 / 6) / 2)
    assert metrics["average_precision"]["low"] <= expected <= metrics["average_precision"]["high"]
    assert set(result.metrics) == {"all"}
    assert result.details["positives"] == 6 and result.details["trials_scored"] == 18
    assert result.labels.sum() == 6 and result.scores.shape == (18,)
    assert (result.name, result.sha256) == ("toy", "ab" * 32)


def test_seen_and_unseen_words_apart(toys, oracle):
    result = evaluate_trials(
        oracle, toys.trials(), toys.read, toys.g2p, training_texts=["alpha beta"], resamples=0
    )
    assert result.metrics["seen"]["average_precision"] == {
        "value": 1.0, "low": None, "high": None, "n": 12,
    }  # fmt: skip
    unseen = result.metrics["unseen"]
    assert unseen["average_precision"]["n"] == 6
    assert unseen["average_precision"]["value"] == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 6)
    for part in ("seen", "unseen"):  # the split keeps the share of positives
        assert result.metrics[part]["chance_average_precision"]["value"] == pytest.approx(1 / 3)


def test_unseen_means_in_no_training_text_as_whole_words(toys):
    texts = ["ate", "alpha", "beta gamma", "gamma beta", "alpha gamma", "unknown"]
    training = ["eight", "alpha beta gamma", "nothing known"]
    unseen = unseen_texts(texts, training, toys.g2p)
    assert unseen.tolist() == [False, False, False, True, True, True]
    # stress does not make a text unseen, a part of a word does not make it seen
    stressed = {"a": ["AA1"], "b": ["AA0"], "c": ["B", "AA1"]}.__getitem__
    assert unseen_texts(["b"], ["a"], stressed).tolist() == [False]
    assert unseen_texts(["a"], ["c"], stressed).tolist() == [True]
    # nor do the places of word boundaries, which the text encoder does not see
    words = {"nitrate": "N AY1 T R EY2 T", "night": "N AY1 T", "knight": "N AY1 T",
             "rate": "R EY1 T", "eight": "EY1 T"}  # fmt: skip

    def spell(text):
        symbols = " | ".join(words[word] for word in text.split()).split()
        return [" " if symbol == "|" else symbol for symbol in symbols]

    texts = ["night rate", "knight rate", "nitrate", "rate", "rate night", "eight"]
    assert unseen_texts(texts, ["nitrate"], spell).tolist() == [False] * 3 + [True] * 3
    assert unseen_texts(texts, ["knight rate"], spell).tolist() == [False] * 4 + [True] * 2


def test_equal_pronunciations_are_embedded_once(toys):
    oracle = toys.Oracle(("ate",))
    rows, kept, problems = embed_texts(oracle, ["ate", "eight", "ate"], toys.g2p)
    assert oracle.text_items == 1 and rows.shape == (3, 6) and kept.tolist() == [0, 1, 2]
    assert problems == []


def test_bad_inputs_are_set_aside_counted_and_named(toys, oracle, caplog):
    trials = toys.trials()
    clips = list(trials.clips)
    clips[1] = toys.Clip("bad.wav", 2.0, 3.0, "alpha", "speaker1")
    result = evaluate_trials(
        oracle, toys.trials(clips=clips), toys.read, toys.g2p, resamples=0
    )  # fmt: skip
    details = result.details
    assert (details["clips"], details["clips_set_aside"]) == (6, 1)
    assert (details["trials"], details["trials_scored"]) == (18, 15)
    assert details["set_aside"][0]["item"] == "bad.wav (2.0 s to 3.0 s)"
    assert "cannot be decoded" in details["set_aside"][0]["reason"]
    assert "1 of 6 clips set aside" in caplog.text
    strange = evaluate_trials(
        oracle, toys.trials(texts=("alpha", "beta", "zzz")), toys.read, toys.g2p, resamples=0
    )
    assert strange.details["texts_set_aside"] == 1 and strange.details["trials_scored"] == 12


def test_nothing_usable_is_an_error(toys, oracle):
    bad = [toys.Clip("bad.wav", 0.0, 1.0, "alpha", "a")] * 6
    with pytest.raises(DataError, match=r"None of the 6 clips can be read.*bad.wav"):
        evaluate_trials(oracle, toys.trials(clips=bad), toys.read, toys.g2p)
    with pytest.raises(DataError, match="None of the 3 texts has a pronunciation"):
        evaluate_trials(oracle, toys.trials(texts=("x", "y", "z")), toys.read, toys.g2p)
    with pytest.raises(DataError, match="no clips"):
        embed_clips(oracle, [], toys.read)
    empty = toys.trials(
        pair_label=np.empty(0), pair_clip=np.empty(0, int), pair_text=np.empty(0, int)
    )
    with pytest.raises(DataError, match="'toy' is empty"):
        evaluate_trials(oracle, empty, toys.read, toys.g2p)


def test_another_list_than_expected_is_an_error(toys, oracle):
    trials = TrialList("toy", "pairs", toys.trials().clips, ("alpha", "beta"), [0], [0], [1])
    with pytest.raises(DataError, match=rf"not the expected one.*Received: {trials.sha256}"):
        evaluate_trials(oracle, trials, toys.read, toys.g2p, expected_sha256="cd" * 32)


def test_margin_reaches_the_reader_except_for_whole_files(toys, oracle):
    spans = []

    def read(path, start_s, end_s):
        spans.append((start_s, end_s))
        return toys.read(path, start_s, end_s)

    clips = [
        toys.Clip("0.wav", 0.05, 0.5, "alpha", "a"),
        toys.Clip("1.wav", 0.0, np.inf, "beta", "b"),
    ]
    embed_clips(oracle, clips, read, margin_ms=100)
    assert spans == [(0.0, pytest.approx(0.6)), (0.0, np.inf)]
    assert cut_times(1.0, 2.0, 0.0) == (1.0, 2.0)


def test_classification_by_hand(toys, oracle):
    result = evaluate_trials(oracle, toys.choices(), toys.read, toys.g2p, resamples=200)
    assert result.confusions.tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
    metrics = result.metrics["all"]
    assert metrics["accuracy"]["value"] == pytest.approx(5 / 6)
    assert metrics["accuracy"]["low"] <= 5 / 6 <= metrics["accuracy"]["high"]
    assert metrics["mean_word_accuracy"]["value"] == pytest.approx(5 / 6)
    assert metrics["chance_accuracy"]["value"] == pytest.approx(1 / 3)
    worst = result.details["worst_words"][0]
    assert worst == {"word": "gamma", "accuracy": 0.5, "n": 2, "taken_for": "alpha"}
    assert result.details["confusions"] == [{"word": "gamma", "taken_for": "alpha", "n": 1}]


def test_classification_refuses_bad_lists(toys, oracle):
    with pytest.raises(DataError, match="two words or more"):
        evaluate_trials(oracle, toys.choices(texts=("alpha",)), toys.read, toys.g2p)
    with pytest.raises(DataError, match="'gamma' is not among the 2 words"):
        evaluate_trials(oracle, toys.choices(texts=("alpha", "beta")), toys.read, toys.g2p)


def test_another_score_replaces_the_cosine(toys, oracle):
    def truth(test, clips, texts):
        return np.array(
            [test.clips[c].text == test.texts[t] for c, t in zip(clips, texts, strict=True)], float
        )

    trials = toys.trials()
    result = evaluate_trials(oracle, trials, toys.read, toys.g2p, score=truth, resamples=0)
    assert result.metrics["all"]["average_precision"]["value"] == 1.0
    choice = evaluate_trials(oracle, toys.choices(), toys.read, toys.g2p, score=truth, resamples=0)
    assert choice.metrics["all"]["accuracy"]["value"] == 1.0
    with pytest.raises(NumericError, match="1 not finite"):
        evaluate_trials(
            oracle, trials, toys.read, toys.g2p,
            score=lambda test, clips, texts: np.where(np.arange(len(clips)), 1.0, np.nan),
        )  # fmt: skip


def test_real_lists_with_real_towers(toys, embedder):
    """The suites read what the builders of trial lists write, and a random model is at chance."""
    clips = [
        toys.Clip(f"{n}.wav", 0.0, 0.4, word, f"speaker{n % 3}")
        for n, word in enumerate(("alpha", "beta", "gamma") * 4)
    ]

    def read(path, start_s, end_s):
        generator = np.random.default_rng(int(path[:-4]))
        return generator.normal(size=int(16_000 * (end_s - start_s))).astype(np.float32)

    (trials,) = wsj_style(clips, negatives_per_positive=2, g2p=toys.g2p)
    result = evaluate_trials(
        embedder, trials, read, toys.g2p, resamples=20, expected_sha256=trials.sha256
    )
    assert result.metrics["all"]["chance_average_precision"]["value"] == pytest.approx(1 / 3)
    assert len(result.sha256) == 64
    choice = evaluate_trials(embedder, classification(clips), read, toys.g2p, resamples=20)
    assert choice.confusions.sum() == 12


def test_confusion_tables_by_hand():
    counts = count_confusions(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 0, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [2, 1, 0], [0, 0, 0]]
    assert mean_word_accuracy(counts) == pytest.approx((1 / 2 + 1 / 3) / 2)
    words = ("a", "b", "c")
    assert [row["word"] for row in worst_words(counts, words, 5)] == ["b", "a"]
    assert [row["n"] for row in top_confusions(counts, words, 5)] == [2, 1]
