"""The command line: data on stdout, one clear message on stderr, the right exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adml.cli import main
from adml.data.batches import BatchSource

pytestmark = pytest.mark.usefixtures("thin_encoders")

VERBS = ("quickstart", "train", "evaluate", "export", "score", "g2p", "results")
VERBS += ("report", "gradients", "postmortem", "benchmark", "trials")


@pytest.fixture
def run_cli(capsys):
    """Runs a command; gives its exit code, stdout and stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def settings(overrides: list[str]) -> list[str]:
    return [part for item in overrides for part in ("--set", item)]


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory) -> Path:
    """The export of the tiny run, made by the command."""
    folder = tmp_path_factory.mktemp("export") / "model"
    assert main(["export", str(tiny_run), "--out", str(folder), "--json"]) == 0
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: adml {verb}") and "exit codes: 0 ok" in said


def test_help_names_all_verbs_and_version_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith("adml 0.")


@pytest.mark.parametrize("arguments", [[], ["sing"], ["train"], ["score", "clip"], ["g2p"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    assert end.value.code == 2 and "usage: adml" in captured.err and not captured.out


def test_g2p_prints_phonemes(run_cli):
    code, out, _ = run_cli("g2p", "hey bixby", "stop 2")
    assert code == 0
    for word in ("hey", "bixby", "stop", "HH EY1", "S T AA1 P", "T UW1"):
        assert word in out


def test_g2p_prints_json_and_takes_pronunciations(run_cli, tmp_path):
    (tmp_path / "own.txt").write_text("bixby B IH1 K S B IY0\n")
    code, out, _ = run_cli("g2p", "hey bixby", "--json", "--pronunciations", tmp_path / "own.txt")
    (entry,) = json.loads(out)
    assert code == 0 and entry["text"] == "hey bixby"
    assert [w["source"] for w in entry["words"]] == ["dictionary", "user"]
    assert entry["words"][1]["phonemes"] == ["B", "IH1", "K", "S", "B", "IY0"]


@pytest.mark.parametrize("text", ["", "!?", "привет", "word " * 500])
def test_g2p_of_bad_text_is_a_data_problem(run_cli, text):
    code, out, err = run_cli("g2p", text)
    assert (code, out) == (3, "")
    assert err.startswith("adml: ") and "Traceback" not in err


def test_evaluate_prints_the_record(run_cli, tiny_run, tmp_path, speech_cache):
    code, out, _ = run_cli(
        "evaluate", tiny_run, "--json", "--trials", "words", "--cache", speech_cache,
        "--record", tmp_path / "record.json",
    )  # fmt: skip
    record = json.loads(out)
    assert code == 0 and set(record["metrics"]) == {"words"}
    assert json.loads((tmp_path / "record.json").read_text()) == record
    code, out, _ = run_cli("results", "--records", tmp_path, "--analysis", tmp_path / "absent")
    assert code == 0 and out.startswith("# Results") and "words" in out
    figure = 100 * record["metrics"]["words"]["all"]["average_precision"]["value"]
    assert f"{figure:.2f}" in out
    code, out, _ = run_cli("results", "--records", tmp_path, "--out", tmp_path / "RESULTS.md")
    assert (code, out) == (0, "") and "words" in (tmp_path / "RESULTS.md").read_text()


def test_export_and_score(run_cli, exported, speech_folder, tmp_path):
    clip, broken = speech_folder / "test" / "audio" / "train" / "0.wav", tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    code, out, _ = run_cli(
        "score", clip, "-k", "yes", "-k", "hey bixby", "--json", "--model", exported
    )
    rows = json.loads(out)
    assert code == 0 and [row["keyword"] for row in rows] == ["yes", "hey bixby"]
    assert all(-1.001 <= row["score"] <= 1.001 for row in rows)
    code, out, err = run_cli("score", broken, clip, "-k", "yes", "--model", exported)
    assert code == 3 and "broken.wav" in err
    assert out == f"{rows[0]['score']:7.4f}  yes  {clip}\n"
    code, out, err = run_cli("score", clip, "-k", "привет", "--model", exported)
    assert (code, out) == (3, "") and err.startswith("adml: ")


def test_export_overwrites_nothing(run_cli, exported, tiny_run):
    before = {path: path.stat().st_mtime_ns for path in exported.rglob("*")}
    code, out, err = run_cli("export", tiny_run, "--out", exported)
    assert (code, out) == (2, "") and str(exported) in err
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*")} == before


def test_a_whole_run_is_resumed_without_work(run_cli, tiny_run, speech_cache):
    before = (tiny_run / "metrics.csv").read_bytes()
    code, out, _ = run_cli("train", "--out", tiny_run, "--resume", "--cache", speech_cache)
    assert (code, out) == (0, f"{tiny_run}\n")
    assert (tiny_run / "metrics.csv").read_bytes() == before
    assert json.loads((tiny_run / "cost.json").read_text())["steps"] == 5


@pytest.mark.parametrize(
    "more, code, words",
    [
        (["--set", "losses.phonem.kind=asyp"], 2, ["losses.phonem", "'phoneme'"]),
        (["--set", "training.step=3"], 2, ["training.step", "'steps'"]),
        (["--set", "batches.keyword_classes=1"], 2, ["batches.keyword_classes", "1"]),
        (["--set", "seed"], 2, ["seed", "dotted.key=value"]),
        (["--config", "absent.yaml"], 2, ["absent.yaml"]),
        (["--set", "data.root=''"], 2, ["--speech"]),
        (["--speech", "absent"], 3, ["absent"]),
        (["--set", "data.train=[absent]"], 3, ["absent"]),
        (["--set", "data.min_words=9", "--set", "data.max_words=9"], 3, ["No segments are left"]),
        (["--set", "batches.keywords=500"], 3, ["too few keywords", "500"]),
        (["--set", "training.replicas=64"], 2, ["training.replicas", "64"]),
    ],
    ids=lambda value: "" if isinstance(value, int) else str(value[-1])[:24],
)
def test_a_start_that_cannot_be(run_cli, tiny_overrides, speech_cache, tmp_path, more, code, words):
    out = tmp_path / "run"
    given = ["train", "--out", out, "--cache", speech_cache, *settings(tiny_overrides), *more]
    received, said, err = run_cli(*given)
    message = err.splitlines()[-1]
    assert (received, said) == (code, "")
    assert message.startswith("adml: ") and "Traceback" not in err
    assert all(word in message for word in words)
    assert not out.exists() or [path.name for path in out.iterdir()] in ([], [".lock"])


def test_run_folders_that_exist_or_cannot_be_made(run_cli, tiny_run, tiny_overrides, tmp_path):
    kept = (tiny_run / "config.yaml").read_bytes()
    code, _, err = run_cli("train", "--out", tiny_run, *settings(tiny_overrides))
    assert code == 2 and str(tiny_run) in err and "--resume" in err
    assert (tiny_run / "config.yaml").read_bytes() == kept
    code, _, err = run_cli("train", "--out", tiny_run, "--resume", "--set", "seed=4")
    assert code == 2 and "another configuration" in err
    code, _, err = run_cli("train", "--out", tiny_run, "--resume", "--deterministic")
    assert code == 2 and "Resume without" in err and "--deterministic" in err
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        code, _, err = run_cli("train", "--out", folder, *settings(tiny_overrides))
        assert code == 2 and str(folder) in err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def failed_run(run_cli, tiny_run, tmp_path, speech_cache, monkeypatch, eagerly):
    """A copy of the tiny run that met a NaN at its fifth and last step; the rest of its line."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    shutil.rmtree(folder / "checkpoints" / "step-00000005")
    config = (folder / "config.yaml").read_text()
    assert "max_nonfinite_steps: 10" in config
    config = config.replace("max_nonfinite_steps: 10", "max_nonfinite_steps: 0")
    (folder / "config.yaml").write_text(config)
    batches = BatchSource.dataset

    def silent(self, *steps):
        for batch in batches(self, *steps):
            waveform = np.array(batch["waveform"])
            waveform[2, 100] = np.nan
            yield batch | {"waveform": tf.constant(waveform)}

    monkeypatch.setattr(BatchSource, "dataset", silent)
    with eagerly():
        code, out, err = run_cli("train", "--out", folder, "--resume", "--cache", speech_cache)
    assert (code, out) == (4, "")
    return folder, err.splitlines()[-1]


def test_a_loss_that_is_not_finite_is_exit_code_4(run_cli, failed_run, tiny_run):
    """The last whole checkpoint of an earlier stretch stays, and what there was is looked at."""
    folder, said = failed_run
    assert "Not finite at step 5: " in said and f"adml postmortem {folder}" in said
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000004"]
    code, out, _ = run_cli("postmortem", folder, "--json")
    found = json.loads(out)
    assert code == 0 and found["step"] == 5 and found["skipped"] == [5]
    assert found["inputs"] == {"waveform": [2]} == {"waveform": found["features"]}
    assert found["alone"] == [2] and set(found["items"]) == {"2"}
    assert found["recorded"]["total"] == "nan" and "total" in found["terms"]
    assert found["variables"] == {} and "audio_utterance" in found["outputs"]
    assert any("stem" in name for name in found["gradients"]["keyword"])
    code, out, _ = run_cli("postmortem", folder)
    assert code == 0 and "batch, waveform:       row 2\n" in out
    assert out.splitlines()[-1] == found["verdict"] and "batch is not finite" in found["verdict"]
    code, out, err = run_cli("postmortem", tiny_run)
    assert (code, out) == (2, "") and "no postmortem/" in err


@pytest.mark.parametrize("verb", ["evaluate", "export", "score"])
def test_a_folder_that_is_no_run(run_cli, tmp_path, verb):
    given = ["clip.wav", "-k", "yes", "--model"] if verb == "score" else []
    code, out, err = run_cli(verb, *given, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("adml: ") and str(tmp_path) in err


def test_a_start_says_nothing_of_missing_gpus(tmp_path):
    """In a process of its own: TensorFlow's native code writes when it is loaded."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("with a GPU, what TensorFlow's native code says of it is shown")
    environment = {key: text for key, text in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "adml", "export", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1]
    )
    assert (done.returncode, done.stdout) == (2, "")
    *before, line = done.stderr.splitlines()
    assert line.startswith("adml: ") and str(tmp_path) in line
    # Newer TensorFlow writes information ("I0000 ...") before its level can be set.
    unsilenced = r"I0|WARNING: All log messages before absl|To enable the following instructions"
    assert not [text for text in before if text and not re.match(unsilenced, text)]
    assert not before or not tf.__version__.startswith(("2.16", "2.17"))


def test_letters_that_the_terminal_lacks_are_spelt_out(tmp_path):
    (tmp_path / "manifest.tsv").write_text("path\ttext\tspeaker\tduration\na.wav\tcafé\tann\t1\n")
    done = subprocess.run(
        [sys.executable, "-m", "adml", "data", "stats", str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("most frequent: caf\\xe9 (1)\n")


@pytest.mark.parametrize(
    ("named", "code", "words"),
    [("absent", 2, ["'absent'", "--test-sets"]), ("train,test", 2, ["none to train on"])],
)
def test_quickstart_of_test_sets_that_cannot_be(
    run_cli, speech_folder, tmp_path, named, code, words
):
    given = ["--speech", speech_folder, "--out", tmp_path / "run", "--test-sets", named]
    received, _, err = run_cli("quickstart", *given)
    assert received == code and all(word in err for word in words)
    assert run_cli("quickstart", "--test-sets", "test", "--out", tmp_path / "run")[0] == 2
    assert not (tmp_path / "run").exists()


def test_quickstart_of_nothing(run_cli, tmp_path):
    code, _, err = run_cli("quickstart", "--speech", tmp_path / "absent", "--out", tmp_path / "run")
    assert code == 2 and "absent" in err
    code, _, err = run_cli("quickstart", "--speech", tmp_path, "--out", tmp_path / "run")
    assert code == 3 and "words.tsv" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [["benchmark", "--batch", "0"], ["benchmark", "--rounds", "-1"], ["quickstart", "--steps", "0"],
     ["quickstart", "--seed", "-1"], ["evaluate", "run", "--ctc-weight", "-0.5"]],
)  # fmt: skip
def test_counts_below_one_are_usage_errors(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert command[-1] in capsys.readouterr().err


def test_a_benchmark_takes_one_kind_and_a_record_that_can_be_written(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["benchmark", "--profile", "--kinds"])
    assert caught.value.code == 2
    assert "--kinds: not allowed with argument --profile" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    record = tmp_path / "file" / "figures.json"
    assert main(["benchmark", "--classes", "8", "--record", str(record)]) == 2
    assert "--record" in capsys.readouterr().err


def test_resuming_where_no_run_is_starts_none(tmp_path, capsys):
    assert main(["train", "--resume", "--out", str(tmp_path / "absent")]) == 2
    assert "no run in" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


def test_closed_streams_are_no_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["adml", "data", "download", "--list"])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stdin", None)
    assert main() == 0
    with sys.stdout, sys.stdin:
        assert sys.stdin.buffer.read() == b""
