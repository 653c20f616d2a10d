"""adml enroll and adml detect, as they are typed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.errors import UsageError
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import KeywordFile

RATE_HZ = 16000
MUTATIONS = Path(__file__).parents[1] / "hostile" / "mutations.py"


def wave(seconds=1.3, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (0.2 * np.sin(900 * time * (1 + time)) + 0.01 * rng.normal(size=len(time))).astype(
        np.float32
    )


@pytest.fixture
def adml(run, capsys):
    """Runs a command with the model; gives code, stdout and stderr."""

    def call(verb, *arguments):
        try:
            code = main([verb, "--model", str(run), *map(str, arguments)])
        except SystemExit as stopped:
            code = stopped.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def file(spotter, tmp_path):
    """A keyword file, made without the command."""
    spoken = {"one": [["W", "AH1", "N"]], "two": [["T", "UW1"]]}
    made = [enrol(spotter, name, pronunciations=said, fewest_phones=1)
            for name, said in spoken.items()]  # fmt: skip
    KeywordFile(spotter.model, tuple(made)).write(tmp_path / "kw.json")
    return tmp_path / "kw.json"


def test_several_texts_become_one_file(adml, spotter, tmp_path):
    assert adml("enroll", "hey bixby", "computer", "-o", tmp_path / "kw.json")[0] == 0
    read = KeywordFile.read(tmp_path / "kw.json")
    assert [keyword.name for keyword in read.keywords] == ["hey bixby", "computer"]
    assert read.model == spotter.model and len(spotter.model) == 64
    assert read.keywords[0].pronunciations == (("HH", "EY1", "B", "IH1", "K", "S", "B", "IY0"),)


def test_what_was_enrolled_is_told(adml, tmp_path):
    code, out, _ = adml("enroll", "computer", "--json", "-o", tmp_path / "kw.json")
    told = json.loads(out)
    assert code == 0 and told[0]["keyword"] == "computer" and told[0]["recordings"] == 0
    code, out, _ = adml("enroll", "jarvis", "--pron", "JH AA1 R V IH0 S", "--pron",
                        "Y AA1 R V IH0 S", "--add", "-o", tmp_path / "kw.json")  # fmt: skip
    assert out == "jarvis: JH AA1 R V IH0 S | Y AA1 R V IH0 S\n"
    names = [keyword.name for keyword in KeywordFile.read(tmp_path / "kw.json").keywords]
    assert names == ["computer", "jarvis"]
    code, _, err = adml("enroll", "xyzzy", "--add", "-o", tmp_path / "kw.json")
    assert code == 0 and "how xyzzy is said was guessed" in err
    pron = ["--pron", "Z IH1 Z IY0", "--add", "-o", tmp_path / "kw.json"]
    assert adml("enroll", "xyzzy", *pron)[2] == ""


def test_what_others_enrol_meanwhile_is_kept(adml, spotter, file, monkeypatch):
    from adml.spotting import enrolment

    def slowly(*given, **more):
        monkeypatch.undo()
        made = enrol(spotter, "other", pronunciations=[["Y", "EH1", "S"]])
        KeywordFile(spotter.model, (*KeywordFile.read(file).keywords, made)).write(file)
        return enrol(*given, **more)

    monkeypatch.setattr(enrolment, "enrol", slowly)
    assert adml("enroll", "computer", "--add", "-o", file)[0] == 0
    names = [keyword.name for keyword in KeywordFile.read(file).keywords]
    assert names == ["one", "two", "other", "computer"]


def test_a_refused_keyword_leaves_the_others(adml, tmp_path):
    code, out, err = adml("enroll", "computer", "oh", "-o", tmp_path / "kw.json")
    assert code == 3 and "'oh' is too short" in err and out.startswith("computer:")
    assert len(KeywordFile.read(tmp_path / "kw.json").keywords) == 1


def test_by_recordings(adml, tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(), RATE_HZ)
    given = ["--audio", tmp_path / "a.wav", "--name", "mine", "-o", tmp_path / "kw.json"]
    assert adml("enroll", *given)[:2] == (0, "mine: no text, 1 recordings\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["one", "two", "--name", "x"], "of one keyword"),
        ([], "nothing to enrol"),
        (["oh"], "too short"),
        (["computer", "--audio", "none.wav"], "none.wav"),
    ],
)
def test_mistakes_of_enrolment(adml, tmp_path, given, told):
    code, out, err = adml("enroll", *given, "-o", tmp_path / "kw.json")
    assert code in (2, 3) and told in err and not out and not (tmp_path / "kw.json").exists()


def test_a_keyword_file_is_not_overwritten(adml, file):
    before = file.read_bytes()
    code, _, err = adml("enroll", "jarvis", "-o", file)
    assert code == 2 and "--add" in err and file.read_bytes() == before


def test_files_and_folders_are_heard(adml, file, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    soundfile.write(tmp_path / "deep" / "one.wav", wave(), RATE_HZ)
    soundfile.write(tmp_path / "deep" / "er" / "two.flac", wave(seed=1), 44100)
    code, out, _ = adml("detect", "-k", file, tmp_path / "deep", "--threshold", "-1", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and {row["source"].split("/")[-1] for row in rows} == {"one.wav", "two.flac"}
    assert set(rows[0]) == {"source", "keyword", "start_s", "end_s", "score", "told_s"}
    _, plain, _ = adml("detect", "-k", file, tmp_path / "deep" / "one.wav", "--threshold", "-1")
    first = next(row for row in rows if row["source"].endswith("one.wav"))
    path, start, end, score, keyword = plain.splitlines()[0].split("\t")
    assert (path, keyword) == (first["source"], first["keyword"])
    assert float(start) == pytest.approx(first["start_s"], abs=0.01)
    assert float(end) == pytest.approx(first["end_s"], abs=0.01)
    assert float(score) == pytest.approx(first["score"], abs=1e-3)


def test_raw_audio_on_stdin_is_heard_as_the_file_is(adml, file, tmp_path, monkeypatch):
    whole = np.round(wave() * 32768).astype("<i2")
    soundfile.write(tmp_path / "a.wav", whole, RATE_HZ, subtype="PCM_16")
    listen = ["-k", file, "--threshold", "-1", "--json"]
    _, expected, _ = adml("detect", *listen, tmp_path / "a.wav")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(whole.tobytes())))
    code, out, _ = adml("detect", *listen, "-", "--rate", RATE_HZ)
    assert code == 0 and out.replace('"-"', json.dumps(str(tmp_path / "a.wav"))) == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(whole.tobytes()[:-1])))
    code, _, err = adml("detect", *listen, "-", "--rate", RATE_HZ)
    assert code == 3 and "ends within a sample" in err
    assert out.count("\n") == expected.count("\n"), "what was heard until then is told"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    code, out, err = adml("detect", *listen, "-", "--rate", RATE_HZ)
    assert code == 3 and "stdin is empty" in err and not out


def test_a_bad_recording_is_passed_over(adml, file, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "good.wav", wave(), RATE_HZ)
    given = [tmp_path / "bad.wav", tmp_path / "good.wav", tmp_path / "none.wav"]
    code, out, err = adml("detect", "-k", file, *given, "--threshold", "-1")
    assert code == 3 and "bad.wav" in err and "none.wav" in err and "good.wav" in out


def test_damaged_recordings_are_heard_or_named(adml, file, tmp_path):
    made = subprocess.run([sys.executable, MUTATIONS, "0", "48", tmp_path / "made"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    rows = map(json.loads, made.stdout.splitlines())
    ended = {f"{row['number']}.wav": row["ended"] for row in rows if "ended" in row}
    code, out, err = adml("detect", "-k", file, tmp_path / "made", "--threshold", "-1", "--json")
    named = {line.split(" ")[1].split("/")[-1] for line in err.splitlines() if "Expected" in line}
    heard = {json.loads(line)["source"].split("/")[-1] for line in out.splitlines()}
    assert code == 3 and named == {name for name, how in ended.items() if how == "refused"}
    assert len(heard) > 5 and heard <= {name for name, how in ended.items() if how == "decoded"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "not clear what to listen to"),
        (["a.wav", "--mic"], "not clear what to listen to"),
        (["-", "a.wav", "--rate", "16000"], "not clear what to listen to"),
        (["-"], "never guessed"),
        (["a.wav", "--rate", "16000"], "never guessed"),
        (["a.wav"], "has no threshold"),
        (["a.wav", "--threshold", "50"], "would never be detected"),
        (["-", "--rate", "4", "--threshold", "0"], "sample rate is wrong"),
        (["", "--threshold", "0"], "a file without a name"),
        (["a.wav", "--threshold", "nan"], "expected a number"),
    ],
)
def test_mistakes_of_detection(adml, file, given, told):
    code, out, err = adml("detect", "-k", file, *given)
    assert code == 2 and told in err and not out


def test_thresholds_from_background(adml, file, tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(4), RATE_HZ)
    (tmp_path / "b.wav").write_bytes(b"no audio")
    given = [file, "--background", tmp_path, "--false-alarms-per-hour", "1000", "--json"]
    code, out, err = adml("calibrate", *given)
    told = json.loads(out)
    assert code == 3 and "b.wav" in err, "a bad recording is told and left out"
    assert [row["keyword"] for row in told] == ["one", "two"] and told[0]["recordings"] == 1
    assert told[0]["events"] == 1 and told[0]["hours"] == round(4 / 3600, 4)
    read = KeywordFile.read(file)
    assert [keyword.threshold for keyword in read.keywords] == [row["threshold"] for row in told]
    assert read.keywords[1].calibration["false_alarms_per_hour"] == 1000
    code, out, _ = adml("detect", "-k", file, tmp_path / "a.wav")
    assert code == 0, "no --threshold is needed any more"
    assert "no effect" in adml("detect", "-k", file, tmp_path / "a.wav", "--threshold", "0.5")[2]
    code, out, _ = adml("calibrate", file, "--background", tmp_path / "a.wav")
    assert code == 0 and "0 false alarms in 0.00 h" in out.splitlines()[0]


def test_background_that_tells_too_little_is_told(adml, file, tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(4), RATE_HZ)
    soundfile.write(tmp_path / "still.wav", np.zeros(4 * RATE_HZ), RATE_HZ)
    given = [file, "--json", "--background", tmp_path, tmp_path / "a.wav"]
    code, out, err = adml("calibrate", *given)
    told = json.loads(out)[0]
    assert told["recordings"] == 1 and told["hours"] == round(4 / 3600, 4), "once, without silence"
    assert code == 3 and "still.wav is silent" in err
    assert "too few to see 0.5 false alarms an hour. Expected: 2 h." in err
    _, _, err = adml("calibrate", *given, "--false-alarms-per-hour", "1000")
    assert "too few" not in err
    assert adml("calibrate", file, "--background", "")[0] == 2


def test_thresholds_that_cannot_be_written_are_printed(adml, file, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", wave(2), RATE_HZ)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adml.files.Path.replace", full)
    code, out, err = adml("calibrate", file, "--background", tmp_path / "a.wav", "--json")
    assert code == 2 and "No space left" in err and len(json.loads(out)) == 2


def test_a_keyword_that_is_enrolled_anew_loses_its_threshold_and_says_so(adml, file):
    before = KeywordFile.read(file)
    before.with_thresholds({"two": (0.5, {})}).write(file)
    code, _, err = adml("enroll", "two", "--fewest-phones", "1", "--add", "-o", file)
    assert code == 0 and "'two' is enrolled anew" in err and "'one'" not in err
    assert [keyword.threshold for keyword in KeywordFile.read(file).keywords] == [None, None]


@pytest.mark.parametrize(
    ("given", "told"),
    [(["--false-alarms-per-hour", "0", "--background", "none.wav"], "above 0 an hour"),
     (["--false-alarms-per-hour", "x"], "expected a number")],
)  # fmt: skip
def test_mistakes_of_calibration_leave_the_file(adml, file, tmp_path, given, told):
    soundfile.write(tmp_path / "a.wav", wave(1), RATE_HZ)
    before = file.read_bytes()
    code, _, err = adml("calibrate", file, "--background", tmp_path / "a.wav", *given)
    assert code == 2 and told in err and file.read_bytes() == before


def test_an_empty_folder_is_told(adml, file, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = adml("detect", "-k", file, tmp_path / "empty", "--threshold", "0.5")
    assert code == 2 and "holds no audio" in err


def test_a_folder_that_cannot_be_read_is_told(adml, file, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    soundfile.write(tmp_path / "a.wav", wave(), RATE_HZ)
    look = os.scandir

    def refused(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    code, out, err = adml("detect", "-k", file, tmp_path, "--threshold", "-1")
    assert code == 3 and "locked: Permission denied" in err and not out


def test_the_microphone_is_a_stream(monkeypatch):
    """With a stand-in for sounddevice, which needs a sound card."""
    from adml.audio import microphone

    class Stream:
        def __init__(self, rate_hz, chunk, *, channels, dtype, callback):
            assert (rate_hz, chunk, channels, dtype) == (16000, 160, 1, "float32")
            self.callback = callback

        def __enter__(self):
            for value in (0.1, 0.2):
                self.callback(np.full((160, 1), value, np.float32), 160, None, None)

        def __exit__(self, *_):
            pass

    device = SimpleNamespace(InputStream=Stream, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    chunks = microphone.listen(16000, 160)
    assert [round(float(next(chunks)[0]), 3) for _ in range(2)] == [0.1, 0.2]

    def missing(*_, **__):
        raise RuntimeError("no device")

    device.InputStream = missing
    with pytest.raises(UsageError, match="no microphone.*no device"):
        next(microphone.listen(16000, 160))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match="sounddevice"):
        next(microphone.listen(16000, 160))
