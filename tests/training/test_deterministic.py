"""`adml train --deterministic`: in a process of its own, because it cannot be switched off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SCRIPT = """
import importlib.util, sys
import numpy as np
import tensorflow as tf
conftest, cache, one, two, *sets = sys.argv[1:]
folders = [one, two]
spec = importlib.util.spec_from_file_location("shared", conftest)
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from adml.cli import main
with shared.thin(), shared.run_eagerly():
    for folder in folders:
        given = ["train", "--deterministic", "--out", folder, "--cache", cache]
        assert main([*given, *(part for item in sets for part in ("--set", item))]) == 0
        resumed = ["train", "--deterministic", "--resume", "--out", folder, "--cache", cache]
        assert main(resumed) == 0, "its own configuration is deterministic too"
readers = [tf.train.load_checkpoint(f"{f}/checkpoints/step-00000003/state") for f in folders]
names = [n for n in readers[0].get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
assert len(names) > 100
different = [n for n in names if not np.array_equal(*(r.get_tensor(n) for r in readers))]
assert not different, different
tf.random.set_seed(None)
try:
    tf.random.uniform([1])
except RuntimeError as error:
    assert "determinism" in str(error)
    print("deterministic")
"""


def test_two_runs_are_equal_and_the_switch_is_on(tmp_path, tiny_overrides, speech_cache):
    sets = [*tiny_overrides, "training.steps=3"]
    folders = [str(tmp_path / name) for name in ("one", "two")]
    given = [str(TESTS / "conftest.py"), str(speech_cache), *folders, *sets]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *given],
        capture_output=True, text=True, cwd=TESTS.parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "deterministic"
    assert "deterministic: true" in (tmp_path / "one" / "config.yaml").read_text()
