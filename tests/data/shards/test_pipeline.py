"""The shards of an Apache Beam pipeline, in a process of its own, for its imports warn."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from adml.cli import main
from adml.data.shards.making import make_shards

from .conftest import files_of

WITHOUT_BEAM = importlib.util.find_spec("apache_beam") is None


def shard(corpus, out, *options):
    command = [sys.executable, "-m", "adml", "data", "shard", str(corpus), "--out", str(out)]
    return subprocess.run([*command, "--beam", *options], capture_output=True, text=True)


@pytest.mark.skipif(WITHOUT_BEAM, reason="needs the extra beam")
def test_a_pipeline_writes_the_same_bytes(corpus, tmp_path):
    done = shard(corpus, tmp_path / "beam", "--runner=DirectRunner")
    assert done.returncode == 0, done.stderr
    make_shards(corpus, tmp_path / "plain", jobs=1)
    assert files_of(tmp_path / "beam") == files_of(tmp_path / "plain")


@pytest.mark.skipif(WITHOUT_BEAM, reason="needs the extra beam")
def test_a_runner_that_is_none(corpus, tmp_path):
    done = shard(corpus, tmp_path / "beam", "--runner=Nobody")
    assert done.returncode == 2 and "Unexpected pipeline runner: Nobody" in done.stderr
    assert not (tmp_path / "beam").exists()


def test_beam_that_is_not_installed(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "adml.data.shards.pipeline", raising=False)
    assert main(["data", "shard", str(corpus), "--out", str(tmp_path / "out"), "--beam"]) == 2
    assert "Expected: the extra beam" in capsys.readouterr().err
