"""Spotting evaluated on miniature sets by an untrained model, and by PocketSphinx where it is."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.errors import DataError, UsageError
from adml.evaluate_spotting import make_test
from adml.evaluation.spotting_plot import curve

RATE_HZ = 16000


def make_set(folder, texts, seconds):
    rng = np.random.default_rng(len(texts))
    (folder / "audio").mkdir(parents=True)
    lines = ["path\ttext\tspeaker\tduration"]
    for number, text in enumerate(texts):
        time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        samples = 0.2 * np.sin(2000 * time * (1 + 0.2 * np.sin(rng.uniform(3, 20) * time)))
        soundfile.write(folder / f"audio/{number}.wav", samples, RATE_HZ)
        lines.append(f"audio/{number}.wav\t{text}\ts{number}\t{seconds}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    make_set(root / "clips", ["computer", "jarvis", "computer", ""], 1.0)
    make_set(root / "speech", ["my computer is new", "nothing of it", "computers"], 4.0)
    make_set(root / "noise", ["rain"], 2.0)
    return root


def test_what_says_a_keyword_is_no_background(sets):
    test = make_test(sets / "clips", sets / "speech")
    assert test.keywords == ("computer", "jarvis") and len(test.clips) == 3
    assert [path.split("/")[-1] for path in test.background] == ["1.wav", "2.wav"]
    only = make_test(sets / "clips", sets / "speech", keywords=["jarvis"], limit=2)
    assert only.keywords == ("jarvis",) and len(only.background) == 2


def test_a_bad_recording_is_left_out(sets, tmp_path, caplog):
    folder = make_set(tmp_path / "clips", ["computer", "computer"], 1.0)
    (folder / "audio" / "0.wav").write_bytes(b"no audio")
    test = make_test(folder, sets / "speech")
    assert len(test.clips) == 1 and "0.wav" in caplog.text


def test_what_is_missing_is_told(sets):
    for noise, ratios in ((None, [10]), (sets / "noise", [])):
        with pytest.raises(UsageError, match="both .--noise, --snr. or neither"):
            make_test(sets / "clips", sets / "speech", noise, snr_db=ratios)
    with pytest.raises(DataError, match="Received: 0 and 3"):
        make_test(sets / "clips", sets / "speech", keywords=["jukebox"])


def test_the_command(tiny_export, sets, tmp_path, capsys):
    given = ["--model", tiny_export, "--clips", sets / "clips", "--background", sets / "speech"]
    more = ["--noise", sets / "noise", "--snr", "10", "10", "--record", tmp_path / "record.json",
            "--plot", tmp_path / "det.png", "--json"]  # fmt: skip
    (tmp_path / "record.json").write_text("earlier")
    assert main(["evaluate", "spotting", *map(str, given + more)]) == 2
    captured = capsys.readouterr()
    assert "record.json exists. Expected: a new file" in captured.err and not captured.out
    assert (tmp_path / "record.json").read_text() == "earlier"
    more += ["--overwrite"]
    assert main(["evaluate", "spotting", *map(str, given + more)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "record.json").read_text())
    assert set(told["engines"]) == {"adml, clean", "adml, 10 dB"}
    assert told["clips"] == {"computer": 2, "jarvis": 1} and told["hours"] == 8 / 3600
    assert len(told["model"]) == 64 and told["commit"]
    for values in told["engines"].values():
        assert values["cpu_seconds_per_hour"] > 0
        assert [point["limit_per_hour"] for point in values["keywords"]["jarvis"]] == [
            0.5, 1, 2, 5, 10,
        ]  # fmt: skip
        assert all(point["false_alarms"] == 0 for point in values["keywords"]["computer"])
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    given += ["--record", tmp_path / "file" / "record.json"]
    assert main(["evaluate", "spotting", *map(str, given)]) == 2
    captured = capsys.readouterr()
    *table, nothing, alarms = captured.out.splitlines()  # told although it cannot be written
    assert "Cannot write" in captured.err and not nothing
    # in 8 seconds none: the 97.5 % quantile of a Poisson count with none is -ln 0.025 at most
    high = -np.log(0.025) * 3600 / 8
    told = f"False alarms in 0.00 h of background, at most: 0.5/h: 0 (0.00 [0.00, {high:.2f}] an h"
    assert alarms.startswith(told) and alarms.count("/h: 0") == 5
    assert len(table) == 4 and table[2].startswith("| adml, clean | computer | 2 | ")


def test_the_curve_by_hand():
    from adml.evaluation.spotting import Spotted

    clips, alarms = {"one": np.array([0.2, 0.4, 0.9])}, {"one": np.array([0.1, 0.5, 0.3])}
    per_hour, misses = curve(Spotted(clips, alarms, 2.0, 1.0), "one")
    assert per_hour.tolist() == [0.5, 1.0, 1.5]
    np.testing.assert_allclose(misses, [2 / 3, 1 / 3, 0])


needs_pocketsphinx = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="needs the extra benchmark"
)


@needs_pocketsphinx
def test_pocketsphinx_hears_a_keyword(speech_root):
    from adml.audio.decoding import decode
    from adml.evaluation.pocketsphinx import PocketSphinx

    engine = PocketSphinx(["computer", "alexa"])
    paths = sorted((speech_root / "wake_words" / "audio" / "computer").iterdir())[:8]
    found = [engine(decode(path)) for path in paths]
    assert sum(len(told["computer"][0]) > 0 for told in found) >= 6
    for told in found:
        times, scores = told["computer"]
        assert len(times) == len(scores) and (times >= 0).all() and (times < 10).all()
    with pytest.raises(UsageError, match="cannot pronounce 'blorxqq'"):
        PocketSphinx(["blorxqq"])


def test_without_pocketsphinx_the_extra_is_named(monkeypatch):
    import sys

    from adml.evaluation.pocketsphinx import PocketSphinx

    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UsageError, match="benchmark"):
        PocketSphinx(["computer"])
