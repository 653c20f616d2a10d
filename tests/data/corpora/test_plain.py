"""The project's own form as a source: what is odd in its lists is set aside."""

from __future__ import annotations

import pytest

from adml.data.words import read_clips, read_words
from adml.errors import DataError

from .conftest import write_lines, write_tone

WORDS = "path\tword\tspeaker\tstart\tend\tindex"


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "set"
    for name in ("a", "b", "c"):
        write_tone(root / f"audio/{name}.wav")
    write_tone(tmp_path / "outside.wav")
    write_lines(
        root / "manifest.tsv",
        "path\ttext\tspeaker\tduration",
        "audio/a.wav\tCafé one\tann\t1.0",
        "audio/b.wav\ttwo\tbob\t1.2",
        "audio/c.wav\t\tann\t1.0",
        "audio/d.wav\tmissing\tann\t1.0",
        "audio/a.wav\tagain\tann\t1.0",
        "../outside.wav\toutside\tann\t1.0",
        "/outside.wav\toutside\tann\t1.0",
        "audio/c.wav\tмир\tann\t1.0",
        "too\tfew",
        "\tno path\tann\t1.0",
    )
    write_lines(
        root / "words.tsv",
        WORDS,
        "audio/a.wav\tCafé\tann\t-0.00\t0.4\t0",
        "audio/a.wav\tone\tann\t0.3\t0.9\tx",
        "audio/a.wav\tone\tbob\t0.4\t0.9\t1",
        "audio/a.wav\t...\tann\t0.4\t0.9\t2",
        "audio/a.wav\tone\tann\t0.5\t1.2\t1",
        "audio/a.wav\tone\tann\t0.0000\t0.0003\t1",
        "audio/a.wav\tone\tann\tnan\t0.5\t1",
        "audio/e.wav\tone\tann\t0.1\t0.5\t1",
        "short",
    )
    return root


def test_odd_rows_are_set_aside(prepared, source):
    made = prepared("plain", source)
    assert made.texts == {"a.wav": ("cafe one", "ann"), "c.wav": ("", "ann")}
    assert made.words == [("a.wav", "cafe", "0.000", "0.400", 0)]
    assert made.described["set_aside"] == {
        "audio file is missing": 1,
        "beyond the end of the audio": 1,
        "duration is not that of the audio": 1,
        "end is not after start": 1,
        "index is not a number": 1,
        "no path": 1,
        "no word": 1,
        "path leaves the folder": 2,
        "recording is not in manifest.tsv": 1,
        "speaker is not that of manifest.tsv": 1,
        "text is not in Latin letters": 1,
        "time is not finite": 1,
        "two recordings of one name": 1,
        "wrong number of fields": 2,
    }
    assert len(read_words(made.folder)) == 1
    again = prepared("plain", made.folder)
    assert (again.texts, again.words, again.set_aside) == (made.texts, made.words, {})


def test_times_of_speech_are_kept(prepared, source):
    write_lines(
        source / "manifest.tsv",
        "path\ttext\tspeaker\tspeech_start\tspeech_end",
        "audio/a.wav\tyes\tann\t0.25\t0.75",
        "audio/b.wav\tno\tann\t0.75\t0.25",
    )
    (source / "words.tsv").unlink()
    made = prepared("plain", source)
    clips = read_clips(made.folder)
    assert (list(clips.start_s), list(clips.end_s)) == ([0.25], [0.75])
    assert made.set_aside["b.wav", "recording"] == "speech: end is not after start"


def test_words_that_begin_before_the_word_before(prepared, source):
    rows = ["audio/a.wav\tone\tann\t0.5\t0.9\t1", "audio/a.wav\ttwo\tann\t0.1\t0.3\t2"]
    write_lines(source / "words.tsv", WORDS, *rows)
    made = prepared("plain", source)
    assert [word[1] for word in made.words] == ["one"]
    assert made.described["set_aside"]["begins before the word before it"] == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [("manifest.tsv", "path\ttext"), ("words.tsv", "path\tword"), ("manifest.tsv", "")],
)
def test_lists_without_their_columns(prepared, source, name, header):
    write_lines(source / name, header)
    with pytest.raises(DataError, match=r"header"):
        prepared("plain", source)


def test_no_manifest(prepared, source):
    (source / "manifest.tsv").unlink()
    with pytest.raises(DataError, match="is not there"):
        prepared("plain", source)


def test_words_may_come_in_any_order(prepared, source):
    rows = [f"audio/a.wav\t{word}\tann\t{at}\t0.9\t0" for word, at in (("two", 0.5), ("one", 0.1))]
    write_lines(source / "words.tsv", WORDS, *rows)
    assert [row[1] for row in prepared("plain", source).words] == ["one", "two"]
