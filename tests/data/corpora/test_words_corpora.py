"""Corpora of single words, and what is added to speech: each in its published layout."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from adml.audio.decoding import decode
from adml.data.words import read_clips
from adml.errors import DataError

from .conftest import RATE_HZ, write_lines, write_tone


@pytest.fixture
def speech_commands(tmp_path):
    root = tmp_path / "speech_commands"
    for name in ("yes/a_nohash_0", "yes/b_nohash_0", "no/a_nohash_1", "no/c_nohash_0"):
        write_tone(root / f"{name}.wav", 0.2)
    write_tone(root / "_background_noise_/hum.wav")
    write_lines(root / "no/d_nohash_0.wav", "no audio")
    write_lines(root / "validation_list.txt", "yes/b_nohash_0.wav", "no/gone_nohash_0.wav")
    write_lines(root / "testing_list.txt", "no/c_nohash_0.wav", "../outside.wav")
    write_tone(tmp_path / "outside.wav")
    return root


@pytest.mark.parametrize(
    ("split", "kept", "reasons"),
    [
        (
            "train",
            {"yes/a_nohash_0.wav": "a", "no/a_nohash_1.wav": "a"},
            {"is not audio": 1, "audio file is missing": 2},
        ),
        ("validation", {"yes/b_nohash_0.wav": "b"}, {"audio file is missing": 1}),
        ("test", {"no/c_nohash_0.wav": "c"}, {"path leaves the folder": 1}),
    ],
)
def test_speech_commands(prepared, speech_commands, split, kept, reasons):
    made = prepared("speech_commands", speech_commands, split=split)
    assert made.texts == {path: (path.split("/")[0], who) for path, who in kept.items()}
    told = made.described["set_aside"]
    for reason, count in reasons.items():
        assert [told[full] for full in told if full.startswith(reason)] == [count]
    assert sum(told.values()) == sum(reasons.values())
    assert len(read_clips(made.folder)) == len(kept)


def test_speech_commands_whose_lists_are_written_otherwise(prepared, speech_commands):
    write_lines(speech_commands / "validation_list.txt", "./yes/b_nohash_0.wav", "")
    write_lines(speech_commands / "testing_list.txt", r"no\c_nohash_0.wav", "v2/yes/a_nohash_0.wav")
    kept = {
        split: list(prepared("speech_commands", speech_commands, split=split).texts)
        for split in ("train", "validation", "test")
    }
    assert kept["validation"] == ["yes/b_nohash_0.wav"] and kept["test"] == ["no/c_nohash_0.wav"]
    assert not {*kept["train"]} & {*kept["validation"], *kept["test"]}
    made = prepared("speech_commands", speech_commands, split="train")
    assert made.set_aside["v2/yes/a_nohash_0.wav", "recording"] == "audio file is missing"
    write_lines(speech_commands / "testing_list.txt", "")
    with pytest.raises(DataError, match=r"testing_list.txt is empty"):
        prepared("speech_commands", speech_commands, split="train")


def test_speech_commands_without_lists(prepared, speech_commands):
    (speech_commands / "testing_list.txt").unlink()
    assert len(prepared("speech_commands", speech_commands).texts) == 4
    with pytest.raises(DataError, match=r"testing_list.txt is not there"):
        prepared("speech_commands", speech_commands, split="train")


CLIPS = {
    "TRAIN": ["one/a.opus,one,True,s1,MALE", "one/b.opus,one,False,s2,FEMALE"],
    "DEV": ["\"it's/c.opus\",it's,True,s3,OTHER", "one/gone.opus,one,True,s1,MALE"],
    "TEST": ["one/d.opus,one,True,s4,NAN", "/etc/passwd,one,True,s4,NAN", "..,one,True,s4,NAN"],
}


@pytest.fixture(params=["whole", "parts"])
def mswc(request, tmp_path):
    """The English part, with one list of all splits, or one of each."""
    root = tmp_path / "mswc" / "en"
    for name in ("one/a.opus", "one/b.opus", "it's/c.opus"):
        write_tone(root / "clips" / name, 0.3)
    write_tone(root / "clips/one/d.wav", 0.3)
    if request.param == "whole":
        rows = [f"{name},{row}" for name, rows in CLIPS.items() for row in rows]
        write_lines(root / "en_splits.csv", "SET,LINK,WORD,VALID,SPEAKER,GENDER", *rows)
    else:
        for name, rows in CLIPS.items():
            write_lines(root / f"en_{name.lower()}.csv", "LINK,WORD,VALID,SPEAKER,GENDER", *rows)
    return tmp_path / "mswc"


def test_mswc(prepared, mswc):
    made = prepared("mswc", mswc)
    assert made.texts == {
        "one/a.opus": ("one", "s1"), "it's/c.opus": ("it's", "s3"), "one/d.wav": ("one", "s4"),
    }  # fmt: skip
    assert made.described["set_aside"] == {
        "audio file is missing": 1, "not valid in the list": 1, "path leaves the folder": 2,
    }  # fmt: skip
    assert set(prepared("mswc", mswc / "en", split="validation").texts) == {"it's/c.opus"}
    assert set(prepared("mswc", mswc, split="test").texts) == {"one/d.wav"}


def test_mswc_as_two_archives(prepared, mswc, tmp_path):
    whole = prepared("mswc", mswc)
    (tmp_path / "corpora/mswc-en-splits/en").mkdir(parents=True)
    for path in (mswc / "en").glob("*.csv"):
        path.rename(tmp_path / "corpora/mswc-en-splits/en" / path.name)
    with pytest.raises(DataError, match=r"holds no en_train.csv. Expected: clips/WORD"):
        prepared("mswc", mswc)
    mswc.rename(tmp_path / "corpora/mswc-en-audio")
    assert prepared("mswc", tmp_path / "corpora").texts == whole.texts


def test_mswc_with_odd_lines(prepared, mswc):
    (mswc / "en/en_splits.csv").unlink(missing_ok=True)
    lines = ["LINK,WORD,VALID,SPEAKER,GENDER", "one/a.opus,one,True,s1,MALE", "one/b.opus,one"]
    write_lines(mswc / "en/en_train.csv", *lines)
    made = prepared("mswc", mswc, split="train")
    assert made.set_aside == {("en_train.csv:3", "recording"): "wrong number of fields"}
    rows = ["TRAIN,one/a.opus,one,True,s1,MALE", "TRIAN,one/d.opus,one,True,s4,MALE"]
    write_lines(mswc / "en/en_splits.csv", f"SET,{lines[0]}", *rows)
    for split in ("train", "all"):
        made = prepared("mswc", mswc, split=split)
        assert made.set_aside == {("one/d.opus", "recording"): "set is not known"}
    (mswc / "en/en_splits.csv").unlink()
    write_lines(mswc / "en/en_train.csv", lines[0])
    with pytest.raises(DataError, match="are empty"):
        prepared("mswc", mswc, split="train")
    write_lines(mswc / "en/en_train.csv", "LINK,WORD")
    with pytest.raises(DataError, match="no column VALID"):
        prepared("mswc", mswc, split="train")


def test_musan(prepared, tmp_path):
    for name in ("noise/free-sound/n.wav", "music/fma/m.wav", "speech/us-gov/s.wav", "noise/x.wav"):
        write_tone(tmp_path / "musan" / name)
    write_lines(tmp_path / "musan/noise/free-sound/ANNOTATIONS", "n hum")
    write_lines(tmp_path / "musan/music/fma/damaged.wav", "no audio")
    made = prepared("musan", tmp_path / "musan")
    assert made.texts == {
        "music/fma/m.wav": ("music", "fma"),
        "noise/free-sound/n.wav": ("noise", "free-sound"),
        "noise/x.wav": ("noise", ""),
        "speech/us-gov/s.wav": ("speech", "us-gov"),
    }
    assert made.set_aside == {
        ("music/fma/damaged.wav", "recording"): "is not audio of a known kind"
    }
    assert len(read_clips(made.folder)) == 4
    assert set(prepared("musan", tmp_path / "musan", split="music").texts) == {"music/fma/m.wav"}


def test_impulse_responses(prepared, tmp_path):
    root = tmp_path / "rirs" / "RIRS_NOISES"
    simulated = "simulated_rirs/smallroom/Room001/Room001-00001.wav"
    real = "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav"
    write_tone(root / simulated, 0.3)
    first = write_tone(root / real, 0.3, channels=4)
    write_tone(root / "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav")
    write_tone(root / "pointsource_noises/noise-free-sound-0000.wav")
    linked = prepared("rirs_noises", root.parent)
    assert set(linked.texts) == {simulated}
    assert linked.set_aside == {(real, "recording"): "has several channels"}
    made = prepared("rirs_noises", root.parent, audio="flac")
    assert set(made.texts) == {name.replace(".wav", ".flac") for name in (simulated, real)}
    taken = decode(made.folder / "audio" / real.replace(".wav", ".flac"))
    channel = soundfile.read(first, dtype="float32")[0][:, 0]
    np.testing.assert_allclose(taken, channel, atol=2 / 32768)
    assert set(prepared("rirs_noises", root, split="simulated").texts) == {simulated}
    assert len(channel) == 0.3 * RATE_HZ
