"""Checking and counting a prepared set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.data.corpora.statistics import (
    FREQUENCIES,
    LENGTHS_S,
    format_statistics,
    frequency_names,
    length_names,
    statistics,
)
from adml.data.corpora.verify import verify
from adml.errors import DataError, UsageError

from .conftest import RATE_HZ, read_list, write_lines, write_tone

HEADER = "path\ttext\tspeaker\tduration"
WORDS = "path\tword\tspeaker\tstart\tend\tindex"


@pytest.fixture
def folder(tmp_path):
    """A set of two recordings and three words, all true."""
    root = tmp_path / "set"
    write_tone(root / "a.wav", 1.0)
    write_tone(root / "b.wav", 3.0, rate_hz=44100)
    write_lines(root / "manifest.tsv", HEADER, "a.wav\tyes no\tann\t1.0", "b.wav\tyes\tbob\t3.0")
    write_lines(
        root / "words.tsv", WORDS,
        "a.wav\tyes\tann\t0.1\t0.4\t0", "a.wav\tno\tann\t0.5\t1.04\t1",
        "b.wav\tyes\tbob\t0.1\t2.0\t0",
    )  # fmt: skip
    return root


def test_a_true_set(folder, capsys):
    (folder / "bad.tsv").write_text("where\tpath\treason\tdetail\nof another day\n")
    assert main(["data", "verify", str(folder)]) == 0
    assert "2 recordings, 0.00 h, 3 words with times; 0 bad rows" in capsys.readouterr().out
    assert not (folder / "bad.tsv").exists()


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("manifest.tsv", "a.wav\tagain\tann\t1.0", "recording is there twice"),
        ("manifest.tsv", "c.wav\tgone\tann\t1.0", "audio file is missing"),
        ("manifest.tsv", "../set/a.wav\tout\tann\t1.0", "path leaves the folder"),
        ("manifest.tsv", "silent.wav\tnothing\tann\t1.0", "is silent"),
        ("manifest.tsv", "nan.wav\tnothing\tann\t1.0", "holds samples that are not finite"),
        ("manifest.tsv", "cut.wav\tcut\tann\t1.0", "is a WAV that is cut short"),
        ("manifest.tsv", "long.wav\tlong\tann\t1.06", "duration is not that of the audio"),
        ("manifest.tsv", "long.wav\tlong\tann\tx", "duration is not that of the audio"),
        ("manifest.tsv", "long.wav\tshort", "wrong number of fields"),
        ("words.tsv", "a.wav\tno\tann\t0.5\t1.06\t1", "beyond the end of the audio"),
        ("words.tsv", "a.wav\tno\tann\t0.5\tinf\t1", "time is not finite"),
        ("words.tsv", "a.wav\t\tann\t0.5\t0.6\t1", "no word"),
        ("words.tsv", "a.wav\tno\tann\t0.5\t0.6\tx", "index is not a number"),
        ("words.tsv", "a.wav\tno\tbob\t0.5\t0.6\t1", "speaker is not that of manifest.tsv"),
        ("words.tsv", "c.wav\tno\tann\t0.5\t0.6\t1", "recording is not in manifest.tsv"),
        ("words.tsv", "a.wav\tno", "wrong number of fields"),
    ],
)
def test_what_is_not_true(folder, capsys, name, row, reason):
    soundfile.write(folder / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(folder / "nan.wav", np.full(RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    write_tone(folder / "long.wav", 1.0)
    whole = write_tone(folder / "whole.wav", 1.0).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with (folder / name).open("a") as file:
        file.write(row + "\n")
    assert main(["data", "verify", str(folder), "--json", "--workers", "3"]) == 3
    told = json.loads(capsys.readouterr().out)
    (found,) = read_list(folder / "bad.tsv")
    assert told["bad"] == {found["reason"]: 1} and found["reason"].startswith(reason)
    assert found["where"] == f"{name}:{4 if name == 'manifest.tsv' else 5}"
    assert found["path"] == ("" if reason.startswith("wrong") else row.split("\t")[0])
    assert told["bad_file"] == str(folder / "bad.tsv")


def test_silence_without_a_text_is_true(folder):
    soundfile.write(folder / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    write_lines(folder / "manifest.tsv", HEADER, "silent.wav\t\t\t1.0")
    (folder / "words.tsv").unlink()
    assert not verify(folder).bad


def test_times_of_speech(folder):
    rows = ["a.wav\tyes\tann\t0.1\t0.9", "b.wav\tno\tbob\t0.1\t3.2"]
    write_lines(folder / "manifest.tsv", "path\ttext\tspeaker\tspeech_start\tspeech_end", *rows)
    (folder / "words.tsv").unlink()
    assert dict(verify(folder).bad) == {"speech: beyond the end of the audio": 1}


def test_a_list_of_bad_rows_that_cannot_be_written(folder, capsys):
    write_lines(folder / "manifest.tsv", HEADER, "gone.wav\tgone\tann\t1.0")
    place = folder / "nowhere" / "bad.tsv"
    assert main(["data", "verify", str(folder), "--bad", str(place)]) == 2
    assert "gone.wav (audio file is missing)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["manifest.tsv", "notes.txt"])
def test_the_list_of_bad_rows_replaces_no_other_file(folder, name):
    write_lines(folder / "notes.txt", "of mine")
    before = (folder / name).read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match=f"{name} is there and is no list of what is bad"):
            verify(folder, folder / name)
        (folder / "b.wav").unlink(missing_ok=True)
    assert (folder / name).read_bytes() == before


def test_a_path_that_no_file_can_have(folder):
    with (folder / "manifest.tsv").open("a") as file:
        file.write("x" * 300 + ".wav\tyes\tann\t1.0\nb.wav\tagain\tbob\t3.0\n")
    found = verify(folder)
    assert found.recordings == 2 and found.bad["recording is there twice"] == 1
    assert found.bad["audio file is missing"] == 1


def test_no_lists(tmp_path):
    with pytest.raises(DataError, match="manifest.tsv is not there"):
        verify(tmp_path)
    with pytest.raises(DataError, match="manifest.tsv is not there"):
        statistics(tmp_path)
    write_lines(tmp_path / "manifest.tsv", HEADER, "a.wav\tyes\tann\tx")
    with pytest.raises(DataError, match="no recording with a length"):
        statistics(tmp_path)


def test_numbers_of_a_set(folder):
    counted = statistics(folder)
    assert (counted.recordings, counted.speakers, counted.tokens, counted.words) == (2, 2, 3, 2)
    assert counted.hours == pytest.approx(4 / 3600) and counted.timed
    assert counted.most_frequent == (("yes", 2), ("no", 1))
    assert dict(zip(length_names(), counted.lengths, strict=True))["0.5 to 1 s"] == 1
    assert dict(zip(length_names(), counted.lengths, strict=True))["2 to 5 s"] == 1
    assert dict(zip(frequency_names(), counted.frequencies, strict=True))["once"] == 1
    assert dict(zip(frequency_names(), counted.frequencies, strict=True))["2 times"] == 1
    assert sum(counted.lengths) == 2 and sum(counted.frequencies) == 2


def test_every_limit_is_in_the_range_that_names_it(tmp_path):
    rows = [f"{n}.wav\t{'w' + str(n)}\ts\t{length}" for n, length in enumerate(LENGTHS_S)]
    rows += [f"x{n}.wav\t{f'r{n} ' * count}\ts\t99" for n, count in enumerate(FREQUENCIES)]
    write_lines(tmp_path / "manifest.tsv", HEADER, *rows, "odd")
    counted = statistics(tmp_path)
    assert counted.lengths == (1,) * len(LENGTHS_S) + (len(FREQUENCIES),)
    assert counted.frequencies == (1 + len(LENGTHS_S), *(1,) * (len(FREQUENCIES) - 1), 0)
    assert frequency_names()[2] == "3 to 5 times" and counted.odd_rows == 1


def test_stats_are_printed_and_drawn(folder, tmp_path, capsys):
    plot = tmp_path / "set.png"
    assert main(["data", "stats", str(folder), "--plot", str(plot)]) == 0
    text = capsys.readouterr().out
    assert text == format_statistics(statistics(folder)) + "\n"
    assert "different words                    2" in text and plot.stat().st_size > 5000
    assert main(["data", "stats", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frequencies"]["2 times"] == 1 and told["most_frequent"] == {"yes": 2, "no": 1}
