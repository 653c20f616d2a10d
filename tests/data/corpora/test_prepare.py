"""Preparing: the same bytes every time, whole or not at all, and nothing odd used in silence."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.data.corpora.registry import CORPORA
from adml.data.corpora.sound import write_flac
from adml.data.words import read_clips
from adml.errors import DataError, UsageError

from .conftest import RATE_HZ, textgrid, write_lines, write_tone


def tree(folder: Path) -> dict[str, bytes]:
    """Every file by name, links by where they lead."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


@pytest.mark.parametrize("audio", ["link", "flac"])
def test_the_same_bytes_whatever_the_order_and_the_workers(
    prepared, librispeech, tmp_path, monkeypatch, audio
):
    grid = textgrid([(0.0, 0.5, "hear"), (0.5, 0.9, "go")])
    write_lines(tmp_path / "grids/84-121-0000.TextGrid", *grid)
    made = prepared("librispeech", librispeech, audio=audio, alignments=tmp_path / "grids")
    listed, scanned = os.listdir, os.scandir

    class Reversed:
        def __init__(self, path):
            with scanned(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return self.entries

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "listdir", lambda path=".": listed(path)[::-1])
    monkeypatch.setattr(os, "scandir", Reversed)
    again = prepared(
        "librispeech", librispeech, audio=audio, alignments=tmp_path / "grids", workers=7
    )
    monkeypatch.undo()
    first, second = tree(made.folder), tree(again.folder)
    assert first == second
    assert set(first) >= {"manifest.tsv", "words.tsv", "set_aside.tsv", "prepared.json"}


def test_what_is_described(prepared, librispeech):
    made = prepared("librispeech", librispeech)
    described = json.loads((made.folder / "prepared.json").read_text())
    assert described == made.described
    assert described["form"] == 1 and described["corpus"] == "librispeech"
    assert (described["recordings"], described["speakers"], described["words"]) == (3, 2, 0)
    assert described["hours"] == round(3 / 3600, 3)
    assert described["set_aside"] == {
        "audio file is missing": 1, "is not audio of a known kind": 1, "no text": 2,
    }  # fmt: skip
    for name in ("manifest.tsv", "set_aside.tsv"):
        digest = hashlib.sha256((made.folder / name).read_bytes()).hexdigest()
        assert described["files"][name]["sha256"] == digest


def test_flac_holds_the_samples(prepared, tmp_path):
    path = write_tone(tmp_path / "words/yes/a.wav", 0.5)
    write_tone(tmp_path / "words/no/b.wav", 0.5, rate_hz=8000, channels=2)
    write_tone(tmp_path / "words/no/c.wav", 0.5, rate_hz=8000)
    soundfile.write(tmp_path / "words/no/silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    made = prepared("word_folder", tmp_path / "words", audio="flac")
    assert set(made.texts) == {"no/c.flac", "yes/a.flac"}
    assert made.set_aside["no/b.wav", "recording"] == "is silent"
    assert made.set_aside["no/silent.wav", "recording"] == "is silent"
    written, rate = soundfile.read(made.folder / "audio/yes/a.flac", dtype="int16")
    source, _ = soundfile.read(path, dtype="int16")
    assert rate == RATE_HZ and np.array_equal(written, source)
    assert soundfile.info(made.folder / "audio/no/c.flac").samplerate == RATE_HZ
    assert not (made.folder / "audio/no/silent.flac").exists()


def test_folders(prepared, tmp_path):
    root = tmp_path / "recordings"
    for name in ("hey_bixby/a.wav", "hey_bixby/a  b.wav", "stop/c.wav", "_unknown_/d.wav", "e.wav"):
        write_tone(root / name, 0.3)
    made = prepared("word_folder", root)
    assert made.texts == {
        "hey_bixby/a  b.wav": ("hey bixby", ""),
        "hey_bixby/a.wav": ("hey bixby", ""),
        "stop/c.wav": ("stop", ""),
    }
    assert made.set_aside == {("e.wav", "recording"): "no text"}
    assert len(read_clips(made.folder)) == 3
    noise = prepared("noise_folder", root)
    assert {text for text, _ in noise.texts.values()} == {"hey bixby", "stop", "unknown", "noise"}


def test_two_recordings_of_one_name(prepared, tmp_path):
    write_tone(tmp_path / "words/yes/a.flac")
    write_tone(tmp_path / "words/yes/a.wav")
    assert len(prepared("word_folder", tmp_path / "words").texts) == 2
    made = prepared("word_folder", tmp_path / "words", audio="flac")
    assert made.set_aside == {("yes/a.wav", "recording"): "two recordings of one name"}


def test_links_that_leave_the_source(prepared, tmp_path):
    write_tone(tmp_path / "words/yes/a.wav")
    write_tone(tmp_path / "elsewhere/b.wav")
    (tmp_path / "words/yes/b.wav").symlink_to(tmp_path / "elsewhere/b.wav")
    (tmp_path / "words/yes/c.wav").symlink_to(tmp_path / "words/yes/a.wav")
    (tmp_path / "words/no").symlink_to(tmp_path / "elsewhere")
    made = prepared("word_folder", tmp_path / "words")
    assert set(made.texts) == {"yes/a.wav", "yes/c.wav"}
    assert made.set_aside == {
        ("no", "recording"): "folder is a link",
        ("yes/b.wav", "recording"): "path leaves the folder",
    }
    copied = prepared("plain", made.folder, audio="flac")
    assert set(copied.texts) == {"yes/a.flac", "yes/c.flac"}
    assert not any(path.is_symlink() for path in copied.folder.rglob("*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "test"}, "has no split"),
        ({"audio": "mp3"}, "must be link or flac"),
        ({"alignments": Path("x")}, "takes no --alignments"),
    ],
)
def test_settings_that_do_not_fit(prepared, tmp_path, settings, said):
    write_tone(tmp_path / "words/yes/a.wav")
    with pytest.raises(UsageError, match=said):
        prepared("word_folder", tmp_path / "words", **settings)


def test_nothing_that_can_be_used(prepared, tmp_path):
    write_lines(tmp_path / "words/yes/a.wav", "no audio")
    with pytest.raises(DataError, match=r"Expected: WORD/.*1 is not audio of a known kind"):
        prepared("word_folder", tmp_path / "words")
    with pytest.raises(DataError, match="no file of this layout"):
        prepared("librispeech", tmp_path / "words")
    with pytest.raises(UsageError, match="is not there"):
        prepared("librispeech", tmp_path / "nowhere")
    assert not list(tmp_path.glob("prepared*"))


def test_an_existing_folder_is_refused(librispeech, tmp_path, capsys):
    command = ["data", "prepare", "librispeech", "--source", str(librispeech)]
    assert main([*command, "--out", str(librispeech / "out")]) == 2
    assert "lies in the source" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert "3 recordings" in capsys.readouterr().out
    before = tree(tmp_path / "out")
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert tree(tmp_path / "out") == before
    assert main([*command, "--out", str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recordings"] == 3


def test_a_folder_that_another_process_makes(prepared, librispeech, tmp_path):
    (tmp_path / "prepared1.part").mkdir()
    lock = os.open(tmp_path / "prepared1.part", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another process"):
        prepared("librispeech", librispeech)
    os.close(lock)
    assert (tmp_path / "prepared1.part").is_dir()


def test_a_folder_of_somebody_is_not_emptied(librispeech, tmp_path, capsys):
    corpus, link = tmp_path / "out.part", tmp_path / "led.part"
    librispeech.rename(corpus)
    link.symlink_to(corpus)
    (tmp_path / "more.part").mkdir()
    before = tree(corpus)
    command = ["data", "prepare", "librispeech", "--source", str(corpus), "--out"]
    for name in ("out", "led"):
        assert main([*command, str(tmp_path / name)]) == 2
        assert f"{name}.part is there already" in capsys.readouterr().err
    assert tree(corpus) == before and link.is_symlink()
    assert main([*command, str(tmp_path / "more")]) == 0, "an empty folder is nobody's loss"
    assert not (tmp_path / "more" / ".unfinished").exists()


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        write_flac(write_tone(tmp_path / "a.wav"), Path("/dev/full"))


SLOW = """
import sys, time
from pathlib import Path
from adml.data.corpora import prepare as module
from adml.data.corpora.registry import CORPORA
module.measure = lambda path, first_channel=False: time.sleep(60) or 1.0
module.prepare(CORPORA["librispeech"], Path(sys.argv[1]), Path(sys.argv[2]), module.Settings())
"""


def test_a_kill_leaves_no_half_folder(prepared, librispeech, tmp_path):
    out, part = tmp_path / "out", tmp_path / "out.part"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(librispeech), str(out)],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not list(part.glob("audio/**/*.flac")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert part.is_dir() and not out.exists()
    (part / "left").write_text("behind")
    command = ["data", "prepare", "librispeech", "--source", str(librispeech), "--out"]
    assert main([*command, str(out)]) == 0
    assert not part.exists() and not (out / "left").exists()
    assert tree(out) == tree(prepared("librispeech", librispeech).folder)


def test_the_help_tells_every_corpus_its_layout_and_its_parts(capsys):
    with pytest.raises(SystemExit):
        main(["data", "prepare", "--help"])
    told = capsys.readouterr().out
    for corpus in CORPORA.values():
        assert f"\n{corpus.name}\n    {corpus.description} ({corpus.licence})\n" in told
        assert corpus.layout in told and ", ".join(corpus.splits) in told
