"""The lock of a run folder: one holder, released by the end of the process, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adml.errors import UsageError
from adml.training.lock import sole_trainer

HOLDER = """
import sys, time
from adml.training.lock import sole_trainer
with sole_trainer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_cannot_hold_it_and_a_killed_process_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout.readline() == "held\n"
            told = "Another process trains.*choose another folder"
            with pytest.raises(UsageError, match=told), sole_trainer(tmp_path):
                pass
        finally:
            process.kill()
        process.wait()
    with sole_trainer(tmp_path), pytest.raises(UsageError), sole_trainer(tmp_path):
        pass
    with sole_trainer(tmp_path):
        pass
