"""Trial lists: what stands in them, that the same call gives the same bytes, and bad files."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adml.data.segments import SegmentTable
from adml.data.trials import (
    Clip,
    TrialList,
    classification,
    clips_of,
    phrase_trials,
    wake_words,
    wsj_style,
)
from adml.data.words import WordTable, build_segments, read_words
from adml.errors import DataError, TextError, UsageError
from adml.text.phonemes import PHONES

SPELT = dict(zip("abcdefghijklmnopqrstuvwxyz", PHONES, strict=False))


def spell(text: str) -> list[str]:
    """A stand-in for G2P: one phone a letter; upper case sounds the same; digits cannot be said."""
    if any(character.isdigit() for character in text):
        raise TextError(f"{text!r} cannot be said")
    return [SPELT.get(letter, " ") for letter in text.lower()]


def clip(text: str, number: int = 0) -> Clip:
    return Clip(f"audio/{number}.wav", 0.5, 1.25, text, text)


def table(rows: list[tuple]) -> WordTable:
    """(path, word, speaker, start, end) rows as a word table."""
    path, word, speaker, start, end = (np.array(column) for column in zip(*rows, strict=True))
    index = np.arange(len(rows), dtype=np.int32)
    return WordTable(path, word, speaker, start.astype(float), end.astype(float), index,
                     np.zeros(len(rows), np.float32))  # fmt: skip


def segments(texts: list[str]) -> SegmentTable:
    count = len(texts)
    names = tuple(sorted(set(texts)))
    start = np.arange(count, dtype=np.float32)
    return SegmentTable(
        np.zeros(count, np.int32), start, start + 0.5,
        np.array([names.index(text) for text in texts], np.int32), np.zeros(count, np.int32),
        np.array([len(text.split()) for text in texts], np.int8), names, ("/s/a.wav",), ("x",),
    )  # fmt: skip


def pairs(trials: TrialList) -> list[tuple[str, str, int]]:
    """(what the clip says, the text it is scored against, label) of every trial."""
    said = [trials.clips[number].text for number in trials.pair_clip]
    asked = [trials.texts[number] for number in trials.pair_text]
    return list(zip(said, asked, trials.pair_label.tolist(), strict=True))


@pytest.fixture
def small() -> TrialList:
    clips = [clip("ab", 0), Clip("audio/1.wav", 0.0, math.inf, "it's", "s p")]
    texts, settings = ["ab", "it's"], {"seed": 3}
    return TrialList("n", "wsj", clips, texts, [0, 0, 1], [0, 1, 1], [1, 0, 1], settings)


def header(name='"x"', protocol='"wsj"', settings="{}") -> str:
    """The second line of a list, of values that are JSON or pretend to be."""
    return (
        f'# {{"name": {name}, "protocol": {protocol}, "settings": {settings}, '
        '"clips": 2, "texts": 3, "trials": 3}'
    )


class TestFile:
    def test_round_trip_keeps_everything(self, small, tmp_path):
        path = small.write(tmp_path / "deep" / "list.tsv")
        again = TrialList.read(path, expected_sha256=small.sha256)
        assert again.clips == small.clips and again.texts == small.texts
        assert (again.name, again.protocol, again.settings) == ("n", "wsj", {"seed": 3})
        assert pairs(again) == pairs(small)
        assert again.pair_clip.dtype == np.int32 and again.pair_label.dtype == np.int8
        assert path.read_bytes() == again.to_bytes()
        assert [entry.name for entry in path.parent.iterdir()] == ["list.tsv"]

    def test_file_tells_what_it_is(self, small):
        lines = small.to_bytes().decode().splitlines()
        assert lines[0] == "# adml-trials 1"
        assert '"trials": 3' in lines[1] and '"protocol": "wsj"' in lines[1]
        assert lines[3] == "audio/0.wav\t0.5\t1.25\tab\tab"
        assert lines[-3:] == ["0\t0\t1", "0\t1\t0", "1\t1\t1"]

    def test_counts(self, small):
        assert small.num_trials == 3 and small.num_positives == 2

    def test_hash_sees_a_label(self, small):
        other = TrialList("n", "wsj", small.clips, small.texts, [0, 0, 1], [0, 1, 1], [1, 1, 1],
                          {"seed": 3})  # fmt: skip
        assert other.sha256 != small.sha256
        message = f"Expected: sha256 {small.sha256}. Received: {other.sha256}"
        with pytest.raises(DataError, match=message):
            other.verify(small.sha256)
        small.verify(small.sha256.upper())

    @pytest.mark.parametrize(
        ("line", "text", "message"),
        [
            (1, "# something else", r"line 1\. Expected: '# adml-trials 1'"),
            (2, "# {}", r"line 2\. Expected: a comment with name"),
            (2, "# [", r"line 2\."),
            (2, "# " + "[" * 100_000, r"line 2\."),
            (2, header(settings='{"seed": NaN}'), r"line 2\."),
            (2, header(name="null"), r"line 2\."),
            (2, header(protocol="[]"), r"line 2\."),
            (3, "path\ttext", r"line 3\. Expected: the columns path, start_s"),
            (4, "a.wav\t0\tx\tab\tab", r"line 4\. Expected: path, start, end"),
            (5, "a.wav\t0\t1\tab", r"line 5\."),
            (10, "0\t1", r"line 10\. Expected: clip, text and label"),
            (11, "1\tone\t1", r"line 11\. Expected: clip, text and label.*'1\\tone\\t1'"),
        ],
    )
    def test_damage_is_told_with_its_line(self, small, tmp_path, line, text, message):
        lines = small.to_bytes().decode().split("\n")
        lines[line - 1] = text
        (tmp_path / "list.tsv").write_text("\n".join(lines))
        with pytest.raises(DataError, match=message):
            TrialList.read(tmp_path / "list.tsv")

    @pytest.mark.parametrize("kept", [0, 1, 3, 5, 8, 10])
    def test_cut_short(self, small, tmp_path, kept):
        lines = small.to_bytes().decode().split("\n")
        (tmp_path / "list.tsv").write_text("".join(line + "\n" for line in lines[:kept]))
        with pytest.raises(DataError, match=f"ends after line {kept}"):
            TrialList.read(tmp_path / "list.tsv")

    def test_more_than_told(self, small, tmp_path):
        (tmp_path / "list.tsv").write_bytes(small.to_bytes() + b"0\t0\t1\n")
        with pytest.raises(DataError, match=r"line 13\. Expected: the end of the file"):
            TrialList.read(tmp_path / "list.tsv")

    def test_no_file_and_no_text(self, tmp_path):
        with pytest.raises(DataError, match="Cannot read the trial list"):
            TrialList.read(tmp_path / "none.tsv")
        (tmp_path / "list.tsv").write_bytes(b"\xff\xfe")
        with pytest.raises(DataError, match="not text"):
            TrialList.read(tmp_path / "list.tsv")

    def test_place_that_cannot_be_written(self, small, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="Cannot write the trial list"):
            small.write(tmp_path / "file" / "list.tsv")

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (([0], [0, 1], [1]), "different lengths"),
            (([2], [0], [1]), r"trial 0 has the clip 2\. Expected: 0 to 1"),
            (([0, 0], [0, 9], [1, 0]), "trial 1 has the text 9"),
            (([0], [0], [2]), "the label 2"),
        ],
    )
    def test_inconsistent_columns(self, small, columns, message):
        with pytest.raises(DataError, match=message):
            TrialList("n", "wsj", small.clips, small.texts, *columns)

    @pytest.mark.parametrize(
        ("clips", "texts", "message"),
        [
            ([clip("a")], ["a", "a"], "twice"),
            ([clip("a\tb")], ["a"], "tab or line break"),
            ([Clip("x", 1.0, 1.0, "a", "a")], ["a"], "cut from 1.0 s to 1.0 s"),
            ([Clip("x", math.nan, 1.0, "a", "a")], ["a"], "cut from nan"),
        ],
    )
    def test_inconsistent_names(self, clips, texts, message):
        with pytest.raises(DataError, match=message):
            TrialList("n", "wsj", clips, texts, [], [], [])


class TestWords:
    CLIPS = [clip(text, n) for n, text in enumerate(["ab", "AB", "cd", "ef", "gh", "ab"])]

    def test_one_positive_and_different_sounding_negatives(self):
        (trials,) = wsj_style(self.CLIPS, negatives_per_positive=2, g2p=spell)
        found = pairs(trials)
        assert [label for _, _, label in found] == [1, 0, 0] * 6
        for said, text, label in found:
            assert (said == text) if label else (said.lower() != text.lower())
        assert len(set(zip(trials.pair_clip, trials.pair_text, strict=True))) == 18
        assert [c.group for c in trials.clips] == [c.text for c in self.CLIPS]

    def test_all_others_where_too_few(self):
        (trials,) = wsj_style(self.CLIPS, negatives_per_positive=50, g2p=spell)
        negatives = [sum(1 for c, y in zip(trials.pair_clip, trials.pair_label, strict=True)
                         if c == number and not y) for number in range(6)]  # fmt: skip
        assert negatives == [3, 3, 4, 4, 4, 3]

    def test_too_few_texts_are_told_once(self, caplog):
        wsj_style(self.CLIPS, negatives_per_positive=4, draws=3, g2p=spell, name="list")
        wsj_style(self.CLIPS, negatives_per_positive=3, g2p=spell)
        (told,) = [record.getMessage() for record in caplog.records]
        assert told.startswith("list: too few texts") and "3 of 6 clips" in told
        assert told.endswith("Expected: 4 each. Received: 3 to 4.")

    def test_draws_differ_and_repeat(self):
        first = wsj_style(self.CLIPS, negatives_per_positive=2, draws=3, seed=5, g2p=spell)
        again = wsj_style(self.CLIPS, negatives_per_positive=2, draws=3, seed=5, g2p=spell)
        assert [t.sha256 for t in first] == [t.sha256 for t in again]
        assert len({t.pair_text.tobytes() for t in first}) == 3
        assert [t.name for t in first] == ["words-1", "words-2", "words-3"]
        (other,) = wsj_style(self.CLIPS, negatives_per_positive=2, seed=6, g2p=spell)
        assert other.sha256 != first[0].sha256

    def test_text_without_pronunciation_is_set_aside(self, caplog):
        (trials,) = wsj_style([*self.CLIPS, clip("7")], g2p=spell)
        assert len(trials.clips) == 6 and "7" not in trials.texts
        assert "1 texts set aside" in caplog.text

    def test_bad_input(self):
        with pytest.raises(DataError, match="No words are left"):
            wsj_style([], g2p=spell)
        with pytest.raises(DataError, match="No words are left"):
            wsj_style([clip("7")], g2p=spell)
        with pytest.raises(DataError, match="all its texts sound alike.*'ab' only"):
            wsj_style([clip("ab"), clip("AB")], g2p=spell)
        with pytest.raises(UsageError, match="negatives_per_positive is too small"):
            wsj_style(self.CLIPS, negatives_per_positive=0, g2p=spell)

    def test_clips_of_words(self):
        words = table([("/s/a/1.wav", "ab", "x", 0.1, 0.6), ("/s/a/2.wav", "cd", "", 0.0, 0.4),
                       ("/s/a/3.wav", "", "z", 0.0, 2.0)])  # fmt: skip
        assert clips_of(words, root="/s") == [Clip("a/1.wav", 0.1, 0.6, "ab", "ab"),
                                              Clip("a/2.wav", 0.0, 0.4, "cd", "cd")]  # fmt: skip
        assert [c.text for c in clips_of(words, min_seconds=0.5)] == ["ab"]
        whole = clips_of(words, group="speaker", whole_file=True)
        assert [c.group for c in whole] == ["x", "/s/a/2.wav"]
        assert (whole[0].start_s, whole[0].end_s) == (0.0, math.inf)
        with pytest.raises(DataError, match="No clips are left of 3 words"):
            clips_of(words, min_seconds=9.0)
        with pytest.raises(UsageError, match="Unknown group"):
            clips_of(words, group="path")


class TestPhrases:
    TEXTS = list("abcdefgh") + [f"{a} {b}" for a in "abcd" for b in "efgh"] * 2

    def test_equal_shares_and_as_many_words(self):
        trials = phrase_trials(segments(self.TEXTS), "easy", num_positives=12, g2p=spell, root="/s")
        found = pairs(trials)
        assert [len(c.text.split()) for c in trials.clips] == [1] * 6 + [2] * 6
        assert [label for _, _, label in found] == [1, 0, 0, 0] * 12
        for said, text, label in found:
            assert len(said.split()) == len(text.split()) and (said == text) == bool(label)
        assert {c.path for c in trials.clips} == {"a.wav"}
        assert trials.protocol == "phrases-easy" and trials.name == "phrases-easy"
        assert len({(c.start_s) for c in trials.clips}) == 12

    def test_short_shares_go_to_the_others(self):
        trials = phrase_trials(segments(self.TEXTS), "easy", num_positives=30, g2p=spell)
        assert [len(c.text.split()) for c in trials.clips] == [1] * 8 + [2] * 22
        everything = phrase_trials(segments(self.TEXTS), "easy", num_positives=999, g2p=spell)
        assert len(everything.clips) == 40

    def test_hard_negatives_are_the_nearest(self):
        texts = ["a b c d", "a b c e", "a b", "abcd", "abcdh", "h", "g h"]
        trials = phrase_trials(
            segments(texts), "hard", num_positives=7, negatives_per_positive=2, g2p=spell
        )
        near = {}
        for said, text, label in pairs(trials):
            if not label:
                near.setdefault(said, []).append(text)
        # "abcd" sounds like "a b c d", so it is a negative of neither; 1/5 is nearer than 1/4.
        assert near["a b c d"] == near["abcd"] == ["abcdh", "a b c e"]
        assert near["abcdh"][0] == "a b c d"
        assert near["h"][0] == "g h"

    def test_same_clips_for_both_kinds_and_every_number_of_threads(self):
        table_ = segments(self.TEXTS)
        easy = phrase_trials(table_, "easy", num_positives=10, g2p=spell, seed=4)
        hard = phrase_trials(table_, "hard", num_positives=10, g2p=spell, seed=4, workers=1)
        more = phrase_trials(table_, "hard", num_positives=10, g2p=spell, seed=4, workers=2)
        assert easy.clips == hard.clips
        assert hard.sha256 == more.sha256 != easy.sha256
        other = phrase_trials(table_, "easy", num_positives=10, g2p=spell, seed=5)
        assert other.clips != easy.clips

    @pytest.mark.parametrize("kind", ["easy", "hard"])
    def test_too_few_texts_are_told_once(self, caplog, kind):
        few = segments(["a", "b", "c"])
        phrase_trials(few, kind, negatives_per_positive=2, g2p=spell, name="few")
        assert not caplog.records
        phrase_trials(few, kind, negatives_per_positive=9, g2p=spell, name="few")
        (told,) = [record.getMessage() for record in caplog.records]
        assert "3 of 3 clips" in told and told.endswith("Expected: 9 each. Received: 2 to 2.")

    def test_bad_input(self):
        with pytest.raises(UsageError, match="Expected: 'easy' or 'hard'. Received: 'mid'"):
            phrase_trials(segments(["a", "b"]), "mid", g2p=spell)
        with pytest.raises(UsageError, match="num_positives is too small"):
            phrase_trials(segments(["a", "b"]), "easy", num_positives=0, g2p=spell)
        with pytest.raises(DataError, match="all its texts sound alike"):
            phrase_trials(segments(["a", "A"]), "hard", g2p=spell)
        with pytest.raises(DataError, match="has no negatives"):
            phrase_trials(segments(["a", "b c"]), "easy", g2p=spell)
        with pytest.raises(DataError, match="No words are left"):
            phrase_trials(segments(["7"]), "easy", g2p=spell)


class TestChoices:
    def test_every_clip_against_every_word(self, caplog):
        caplog.set_level("INFO")
        clips = [clip("ab", 0), clip("cd", 1), clip("_silence_", 2)]
        trials = classification(clips)
        assert trials.texts == ("ab", "cd")
        assert pairs(trials) == [("ab", "ab", 1), ("ab", "cd", 0), ("cd", "ab", 0), ("cd", "cd", 1)]
        assert "1 clips say none" in caplog.text
        assert classification(clips, ["ab", "zz"]).num_trials == 2

    def test_bad_input(self):
        with pytest.raises(DataError, match="two words or more. Received: \\['ab'\\]"):
            classification([clip("ab"), clip("_silence_")])
        with pytest.raises(DataError, match="No clips are left"):
            classification([clip("ab")], ["cd", "ef"])

    def test_wake_words(self, caplog):
        clips = [clip("ab", 0), clip("cd", 1)]
        vocabulary = ["AB", "ef", "gh", "fg", "7"]
        trials = wake_words(clips, vocabulary, num_random=2, g2p=spell)
        found = pairs(trials)
        assert [label for _, _, label in found] == [1, 0, 0, 0] * 2
        assert found[0] == ("ab", "ab", 1) and found[1] == ("ab", "cd", 0)
        assert all(text in ("ef", "gh", "fg") for _, text, _ in found[2:4])
        assert trials.sha256 == wake_words(clips, vocabulary, num_random=2, g2p=spell).sha256
        caplog.clear()
        assert wake_words(clips, g2p=spell).num_trials == 4
        assert not caplog.records  # no random texts were asked for
        wake_words(clips, vocabulary[:-1], g2p=spell)
        (told,) = [record.getMessage() for record in caplog.records]
        assert told.endswith("Expected: 50 each. Received: 3 to 4.")
        with pytest.raises(DataError, match="sound alike"):
            wake_words([clip("ab")], ["AB"], g2p=spell)


def test_lists_of_real_speech(speech_root):
    root = speech_root / "librispeech_dev"
    words = read_words(root, words_file="mfa_words.tsv")
    (trials,) = wsj_style(clips_of(words, root=root, min_seconds=0.5), g2p=spell)
    assert trials.num_positives > 1900 and trials.num_trials == 51 * trials.num_positives
    assert not trials.clips[0].path.startswith("/")
    phrases = phrase_trials(build_segments(read_words(root, path_prefix="audio/1272")), "hard",
                            num_positives=40, root=root, g2p=spell)  # fmt: skip
    assert phrases.num_trials == 160
    assert sorted({len(c.text.split()) for c in phrases.clips}) == [1, 2, 3, 4]


def test_hard_negatives_from_the_drawn_clips_alone():
    table_ = segments(TestPhrases.TEXTS)
    drawn = phrase_trials(table_, "hard", num_positives=8, seed=1, g2p=spell, pool="drawn")
    assert set(drawn.texts) == {clip.text for clip in drawn.clips}
    every = phrase_trials(table_, "hard", num_positives=8, seed=1, g2p=spell, pool="all")
    assert every.clips == drawn.clips
    assert every.settings["pool"] > drawn.settings["pool"]
    with pytest.raises(UsageError, match="'all' or 'drawn'.*'some'"):
        phrase_trials(table_, "hard", g2p=spell, pool="some")
