"""Word lists: what is read, what is set aside and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adml.data.words import read_clips, read_words
from adml.errors import DataError

HEADER = "path\tword\tspeaker\tstart\tend\tconfidence\tindex"


def folder_with(tmp_path: Path, rows: list[str], header: str = HEADER, name="words.tsv") -> Path:
    """A folder with one (empty) audio file and a list of `rows`."""
    (tmp_path / "audio").mkdir(exist_ok=True)
    (tmp_path / "audio" / "a.flac").touch()
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return tmp_path


def row(word="hello", start="0.1", end="0.5", path="audio/a.flac", confidence="-1", index="0"):
    return f"{path}\t{word}\tann\t{start}\t{end}\t{confidence}\t{index}"


def test_reads_the_columns(corpus):
    table = read_words(corpus)
    assert len(table) == 23
    assert table.path[0] == str(corpus / "audio/anna_1.flac")
    assert table.word[:5].tolist() == ["read", "the", "red", "book", "now"]
    assert table.index[:6].tolist() == [0, 1, 2, 3, 4, 0]
    np.testing.assert_allclose(table.start_s[:2], [0.5, 0.9])
    np.testing.assert_allclose(table.end_s[:2], [0.9, 1.3])
    assert table.set_aside == 0
    assert set(table.speaker) == {"anna", "bert", "cora"}


def test_rows_are_sorted_by_path_and_start(tmp_path):
    rows = [row("b", "0.5", "0.9", index="1"), row("a", "-0.00", "0.5")]
    table = read_words(folder_with(tmp_path, rows))
    assert table.word.tolist() == ["a", "b"]
    assert table.start_s[0] == 0 and not np.signbit(table.start_s[0])


def test_a_quotation_mark_is_a_character(tmp_path):
    table = read_words(folder_with(tmp_path, [row('"Quoted'), row("it's", "0.6", "0.8")]))
    assert table.word.tolist() == ['"quoted', "it's"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(start="-0.2"), "start is negative"),
        (row(start="nan"), "time is not finite"),
        (row(end="inf"), "time is not finite"),
        (row(start="soon"), "time is not a number"),
        (row(start="0.5", end="0.5"), "end is not after start"),
        (row(start="0.6", end="0.5"), "end is not after start"),
        (row(end="1.2"), "beyond the end of the audio"),
        (row(word=" "), "no text"),
        (row(path="audio/b.flac"), "audio file is missing"),
        (row(path="audio/" + "b" * 300 + ".flac"), "audio file is missing"),
        (row(path="../a.flac"), "path leaves the folder"),
        (row(index="first"), "index or confidence is not a number"),
        (row() + "\tmore", "wrong number of fields"),
    ],
)
def test_an_odd_row_is_set_aside_and_said(tmp_path, caplog, bad, reason):
    root = folder_with(tmp_path, [row("good"), bad])
    (root / "manifest.tsv").write_text(
        "path\ttext\tspeaker\tduration\naudio/a.flac\tx\tann\t1.0\n", encoding="utf-8"
    )
    table = read_words(root)
    assert table.word.tolist() == ["good"]
    assert table.set_aside == 1
    assert reason in caplog.text and "line 3" in caplog.text and "words.tsv" in caplog.text


def test_only_the_first_odd_rows_are_shown(tmp_path, caplog):
    read_words(folder_with(tmp_path, [row("good"), *[row(start="-1")] * 20]))
    assert "20 rows set aside (20 start is negative)" in caplog.text
    assert "line 3" in caplog.text and "line 12" not in caplog.text


def test_an_end_just_behind_the_audio_is_cut_to_it(tmp_path):
    root = folder_with(tmp_path, [row(end="1.03")])
    (root / "manifest.tsv").write_text("path\tduration\naudio/a.flac\t1.0\n", encoding="utf-8")
    assert read_words(root).end_s.tolist() == [1.0]


def test_filters_by_prefix_and_confidence(tmp_path):
    root = folder_with(tmp_path, [row("sure"), row("unsure", "0.6", "0.8", confidence="-7")])
    assert read_words(root, path_prefix="audio/a", min_confidence=-5).word.tolist() == ["sure"]
    with pytest.raises(DataError, match=r"2 are outside path_prefix 'audio/x'"):
        read_words(root, path_prefix="audio/x")
    with pytest.raises(DataError, match=r"2 are below the confidence 0"):
        read_words(root, min_confidence=0)


def test_rows_set_aside_are_counted_once(tmp_path):
    root = folder_with(tmp_path, [row(start="-1"), row() + "\tmore", row(start="-2")])
    with pytest.raises(DataError, match=r"of 3 rows, 0 are outside .* 3 were set aside \(2 start"):
        read_words(root)


def test_a_list_without_index_and_confidence(tmp_path):
    header = "path\ttext\tspeaker\tstart\tend"
    rows = ["audio/a.flac\tabalone's\t652\t0.88\t1.58"]
    root = folder_with(tmp_path, rows, header, "mfa_words.tsv")
    table = read_words(root, words_file="mfa_words.tsv")
    assert table.word.tolist() == ["abalone's"]
    assert table.index.tolist() == [-1]
    assert np.isnan(table.confidence).all()
    with pytest.raises(DataError, match="no column confidence"):
        read_words(root, words_file="mfa_words.tsv", min_confidence=-5)


def test_unknown_columns_are_ignored_and_said(tmp_path, caplog):
    table = read_words(folder_with(tmp_path, [row() + "\tblue"], HEADER + "\tcolour"))
    assert len(table) == 1
    assert "columns colour are not known" in caplog.text


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path\tword\tspeaker\tbegin\tend", "no column start"),
        ("path,word,speaker,start,end", "no column path"),
        ("path\tspeaker\tstart\tend", "neither a column word nor text"),
        (HEADER + "\tword", "a column name twice"),
    ],
)
def test_a_wrong_header_is_an_error(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        read_words(folder_with(tmp_path, [row()], header))


def test_missing_and_unreadable_lists(tmp_path):
    with pytest.raises(DataError, match="speech folder .* is not there"):
        read_words(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"words\.tsv is not there"):
        read_words(tmp_path)
    (tmp_path / "words.tsv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_words(tmp_path)
    (tmp_path / "words.tsv").write_bytes(b"path\xff\xfe\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_words(tmp_path)
    (tmp_path / "words.tsv").write_text(HEADER + "\n" + row() + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="No words are left.*1 audio file is missing"):
        read_words(tmp_path)


def test_clips_with_the_times_of_their_speech(tmp_path):
    header = "path\ttext\tspeaker\tspeech_start\tspeech_end"
    rows = ["audio/a.flac\tSmart  Mirror\t\t0.25\t0.75", "audio/a.flac\t\t\t0.000\t1.000"]
    clips = read_clips(folder_with(tmp_path, rows, header, "manifest.tsv"))
    assert clips.word.tolist() == ["", "smart mirror"]
    assert clips.start_s.tolist() == [0.0, 0.25] and clips.end_s.tolist() == [1.0, 0.75]


def test_clips_as_long_as_their_recordings(corpus, tmp_path):
    clips = read_clips(corpus, path_prefix="audio/bert")
    assert clips.word.tolist() == ["a knight has read the book", "the book was red"]
    assert clips.start_s.tolist() == [0, 0]
    np.testing.assert_allclose(clips.end_s, [3.1, 2.3])
    root = folder_with(tmp_path, ["audio/a.flac\tx\ty"], "path\ttext\tspeaker", "manifest.tsv")
    with pytest.raises(DataError, match="tells no times"):
        read_clips(root)


def test_a_subset_keeps_its_rows(corpus):
    table = read_words(corpus)
    part = table.subset(table.speaker == "cora")
    assert part.word.tolist() == ["now", "the", "long", "night"]


def test_real_lists(speech_root):
    words = read_words(speech_root / "ljspeech")
    assert len(words) == 6462 and words.set_aside == 0
    assert (words.end_s > words.start_s).all() and (words.start_s >= 0).all()
    clips = read_clips(speech_root / "speech_commands")
    assert len(np.unique(clips.word)) == 35
