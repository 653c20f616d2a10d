"""What cannot be used, one check at a time, and tables that are read line by line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from adml.data.corpora.alignments import Alignments
from adml.data.corpora.checks import checked_words, is_of_another_text, place_fault, text_fault
from adml.data.corpora.output import folder_in_the_making
from adml.data.corpora.recording import Recording, Rejected, Word
from adml.data.corpora.sphere import is_sphere
from adml.data.corpora.tables import RowIndex, TextTable
from adml.data.corpora.textgrids import read_textgrid
from adml.data.corpora.walk import walk_files
from adml.errors import DataError, UsageError

from .conftest import textgrid, write_lines, write_tone

SOME = Recording(Path("a.wav"), "a.wav", "hey you", "ann")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (Word("hey", "0.1", "0.5", 0), ""),
        (Word("Ça", "0.1", "0.5", 0, "-1.5"), ""),
        (Word("hey", "0.1", "1.05", 0), ""),
        (Word("hey", "0.1", "1.0501", 0), "beyond the end of the audio"),
        (Word("hey", "1.0", "1.02", 0), "beyond the end of the audio"),
        (Word("hey", "-0.1", "0.5", 0), "start is negative"),
        (Word("hey", "0.5", "0.5", 0), "end is not after start"),
        (Word("hey", "0.5001", "0.5004", 0), "end is not after start"),
        (Word("hey", "", "0.5", 0), "time is not a number"),
        (Word("да", "0.1", "0.5", 0), "word is not in Latin letters"),
        (Word("hey", "0.1", "0.5", 0, "sure"), "confidence is not a number"),
        (Word("--", "0.1", "0.5", 0), "no word"),
        (Word("hey", "0.1", "0.5", 0, fault="of its own"), "of its own"),
    ],
)
def test_words(word, reason):
    rows, rejected = checked_words(SOME, (word,), 1.0)
    assert len(rows) + len(rejected) == 1
    assert (rejected[0].reason if rejected else "") == reason
    if rows:
        ((text, start, end, index, confidence),) = rows
        assert text == word.text.lower().replace("ç", "c") and index == 0
        assert (start, float(end), confidence) == (
            "0.100",
            min(1.0, float(word.end)),
            word.confidence,
        )


@pytest.mark.parametrize(
    ("text", "needed", "fault"),
    [
        ("hey", True, None), ("", True, "no text"), ("...", True, "no text"), ("", False, None),
        ("привет", False, "text is not in Latin letters"),
    ],
)  # fmt: skip
def test_texts(text, needed, fault):
    assert text_fault(replace(SOME, text=text), needed) == fault


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("a.wav", None),
        ("../a.wav", "path leaves the folder"),
        ("/a.wav", "path leaves the folder"),
        ("a\tb.wav", "path holds a tab or a line break"),
        ("a\nb.wav", "path holds a tab or a line break"),
        (os.fsdecode(b"\xff.wav"), "path is not UTF-8"),
        ("gone.wav", "audio file is missing"),
    ],
)
def test_places(tmp_path, key, fault):
    write_tone(tmp_path / "a.wav", 0.1)
    recording = replace(SOME, path=tmp_path / key, key=key)
    assert place_fault(recording, tmp_path.resolve(), False) == fault


def test_alignments_of_another_text():
    words = tuple(Word(text, "0", "1", 0) for text in ("Hey", "you", "there"))
    assert not is_of_another_text("hey, you", words)
    assert is_of_another_text("hey hey", words)
    assert not is_of_another_text("you", (*words[1:2], replace(words[0], fault="unknown")))


def test_two_alignments_of_a_recording(tmp_path):
    header = "path,word,start,end"
    write_lines(tmp_path / "one.csv", header, "x/a.wav,hey,0,1", "y/a.wav,you,0,1", "b.wav,it,0,1")
    with pytest.raises(DataError, match="Two recordings of the table are called a"):
        Alignments(tmp_path).find("a.wav")
    write_lines(tmp_path / "two.csv", header, "b.wav,that,0,1")
    with pytest.raises(DataError, match="2 tables tell the words of b"):
        Alignments(tmp_path).find("b.wav")
    assert Alignments(tmp_path).find("c.wav") is None


def test_textgrids_without_one_tier_of_words(tmp_path):
    lines = textgrid([(0.0, 0.5, "hey")])
    phones = [line.replace('"words"', '"letters"') for line in lines]
    write_lines(tmp_path / "a.TextGrid", *phones)
    write_lines(
        tmp_path / "b.TextGrid", *(line.replace('"phones"', '"a - words"') for line in lines)
    )
    for name, tiers in (("a", 0), ("b", 2)):
        with pytest.raises(DataError, match=f"has {tiers} tiers of words"):
            Alignments(tmp_path).find(f"{name}.wav")


def test_alignments_with_links_to_folders(tmp_path):
    write_lines(tmp_path / "in/a.TextGrid", *textgrid([(0.0, 0.5, "hey")]))
    (tmp_path / "in/more").symlink_to(tmp_path)
    aligned = Alignments(tmp_path / "in")
    assert [item.path for item in aligned.odd] == ["more"]
    assert [word.text for word in aligned.find("a.wav")] == ["hey"]


def test_files_come_sorted_by_their_parts(tmp_path):
    for name in ("b/1.wav", "a/2.WAV", "a-b/1.wav", "a/10.wav", "a/x.txt"):
        write_lines(tmp_path / name)
    found = [path.relative_to(tmp_path).as_posix() for path in walk_files(tmp_path, (".wav",))]
    assert found == ["a/10.wav", "a/2.WAV", "a-b/1.wav", "b/1.wav"]
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert Rejected("a/up", "folder is a link", "give the folder that it leads to") in list(
        walk_files(tmp_path, (".wav",))
    )


def test_rows_of_a_key_are_found_wherever_they_stand(tmp_path):
    lines = ["k\tv", "a\t1", "", "a\t2", "b\t3", "odd", "a\t4", "c\tä"]
    table = TextTable(write_lines(tmp_path / "t.tsv", *lines))
    index = RowIndex(table, lambda values: values["k"])
    told = {key: [(row.number, row.values["v"]) for row in index.rows(key)] for key in index}
    assert told == {"a": [(2, "1"), (4, "2"), (7, "4")], "b": [(5, "3")], "c": [(8, "ä")]}
    assert [line.number for line in index.odd] == [6]
    assert list(index.rows("d")) == []


def test_tables_with_commas_and_quotation_marks(tmp_path):
    path = write_lines(tmp_path / "t.csv", "k,v", '"a,b","say ""hey"""', '"open,1')
    good, bad = TextTable(path)
    assert good.values == {"k": "a,b", "v": 'say "hey"'}
    assert bad.fault == "line is not UTF-8 text or wrongly quoted"
    path.write_bytes(b"\xef\xbb\xbfk\tv\r\n1\t2\r\n\xff\t3\n")
    good, bad = TextTable(path)
    assert good.values == {"k": "1", "v": "2"} and bad.fault


@pytest.mark.parametrize("header", [b"", b"\n", b"a\ta\n", b"\xff\xfe\n"])
def test_tables_without_a_header(tmp_path, header):
    (tmp_path / "t.tsv").write_bytes(header)
    with pytest.raises(DataError, match=r"t\.tsv"):
        TextTable(tmp_path / "t.tsv")


def test_folders_that_cannot_be_made(tmp_path):
    write_lines(tmp_path / "file", "in the way")
    with (
        pytest.raises(UsageError, match="cannot be made"),
        folder_in_the_making(tmp_path / "file" / "out"),
    ):
        pass
    assert not is_sphere(tmp_path / "gone.wv1")


def test_links_that_lead_in_a_circle_and_names_that_are_too_long(prepared, librispeech):
    chapter = librispeech / "dev-clean" / "84" / "121"
    (chapter / "84-121-0009.flac").symlink_to("84-121-0009.flac")
    (chapter / "circle.txt").symlink_to("circle.txt")
    with (chapter / "84-121.trans.txt").open("a") as file:
        file.write(f"84-121-0009 ROUND AND ROUND\n{'X' * 100_000} TOO LONG\n")
    made = prepared("librispeech", librispeech)
    assert len(made.texts) == 3
    assert made.described["set_aside"]["audio file is missing"] == 3


@pytest.mark.parametrize(
    "header", ['path,"word,start,end', "path,word,start,end\r", f"{'a' * 200_000},word"]
)
def test_headers_that_are_wrongly_quoted_or_ended(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}b,hey,0,1\n", newline="")
    with pytest.raises(DataError, match=r"a\.csv cannot be read\. Expected: UTF-8 text whose"):
        Alignments(tmp_path / "a.csv")


def test_names_with_dots_in_a_table(tmp_path):
    rows = ("ann.001,hey,0,1", "ann.002,you,0,1", "in/bob.3.WAV,it,0,1", "eve.wv1,we,0,1")
    write_lines(tmp_path / "a.csv", "id,word,start,end", *rows)
    aligned = Alignments(tmp_path / "a.csv")
    told = {"ann.001": "hey", "ann.002": "you", "bob.3": "it", "eve": "we"}
    for name, word in told.items():
        assert [found.text for found in aligned.find(f"x/{name}.flac")] == [word]
    assert aligned.find("ann.flac") is None and aligned.find("bob.flac") is None


def test_textgrids_that_are_cut_short_or_no_textgrids(tmp_path):
    lines = textgrid([(0.0, 0.5, "hey"), (0.5, 0.9, "you")])
    lines = [line.replace("size = 2 ", "size = 1 ", 1) for line in lines]
    assert len(read_textgrid(write_lines(tmp_path / "a.TextGrid", *lines[:22]))) == 2
    with pytest.raises(DataError, match=r"is cut short.* at 0\.9 s\. Received: .* at 0\.5 s"):
        read_textgrid(write_lines(tmp_path / "a.TextGrid", *lines[:18]))
    points = ['"ooTextFile"', '"TextGrid"', "", "0", "1", "<exists>", "1", '"TextTier"', '"words"']
    for name, text in {
        "points": [*points, "0", "1", "1", "0.5", '"hey"'],
        "number": ['{"xmin": 0, "xmax": 1, "tiers": 5}'],
        "deep": ["[" * 100_000],
    }.items():
        write_lines(tmp_path / f"{name}.TextGrid", *text)
        with pytest.raises(DataError, match=f"{name}.TextGrid cannot be read. Expected: a TextGr"):
            read_textgrid(tmp_path / f"{name}.TextGrid")


def test_the_word_silence_is_no_silence(tmp_path):
    words = [(0.0, 0.1, "sil"), (0.1, 0.5, "the"), (0.5, 0.9, "silence"), (0.9, 1.0, "sp")]
    found = read_textgrid(write_lines(tmp_path / "a.TextGrid", *textgrid(words)))
    assert [(word.text, word.index) for word in found] == [("the", 0), ("silence", 1)]
