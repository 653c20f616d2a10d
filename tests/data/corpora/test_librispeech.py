"""LibriSpeech in its layout, with every form of word times."""

from __future__ import annotations

import pytest

from adml.data.words import read_clips, read_words
from adml.errors import DataError, UsageError

from .conftest import textgrid, write_lines

FIRST = "dev-clean/84/121/84-121-0000.flac"
SECOND = "dev-clean/84/121/84-121-0001.flac"
THIRD = "dev-clean/9/7/9-7-0000.flac"
TIMES = [
    (0.0, 0.1, ""), (0.1, 0.25, "go"), (0.25, 0.3, "sp"), (0.3, 0.4, "do"),
    (0.4, 0.55, "<unk>"), (0.55, 0.9, "hear"),
]  # fmt: skip


def test_transcripts(prepared, librispeech):
    made = prepared("librispeech", librispeech)
    assert made.texts == {
        FIRST: ("go do you hear", "84"),
        SECOND: ("mister o'neil's house", "84"),
        THIRD: ("a second voice", "9"),
    }
    assert made.set_aside == {
        ("dev-clean/84/121/84-121-0002.flac", "recording"): "no text",
        ("dev-clean/84/121/84-121-0003.flac", "recording"): "no text",
        ("dev-clean/84/121/84-121-0004.flac", "recording"): "is not audio of a known kind",
        ("dev-clean/84/121/84-121-0005.flac", "recording"): "audio file is missing",
    }
    assert not (made.folder / "words.tsv").exists()
    clips = read_clips(made.folder)
    assert list(clips.end_s) == [1.0, 1.0, 1.0]
    assert (made.folder / "audio" / FIRST).readlink() == (librispeech / FIRST).resolve()


def test_a_chapter_whose_list_is_damaged(prepared, librispeech):
    (librispeech / "dev-clean/84/121/84-121.trans.txt").write_bytes(b"84-121-0000 \xff\xfe\n")
    made = prepared("librispeech", librispeech)
    assert set(made.texts) == {THIRD}
    assert made.set_aside["dev-clean/84/121/84-121.trans.txt", "recording"] == (
        "list cannot be read"
    )
    assert made.described["set_aside"]["no text"] == 5


@pytest.mark.parametrize("tier", ["words", "reader - words"])
def test_textgrids(prepared, librispeech, tmp_path, tier):
    grids = tmp_path / "grids" / "dev-clean"
    write_lines(grids / "84/121/84-121-0000.TextGrid", *textgrid(TIMES, tier))
    write_lines(grids / "84/121/84-121-0001.TextGrid", *textgrid(TIMES, tier)[:-3])
    made = prepared("librispeech", librispeech, alignments=tmp_path / "grids")
    assert made.words == [
        (FIRST, "go", "0.100", "0.250", 0),
        (FIRST, "do", "0.300", "0.400", 1),
        (FIRST, "hear", "0.550", "0.900", 3),
    ]
    aside = made.set_aside
    assert aside[FIRST, "'<unk>' 0.4 0.55"] == "word was not known to the aligner"
    assert aside[SECOND, "words"] == "alignment cannot be read"
    assert aside[THIRD, "words"] == "no alignment"
    assert len(read_words(made.folder)) == 3
    assert set(made.texts) == {FIRST, SECOND, THIRD}


def test_condensed_alignments(prepared, librispeech, tmp_path):
    write_lines(
        tmp_path / "words/84/121/84-121.alignment.txt",
        '84-121-0000 ",GO,,DO,YOU,HEAR," "0.1,0.25,0.3,0.4,0.55,0.9,1.0"',
        '84-121-0001 "SOME,OTHER,WORDS" "0.3,0.6,0.9"',
        '84-121-0002 ",," "0.3,0.6,0.9"',
    )
    transcripts = librispeech / "dev-clean/84/121/84-121.trans.txt"
    write_lines(transcripts, *transcripts.read_text().replace("0002 ", "0002 WORDS").splitlines())
    write_lines(tmp_path / "words/9/7/9-7.alignment.txt", '9-7-0000 "A,SECOND" "0.3"')
    made = prepared("librispeech", librispeech, alignments=tmp_path / "words")
    assert [word[1:] for word in made.words] == [
        ("go", "0.100", "0.250", 0),
        ("do", "0.300", "0.400", 1),
        ("you", "0.400", "0.550", 2),
        ("hear", "0.550", "0.900", 3),
    ]
    assert made.set_aside[SECOND, "words"] == "alignment is of another text"
    assert made.set_aside[THIRD, "words"] == "alignment cannot be read"
    silent = "dev-clean/84/121/84-121-0002.flac"
    assert made.set_aside[silent, "words"] == "alignment holds no word"


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [("all.csv", "id,word,start,end", ","), ("all.tsv", "path\ttext\tbegin\tend", "\t")],
)
def test_tables(prepared, librispeech, tmp_path, name, header, separator):
    rows = [
        ("84-121-0000", "GO", "0.1", "0.25"),
        ("9-7-0000", "second", "0.2", "0.5"),
        ("84-121-0000", "DO", "0.3", "x"),
        ("84-121-0000", "YOU", "0.5", "0.4"),
        ("84-121-0000", "HEAR", "0.6", "1.04"),
    ]
    lines = [separator.join(row) for row in rows]
    file = write_lines(tmp_path / "times" / name, header, *lines, "only one field")
    made = prepared("librispeech", librispeech, alignments=file)
    assert made.words == [
        (FIRST, "go", "0.100", "0.250", 0),
        (FIRST, "hear", "0.600", "1.000", 3),
        (THIRD, "second", "0.200", "0.500", 0),
    ]
    assert made.set_aside[FIRST, "'DO' 0.3 x"] == "time is not a number"
    assert made.set_aside[FIRST, "'YOU' 0.5 0.4"] == "end is not after start"
    assert made.set_aside[f"{name}:7", ""] == "wrong number of fields"


def test_alignments_of_one_name_are_told_apart_by_their_folders(prepared, librispeech, tmp_path):
    for chapter, label in (("84/121", "hear"), ("85/121", "you")):
        path = tmp_path / "grids" / chapter / "84-121-0000.TextGrid"
        write_lines(path, *textgrid([(0.0, 0.5, label)]))
    made = prepared("librispeech", librispeech, alignments=tmp_path / "grids")
    assert [word[1] for word in made.words] == ["hear"]
    made = prepared("librispeech", librispeech / "dev-clean/84/121", alignments=tmp_path / "grids")
    assert made.set_aside["84-121-0000.flac", "words"] == "alignment cannot be read"


def test_alignments_that_tell_nothing(prepared, librispeech, tmp_path):
    with pytest.raises(UsageError, match="are not there"):
        prepared("librispeech", librispeech, alignments=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="No word times"):
        prepared("librispeech", librispeech, alignments=tmp_path / "empty")
    file = write_lines(tmp_path / "odd.csv", "id,word,start")
    with pytest.raises(DataError, match="tells no end"):
        prepared("librispeech", librispeech, alignments=file)
    assert not list(tmp_path.glob("prepared*"))
