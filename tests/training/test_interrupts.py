"""A second Ctrl-C ends the process at once, though no bytecode is run meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUSY = """
import hashlib, signal, sys
# A shell's background jobs, and so their tests, are started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from adml import commands
from adml.cli import main
def busy(arguments):
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
    return 7
commands.g2p = busy
sys.argv = ["adml", "g2p", "yes"]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("rounds", "signals", "last"),
    [(10**9, 2, "interrupted at once"), (4 * 10**6, 1, "interrupted")],
)
def test_interrupts_during_native_code(rounds, signals, last):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(rounds=rounds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "busy\n"
        for _ in range(signals):
            time.sleep(0.3)  # from the line that says so to the native code, or to the next signal
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    lines = [line for line in said.splitlines() if line]
    assert lines == ["adml: stopping; Ctrl-C again ends at once", f"adml: {last}"]


def test_the_wakeup_is_put_back():
    from adml.training.interrupts import second_interrupt_ends

    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with second_interrupt_ends():
        pass
    assert signal.set_wakeup_fd(before) == before
