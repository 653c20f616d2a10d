"""`adml data verify` and `adml data stats` of a sharded folder."""

from __future__ import annotations

import json

import pytest

from adml.cli import main
from adml.data.corpora.statistics import statistics

from .conftest import files_of


@pytest.fixture
def copy(sharded, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, data in files_of(sharded).items():
        (folder / name).write_bytes(data)
    return folder


def test_a_whole_folder(copy, capsys):
    assert main(["data", "verify", str(copy)]) == 0
    assert "5 recordings, 0.00 h, 23 words with times; 0 bad rows" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["audio-00000-of-00001.tfrecord", "index.npy", "words.tsv"])
def test_a_changed_bit_and_a_missing_file(copy, capsys, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    (copy / "set_aside.tsv").unlink()
    assert main(["data", "verify", str(copy), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["bad"] == {"file is damaged": 1, "file is missing": 1}
    listed = (copy / "bad.tsv").read_text().splitlines()[1:]
    assert {line.split("\t")[0] for line in listed} == {name, "set_aside.tsv"}


def test_without_a_description_it_is_a_plain_set(copy, capsys):
    (copy / "shards.json").unlink()
    assert main(["data", "verify", str(copy)]) == 3
    assert "audio file is missing" in capsys.readouterr().out


def test_numbers_are_those_of_the_plain_set(copy, corpus, capsys):
    assert statistics(copy) == statistics(corpus)
    assert main(["data", "stats", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recordings"] == 5
