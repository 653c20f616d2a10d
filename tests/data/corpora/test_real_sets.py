"""Some recordings of every real set: prepared, verified and counted, they are what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adml.data.corpora.statistics import statistics
from adml.data.corpora.verify import verify
from adml.data.words import read_clips, read_words

from .conftest import read_list

SETS = (
    "librispeech_dev", "librispeech_train", "ljspeech", "noise", "speech_commands",
    "speechocean762", "wake_words",
)  # fmt: skip
TAKEN = 12


@pytest.fixture(params=SETS)
def some(request, speech_root, tmp_path) -> Path:
    """A few recordings of a set, spread over it, as a set of its own."""
    source = speech_root / request.param
    if not (source / "manifest.tsv").is_file():
        pytest.skip(f"{speech_root} holds no {request.param}")
    rows = read_list(source / "manifest.tsv")
    rows = rows[:: max(1, len(rows) // TAKEN)][:TAKEN]
    paths = {row["path"] for row in rows}
    folder = tmp_path / "some"
    for name in ("manifest.tsv", "words.tsv"):
        if (source / name).is_file():
            folder.mkdir(exist_ok=True)
            header, *lines = (source / name).read_text(encoding="utf-8").splitlines()
            taken = [line for line in lines if line.split("\t")[0] in paths]
            (folder / name).write_text("\n".join([header, *taken, ""]), encoding="utf-8")
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((source / path).read_bytes())
    return folder


@pytest.mark.parametrize("audio", ["link", "flac"])
def test_real_sets(prepared, some, audio):
    made = prepared("plain", some, audio=audio)
    assert not made.set_aside
    timed = (some / "words.tsv").is_file()
    read = read_words if timed else read_clips
    was, now = read(some), read(made.folder)
    for column in ("word", "speaker", "start_s", "end_s", "index", "confidence"):
        np.testing.assert_array_equal(getattr(now, column), getattr(was, column))
    assert [Path(path).stem for path in now.path] == [Path(path).stem for path in was.path]
    found, counted = verify(made.folder), statistics(made.folder)
    assert not found.bad and found.recordings == counted.recordings == TAKEN
    assert found.words == (len(now) if timed else 0)
    assert found.hours == pytest.approx(made.described["hours"], abs=1e-3)
