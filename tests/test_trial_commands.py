"""`adml trials`: lists written as files, and what is told of them."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from adml import trial_options
from adml.build.trials import build_trials
from adml.cli import main
from adml.config import TrialsConfig
from adml.data import libriphrase
from adml.data.libriphrase_pairs import COLUMNS
from adml.data.trial_list import Clip, TrialList

LIBRIPHRASE = f"""{",".join(("", *COLUMNS))}
0,1.wav,1,yes,0.5,2.wav,2,yes,0.6,diffspk_positive,1,1
1,1.wav,1,yes,0.5,3.wav,2,no,0.6,diffspk_easyneg,0,1
2,1.wav,1,yes,0.5,4.wav,2,yet,0.6,diffspk_hardneg,0,1
"""


@pytest.fixture(autouse=True)
def root_logger_of_pytest(monkeypatch):
    """The command line would take the root logger, which `caplog` listens to."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


@pytest.fixture
def run_cli(capsys):
    """Runs `adml trials`; gives its exit code, stdout and stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["trials", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "lists.yaml"
    lists = ["{name: words, folder: test, min_seconds: 0.2, negatives: 2}"]
    lists += ["{name: choice, kind: choice, folder: test, min_seconds: 0.2, choices: 3}"]
    path.write_text(f"evaluation: {{trials: [{', '.join(lists)}]}}\n")
    return path


@pytest.mark.parametrize("kind", ["draw", "libriphrase", "neighbours", "noisy", "show"])
def test_every_kind_has_help(kind, capsys):
    with pytest.raises(SystemExit) as end:
        main(["trials", kind, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and said.startswith(f"usage: adml trials {kind}")
    assert "exit codes: 0 ok" in said


def test_choices_are_those_of_the_package():
    assert trial_options.PROTOCOLS == libriphrase.PROTOCOLS
    assert trial_options.SUBSETS == libriphrase.SUBSETS


def test_the_lists_of_a_configuration_are_drawn_twice_alike(
    run_cli, config, speech_folder, tmp_path
):
    given = ["draw", "--config", config, "--speech", speech_folder, "--out", tmp_path / "a"]
    code, out, _ = run_cli(*given)
    lists = [TrialList.read(tmp_path / "a" / f"{name}.tsv") for name in ("words", "choice")]
    assert code == 0 and len(out.splitlines()) == 2
    for trials, line in zip(lists, out.splitlines(), strict=True):
        assert f"{trials.num_trials} trials" in line and line.endswith(trials.sha256)
    code, out, _ = run_cli(*given[:-1], tmp_path / "b", "--only", "choice", "--json")
    (told,) = json.loads(out)
    assert code == 0 and told["sha256"] == lists[1].sha256
    assert not (tmp_path / "b" / "words.tsv").exists()


def test_another_list_is_replaced_on_request_alone(run_cli, config, speech_folder, tmp_path):
    given = ["draw", "--config", config, "--speech", speech_folder, "--out", tmp_path / "a"]
    assert run_cli(*given)[0] == 0
    config.write_text(config.read_text().replace("negatives: 2", "negatives: 3"))
    code, out, err = run_cli(*given)
    assert (code, out) == (2, "") and "words.tsv is another list" in err
    assert run_cli(*given, "--overwrite")[0] == 0 == run_cli(*given)[0]


def test_libriphrase(run_cli, tmp_path, caplog):
    (tmp_path / "1word.csv").write_text(LIBRIPHRASE)
    given = ["libriphrase", "--csv", tmp_path / "1word.csv", "--protocol", "phonmatchnet"]
    given += ["--name", "lp", "--audio", "lp/wav", "--out", tmp_path / "lp.tsv"]
    code, out, _ = run_cli(*given, "--subset", "easy")
    trials = TrialList.read(tmp_path / "lp.tsv")
    assert code == 0 and trials.protocol == "libriphrase-phonmatchnet-easy"
    assert out == f"{tmp_path / 'lp.tsv'}: 4 trials, 2 positives, 2 texts, sha256 {trials.sha256}\n"
    assert [clip.path for clip in trials.clips] == ["lp/wav/1.wav", "lp/wav/3.wav"]
    assert "not LibriPhrase's official trials" in caplog.text
    code, out, err = run_cli(*given, "--subset", "easy", "--official")
    assert (code, out) == (3, "") and "Expected: 67671 rows of each type and 270684 trials" in err
    code, _, err = run_cli(*given, "--subset", "hard")
    assert code == 2 and "lp.tsv is another list" in err and "--overwrite" in err
    assert run_cli(*given, "--subset", "hard", "--overwrite")[0] == 0
    code, _, err = run_cli(*given, "--subset", "hard", "--speech", tmp_path)
    assert code == 3 and "No rows are left" in err
    code, _, err = run_cli(*given, "--subset", "easy", "--out", tmp_path / "1word.csv")
    assert code == 2 and "is read and written" in err
    for folder in ("../lp", "/lp"):
        code, _, err = run_cli(*given, "--subset", "easy", "--audio", folder)
        assert code == 2 and "leaves the speech folder" in err
    with pytest.raises(SystemExit) as end:
        run_cli(*given, "--subset", "easy", "--name", os.fsdecode(b"\xff"))
    assert end.value.code == 2


def test_neighbours_of_a_file_and_of_stdin(run_cli, tmp_path, monkeypatch):
    words = b"bat\ncat\nthe cat\ndog\n"
    (tmp_path / "words.txt").write_bytes(words)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(words)))
    for name, out in ((tmp_path / "words.txt", "a.tsv"), ("-", "b.tsv")):
        given = ["--words", name, "--count", 2, "--out", tmp_path / out]
        assert run_cli("neighbours", *given)[:2] == (0, f"{tmp_path / out}\n")
    rows = (tmp_path / "a.tsv").read_text().splitlines()
    assert rows[1] == "bat\tB AE1 T\tcat\t0.3333" and len(rows) == 9
    assert rows[5:7] == [
        "the cat\tDH AH0 K AE1 T\tcat\t0.4000",
        "the cat\tDH AH0 K AE1 T\tbat\t0.6000",
    ]
    assert (tmp_path / "b.tsv").read_bytes() == (tmp_path / "a.tsv").read_bytes()
    code, _, err = run_cli("neighbours", "--words", tmp_path / "no", "--out", tmp_path / "c.tsv")
    assert code == 3 and "cannot be read" in err


def test_a_noisy_set_is_evaluated_as_a_list(run_cli, config, speech_folder, speech_cache, tmp_path):
    speech = tmp_path / "speech"
    shutil.copytree(speech_folder, speech)
    drawn = ["--speech", speech, "--only", "words", "--out", tmp_path]
    assert run_cli("draw", "--config", config, *drawn)[0] == 0
    given = ["noisy", tmp_path / "words.tsv", "--speech", speech, "--noise", speech / "noise"]
    given += ["--snr", 0, 5, "--seed", 1, "--out", speech / "loud", "--name", "loud"]
    code, out, err = run_cli(*given, "--cache", speech_cache)
    made = TrialList.read(speech / "loud" / "trials.tsv")
    assert code == 0, err
    assert out.startswith(f"{speech / 'loud' / 'trials.tsv'}: ") and made.sha256 in out
    assert made.num_trials == TrialList.read(tmp_path / "words.tsv").num_trials
    read = TrialsConfig(name="loud", kind="file", folder="loud/trials.tsv")
    assert build_trials(read, speech, None).sha256 == made.sha256
    assert all((speech / clip.path).is_file() for clip in made.clips)
    code, _, err = run_cli(*given, "--cache", speech_cache)
    assert code == 2 and "is there already" in err


def test_show(run_cli, config, speech_folder, tmp_path):
    out = ["--out", tmp_path, "--only", "words"]
    run_cli("draw", "--config", config, "--speech", speech_folder, *out)
    trials = TrialList.read(tmp_path / "words.tsv")
    code, out, _ = run_cli("show", tmp_path / "words.tsv")
    assert code == 0 and "protocol: wsj\n" in out and f"sha256: {trials.sha256}\n" in out
    assert f"trials: {trials.num_trials}\npositives: {trials.num_positives}\n" in out
    assert '"negatives_per_positive": 2' in out and out.count(" says ") == 6
    code, out, _ = run_cli("show", tmp_path / "words.tsv", "--json")
    told = json.loads(out)
    assert code == 0 and told["settings"] == trials.settings
    assert told["texts"] == len(trials.texts) and told["clips"] == len(trials.clips)
    first = told["examples"][0]
    assert first["label"] == 1 and first["said"] == first["text"] == trials.clips[0].text
    assert all(e["said"] != e["text"] for e in told["examples"] if not e["label"])
    clips, columns = [Clip("\x1b[2Ja.wav", 0.0, 1.0, "é", "é")], ([0], [0], [1])
    TrialList("\x9b2J", "mine", clips, ["é"], *columns).write(tmp_path / "odd.tsv")
    code, out, _ = run_cli("show", tmp_path / "odd.tsv")
    assert code == 0 and out.replace("\n", "").isprintable()
    assert "name: \\x9b2J\n" in out and "'é'  \\x1b[2Ja.wav says" in out
    code, out, err = run_cli("show", tmp_path / "none.tsv")
    assert (code, out) == (3, "") and "Cannot read the trial list" in err
