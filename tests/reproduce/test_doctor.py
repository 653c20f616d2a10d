"""What the tables need, and what of it is there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from adml.cli import main
from adml.data.corpora.registry import CORPORA
from adml.data.trial_list import Clip, TrialList
from adml.evaluation.registry import read_registry, read_scale
from adml.reproduce.doctor import SCALES, examine, format_examined

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SCALE = """text: five steps
tests: {words: words}
needs:
  - {path: train/words.tsv, what: speech, columns: "path, word", command: make SPEECH/train}
  - {path: noise/manifest.tsv, what: noise, columns: "path, duration"}
  - {path: rir, what: rooms}
  - {path: other.csv, what: another table, tables: [table2]}
"""


@pytest.fixture
def experiments(make_experiments, tmp_path):
    folder = make_experiments(tmp_path / "experiments", scale=SCALE)
    (folder / "scale" / "paper.yaml").write_text(SCALE.replace("{words: words}", "{}"))
    return folder


def test_what_is_there(experiments, tmp_path, speech_set):
    speech = tmp_path / "speech"
    for name in ("train", "rir"):
        (speech / name).mkdir(parents=True)
    (speech / "train" / "words.tsv").write_text("path\tword\na.wav\tyes\nodd\n")
    (speech / "noise").mkdir()
    (speech / "noise/manifest.tsv").write_text("path\tspeech_start\tspeech_end\n")
    needs = {one.path: one for one in examine(experiments, speech, ["open"])}
    assert set(needs) == {"train/words.tsv", "noise/manifest.tsv", "rir"}
    assert (needs["train/words.tsv"].there, needs["train/words.tsv"].found) == (True, "1 rows")
    assert (needs["noise/manifest.tsv"].there, needs["noise/manifest.tsv"].found) == (
        False, "0 rows",
    )  # fmt: skip
    assert not needs["rir"].there
    (speech / "rir" / "room.wav").write_bytes(b"")
    (speech / "train" / "words.tsv").write_text("path\ttext\na.wav\tyes\n")
    needs = {one.path: one for one in examine(experiments, speech, ["open"])}
    assert needs["rir"].there and not needs["train/words.tsv"].there
    assert "no column word" in needs["train/words.tsv"].found
    assert needs["train/words.tsv"].command == f"make {speech}/train"


def test_what_is_told(experiments, capsys):
    assert main(["data", "doctor", "--experiments", str(experiments)]) == 0
    text = capsys.readouterr().out
    assert text == format_examined(examine(experiments, None)) + "\n"
    assert "table1 at the scale paper: 0 of 4 there" in text
    assert "missing  words: list of trials; none plays this role yet" in text
    assert "missing  train/words.tsv: speech\n           make SPEECH/train" in text
    assert main(["data", "doctor", "--experiments", str(experiments), "--json"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)[:2]] == [
        "words", "train/words.tsv",
    ]  # fmt: skip


def test_a_list_of_trials_is_read(experiments, tmp_path):
    scale = SCALE.replace("other.csv", "other.tsv").replace(", tables: [table2]", "")
    (experiments / "scale" / "open.yaml").write_text(scale)
    speech = tmp_path / "speech"
    speech.mkdir()
    clips, columns = [Clip("a.wav", 0.0, 1.0, "a", "a")], ([0], [0], [1])
    TrialList("mine", "csv-easy", clips, ["a"], *columns).write(speech / "other.tsv")

    def found():
        (one,) = [one for one in examine(experiments, speech, ["open"]) if "other" in one.path]
        return one

    assert found().there and found().found == "1 trials, csv-easy"
    (speech / "other.tsv").write_text("no\nlist of trials\n")
    assert not found().there and "damaged at line 1" in found().found


def test_the_sets_of_the_open_scale_are_no_lists_of_trials(tmp_path):
    """With the least that each set may hold, nothing is missing."""
    for need in read_scale(EXPERIMENTS, "open").needs:
        path = tmp_path / need.path
        if path.suffix != ".tsv":
            path = path / "room.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("path\ttext\tspeaker\tspeech_start\tspeech_end\na.wav\ta\tb\t0\t1\n")
        if path.name.endswith("words.tsv"):
            word = "text" if path.name.startswith("mfa") else "word"
            header = f"path\t{word}\tspeaker\tstart\tend\tindex\n"
            path.write_text(header + "a.wav\ta\tb\t0\t1\t0\n")
    examined = examine(EXPERIMENTS, tmp_path, ["open"])
    assert not [(one.path, one.found) for one in examined if not one.there]


def test_the_folder_stands_for_itself_alone(tmp_path):
    commands = {one.path: one.command for one in examine(EXPERIMENTS, tmp_path / "my speech")}
    words = shlex.split(commands["librispeech_dev/words.tsv"])
    assert words[words.index("--source") + 1] == "LIBRISPEECH/dev-clean"
    assert words[words.index("--out") + 1] == str(tmp_path / "my speech" / "librispeech_dev")


def test_every_command_names_a_corpus_and_a_place_of_its_need():
    for scale in SCALES:
        for need in read_scale(EXPERIMENTS, scale).needs:
            if not need.command:
                assert "adml trials" in need.what or "--subset hard" in need.what, need.path
                continue
            words = need.command.split()
            assert words[:3] == ["adml", "data", "prepare"] and words[3] in CORPORA
            place = words[words.index("--out") + 1]
            assert need.path.startswith(place.removeprefix("SPEECH/")) or place == "OTHER"


def test_every_table_is_examined_at_both_scales():
    tables = {table.name for table in read_registry(EXPERIMENTS).tables}
    found = {(one.scale, one.table) for one in examine(EXPERIMENTS, None)}
    assert found == {(scale, table) for scale in SCALES for table in tables}
