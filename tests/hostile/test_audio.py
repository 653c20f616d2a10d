"""Damaged audio files by the hundred: samples or one clear error, soon and in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adml.audio.decoding import decode
from adml.errors import AudioError

SCRIPT = Path(__file__).with_name("mutations.py")
LONGEST_S = 2.0
"""Of the processor, for a file; a clock would measure the other processes too."""


def run_apart(command: list, first: int, last: int) -> tuple[dict[int, str], dict[int, dict]]:
    """What was done to each file, and how it ended; a process that dies is followed by another."""
    done, ended = {}, {}
    while first < last:
        child = [sys.executable, *map(str, command), str(first), str(last)]
        told = subprocess.run(child, capture_output=True, text=True, errors="replace")
        for row in map(json.loads, told.stdout.splitlines()):
            if "done" in row:
                done[row["number"]] = row["done"]
            else:
                ended[row["number"]] = row
        if told.returncode == 0:
            break
        assert done, told.stderr
        first = max(done) + 1
        if first - 1 not in ended:
            last_words = f"exit code {told.returncode}: {told.stderr[-2000:]}"
            ended[first - 1] = {"ended": f"fault: {last_words}"}
    return done, ended


def faults_of(done: dict[int, str], ended: dict[int, dict]) -> list[str]:
    return [
        f"{number} ({done[number]}): {row['ended']}, {row.get('seconds', 0):.1f} s"
        for number, row in ended.items()
        if row["ended"] not in ("decoded", "refused") or row.get("seconds", 0) > LONGEST_S
    ]


def test_damaged_files_end_in_samples_or_an_error_that_names_them(mutations):
    done, ended = run_apart([SCRIPT], 0, mutations)
    assert set(done) == set(ended) == set(range(mutations))
    assert not (faults := faults_of(done, ended)), "\n".join(faults)
    decoded = sum(row["ended"] == "decoded" for row in ended.values())
    assert mutations / 10 < decoded < mutations / 2, "neither all whole nor all refused at once"
    peak_mib = max(row["peak_kib"] for row in ended.values()) / 1024
    slowest_s = max(row["seconds"] for row in ended.values())
    sys.stdout.write(
        f"{mutations} files: {decoded} decoded, {mutations - decoded} refused; "
        f"the slowest {slowest_s:.3f} s, the peak {peak_mib:.0f} MiB\n"
    )


CRASH_AT_3 = """
import json, os, sys
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    sys.stdout.write(json.dumps({"number": number, "done": "x"}) + "\\n")
    sys.stdout.flush()
    if number == 3:
        os.abort()
    seconds = 2.5 if number == 5 else 0.1
    told = {"number": number, "ended": "decoded", "seconds": seconds}
    sys.stdout.write(json.dumps(told) + "\\n")
"""


def test_a_crash_and_a_slow_file_are_found_and_those_after_them_are_tried():
    done, ended = run_apart(["-c", CRASH_AT_3], 0, 8)
    assert set(done) == set(ended) == set(range(8))
    crash, slow = faults_of(done, ended)
    assert crash.startswith("3 (x): fault: exit code -6") and slow == "5 (x): decoded, 2.5 s"


def constant_flac(blocks: int, rate_hz: int) -> bytes:
    """A FLAC of blocks of 65,535 equal samples, 13 to 15 bytes each: what it promises, it holds."""
    block = 65535
    packed = rate_hz << 44 | 15 << 36 | blocks * block
    first = block.to_bytes(2, "big") * 2 + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80" + len(first).to_bytes(3, "big") + first + bytes(14 * blocks)


def test_more_frames_than_memory_is_meant_for_are_refused_before_they_are_decoded():
    """Within the limit of seconds and of frames a byte: 3 h at 384 kHz, 16 GB of samples."""
    with pytest.raises(AudioError, match="too long for its sampling rate.*at most 691200000"):
        decode(constant_flac(64000, 384000))
