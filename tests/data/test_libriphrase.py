"""LibriPhrase: its files read strictly, and the three protocols' trials written out by hand."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from adml.data import libriphrase
from adml.data.libriphrase import libriphrase_trials, official_fault, trials_of
from adml.data.libriphrase_pairs import COLUMNS, Pair, read_pairs
from adml.data.trial_list import TrialList
from adml.errors import DataError, UsageError

HEADER = (
    "anchor,anchor_spk,anchor_text,anchor_dur,comparison,comparison_spk,comparison_text,"
    "comparison_dur,type,target,class\n"
)
ROWS = """\
a/1.wav,1,friend,0.5,b/1.wav,2,friend,0.6,diffspk_positive,1,1
a/1.wav,1,friend,0.5,b/2.wav,2,guard,0.6,diffspk_easyneg,0,1
a/1.wav,1,friend,0.5,b/3.wav,2,trend,0.6,diffspk_hardneg,0,1
a/4.wav,3,guard,0.5,b/2.wav,2,guard,0.6,diffspk_positive,1,1
a/4.wav,3,guard,0.5,a/1.wav,1,friend,0.6,diffspk_easyneg,0,1
a/4.wav,3,guard,0.5,b/5.wav,4,card,0.6,diffspk_hardneg,0,1
a/6.wav,5,the river,0.9,b/6.wav,2,the river,0.8,diffspk_positive,1,2
a/6.wav,5,the river,0.9,b/7.wav,2,town with,0.8,diffspk_easyneg,0,2
a/6.wav,5,the river,0.9,b/8.wav,2,the liver,0.8,diffspk_hardneg,0,2
a/9.wav,5,"the, liver",0.9,b/9.wav,2,"the, liver",0.8,diffspk_positive,1,2
a/9.wav,5,"the, liver",0.9,b/7.wav,2,town with,0.8,diffspk_easyneg,0,2
a/9.wav,5,"the, liver",0.9,a/6.wav,2,The  River,0.8,diffspk_hardneg,0,2
"""
EXPECTED = {
    ("csv", "easy"): """
b/1.wav friend, friend 1
b/2.wav guard, friend 0
b/2.wav guard, guard 1
a/1.wav friend, guard 0
b/6.wav the river, the river 1
b/7.wav town with, the river 0
b/9.wav the, liver, the, liver 1
b/7.wav town with, the, liver 0""",
    ("csv", "hard"): """
b/1.wav friend, friend 1
b/3.wav trend, friend 0
b/2.wav guard, guard 1
b/5.wav card, guard 0
b/6.wav the river, the river 1
b/8.wav the liver, the river 0
b/9.wav the, liver, the, liver 1
a/6.wav the river, the, liver 0""",
    ("phonmatchnet", "easy"): """
a/1.wav friend, friend 1
a/1.wav friend, guard 0
b/2.wav guard, guard 1
b/2.wav guard, friend 0
a/4.wav guard, guard 1
a/4.wav guard, friend 0
a/1.wav friend, friend 1
a/1.wav friend, guard 0
a/6.wav the river, the river 1
a/6.wav the river, town with 0
b/7.wav town with, town with 1
b/7.wav town with, the river 0
a/9.wav the, liver, the, liver 1
a/9.wav the, liver, town with 0
b/7.wav town with, town with 1
b/7.wav town with, the, liver 0""",
    ("mmkws", "hard"): """
a/1.wav friend, friend 1
b/1.wav friend, friend 1
a/1.wav friend, trend 0
b/3.wav trend, friend 0
a/4.wav guard, guard 1
b/2.wav guard, guard 1
a/4.wav guard, card 0
b/5.wav card, guard 0
a/6.wav the river, the river 1
b/6.wav the river, the river 1
a/6.wav the river, the liver 0
b/8.wav the liver, the river 0
a/9.wav the, liver, the, liver 1
b/9.wav the, liver, the, liver 1
a/9.wav the, liver, the river 0
a/6.wav the river, the, liver 0""",
}


@pytest.fixture
def write(tmp_path):
    """Writes a CSV file."""

    def make(text: str, name: str = "libriphrase_diffspk_all_1word.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


@pytest.fixture
def twelve(write):
    return read_pairs([write(HEADER + ROWS)])


def lines(trials: TrialList) -> str:
    """The list as lines "path said, text label"."""
    columns = zip(trials.pair_clip, trials.pair_text, trials.pair_label, strict=True)
    made = [(trials.clips[clip], trials.texts[text], label) for clip, text, label in columns]
    return "".join(f"\n{clip.path} {clip.text}, {text} {label}" for clip, text, label in made)


@pytest.mark.parametrize(("protocol", "subset"), EXPECTED)
def test_twelve_rows_by_hand(twelve, protocol, subset):
    trials = libriphrase_trials(twelve, protocol, subset, name="mini")
    assert lines(trials) == EXPECTED[protocol, subset]
    assert {(clip.start_s, clip.end_s) for clip in trials.clips} == {(0.0, float("inf"))}
    assert all(clip.group == clip.text for clip in trials.clips)
    assert (trials.name, trials.protocol) == ("mini", f"libriphrase-{protocol}-{subset}")
    assert trials.settings["rows"] == dict.fromkeys(twelve.counts, 4)


def test_columns_in_any_order_and_an_index_column_give_the_same_list(write, twelve):
    columns = ("", *reversed(COLUMNS))
    rows = list(csv.reader((HEADER + ROWS).splitlines()))
    turned = [[str(number), *reversed(row)] for number, row in enumerate(rows[1:])]
    path = write("", "turned.csv")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *turned])
    assert read_pairs([path]).rows == twelve.rows and not twelve.set_aside


def test_order_of_the_files_does_not_matter(write, tmp_path):
    header, *rows = (HEADER + ROWS).splitlines(keepends=True)
    one, two = write(header + "".join(rows[:6])), write(header + "".join(rows[6:]), "2word.csv")
    given = [read_pairs(paths) for paths in ([one, two], [two, one])]
    lists = [libriphrase_trials(pairs, "csv", "easy", name="a") for pairs in given]
    assert lists[0].sha256 == lists[1].sha256
    lists[0].write(tmp_path / "list.tsv")
    assert TrialList.read(tmp_path / "list.tsv").sha256 == lists[0].sha256
    assert list(lists[0].settings["files"]) == ["2word.csv", one.name]
    below = libriphrase_trials(given[0], "csv", "easy", name="a", folder="lp/audio")
    assert below.clips[0].path == "lp/audio/" + lists[0].clips[0].path
    with pytest.raises(UsageError, match="given once"):
        read_pairs([one, one])


@pytest.mark.parametrize("seed", range(3))
def test_random_rows_equal_a_loop(seed):
    draw = random.Random(seed)
    kinds = ["diffspk_positive", "diffspk_easyneg", "diffspk_hardneg"]
    rows = []
    for number in range(60):
        kind = draw.choice(kinds)
        other = f"text {number}" if kind == kinds[0] else f"other {number % 7}"
        rows.append(Pair(f"a{number % 9}", f"text {number}", f"c{number}", other, kind,
                         int(kind == kinds[0])))  # fmt: skip
    for subset, negative in (("easy", kinds[1]), ("hard", kinds[2])):
        one, four, both = [], [], []
        for a, a_text, c, c_text, kind, target in rows:
            if kind == negative:
                four += [(a, a_text, a_text, 1), (a, a_text, c_text, 0)]
                four += [(c, c_text, c_text, 1), (c, c_text, a_text, 0)]
            if kind in (kinds[0], negative):
                one += [(c, c_text, a_text, target)]
                both += [(a, a_text, c_text, target), (c, c_text, a_text, target)]
        assert list(trials_of(rows, "csv", subset)) == one
        assert list(trials_of(rows, "phonmatchnet", subset)) == four
        assert list(trials_of(rows, "mmkws", subset)) == both


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a/1.wav,1,friend,0.5,b/1.wav,2,friend,0.6,samespk_positive,1,1", "unknown type"),
        ("a/1.wav,1,friend,0.5,b/1.wav,2,friend,0.6,diffspk_positive,yes,1", "not 0 or 1"),
        ("a/1.wav,1,friend,0.5,b/1.wav,2,friend,0.6,diffspk_positive,0,1", "contradicts the type"),
        ("a/1.wav,1,friend,0.5,b/0.wav,2,fiend,0.6,diffspk_positive,1,1", "texts contradict"),
        ("a/1.wav,1,friend,0.5,b/0.wav,2,Friend,0.6,diffspk_easyneg,0,1", "texts contradict"),
        ("a/1.wav,1,friend,0.5,b/0.wav,2,,0.6,diffspk_easyneg,0,1", "no text"),
        ("/a/1.wav,1,friend,0.5,b/0.wav,2,cow,0.6,diffspk_easyneg,0,1", "leaves the folder"),
        ("a/1.wav,1,friend,0.5,b/../../0.wav,2,cow,0.6,diffspk_easyneg,0,1", "leaves the folder"),
        ("a/1.wav,1,friend,0.5,b/2.wav,2,cow,0.6,diffspk_easyneg,0,1", "something else in an"),
        ("a/1.wav,1,friend,0.5,b/2.wav", "wrong number of fields: 5 of 11"),
    ],
)
def test_odd_rows_are_set_aside_and_told(write, twelve, caplog, row, reason):
    path = write(f"{HEADER}{ROWS}{row}\n")
    pairs = read_pairs([path])
    assert pairs.rows == twelve.rows and pairs.set_aside == 1
    assert f"{path}: 1 rows set aside" in caplog.text and "line 14" in caplog.text
    assert reason in caplog.text


def test_missing_recordings_are_set_aside(write, tmp_path, caplog):
    for name in ("a/1.wav", "b/1.wav", "b/2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    too_long = ROWS.splitlines()[0].replace("b/1.wav", "b" * 300)
    assert "bbb" in too_long
    pairs = read_pairs([write(f"{HEADER}{ROWS}{too_long}\n")], root=tmp_path)
    assert [row.comparison for row in pairs.rows] == ["b/1.wav", "b/2.wav"]
    assert "11 audio file is missing" in caplog.text
    with pytest.raises(DataError, match="make no trials of both kinds"):
        libriphrase_trials(pairs, "csv", "hard", name="a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1.*no column anchor, anchor_spk"),
        (HEADER.replace(",target", ""), "no column target"),
        (HEADER.replace("\n", ",type\n"), "a column name twice"),
        (HEADER, "No rows are left"),
        (HEADER + 'a,1,"friend"x,', "damaged at line 2"),
    ],
)
def test_files_that_are_none_are_refused(write, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs([write(text)])


def test_other_mistakes_are_told(write, twelve, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs([tmp_path / "none.csv"])
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not text"):
        read_pairs([tmp_path / "latin.csv"])
    with pytest.raises(UsageError, match="protocol.*csv, phonmatchnet, mmkws.*'pmn'"):
        libriphrase_trials(twelve, "pmn", "easy", name="a")
    with pytest.raises(UsageError, match="subset.*easy, hard.*'both'"):
        libriphrase_trials(twelve, "csv", "both", name="a")


def test_official_counts(twelve, monkeypatch):
    assert libriphrase.OFFICIAL_ROWS == 67_671
    for protocol, trials_of_a_row in (("csv", 2), ("phonmatchnet", 4), ("mmkws", 4)):
        trials = libriphrase_trials(twelve, protocol, "hard", name="a")
        assert libriphrase.OFFICIAL_TRIALS[protocol] == 67_671 * trials_of_a_row
        told = official_fault(twelve, trials)
        assert "67671 rows of each type" in told and "4 of diffspk_hardneg (0 rows set" in told
        with monkeypatch.context() as patch:
            patch.setattr(libriphrase, "OFFICIAL_ROWS", 4)
            patch.setitem(libriphrase.OFFICIAL_TRIALS, protocol, 4 * trials_of_a_row)
            assert official_fault(twelve, trials) is None
