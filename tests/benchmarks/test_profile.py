"""The profile of a step: its parts are there, and are parts of it."""

from __future__ import annotations

import json

import pytest

from adml.benchmarks.profile import format_profile, profile_benchmark
from adml.benchmarks.record import read_benchmark, write_benchmark
from adml.errors import DataError

LOSSES = {
    "adversarial_phoneme", "adversarial_utterance", "keyword", "monotonic", "phoneme",
    "rpl_angle", "rpl_distance", "rpl_prototype", "utterance_asyp",
}  # fmt: skip


@pytest.fixture(scope="module")
def values(thin_encoders, eagerly):
    with eagerly():
        return profile_benchmark(3, rounds=2)


def test_every_part_of_the_step_is_timed(values):
    rows = {row["part"]: row for row in values["parts"]}
    assert {name.removeprefix("loss ") for name in rows if name.startswith("loss ")} == LOSSES
    for name in ("front end", "acoustic tower, both ways", "text tower, both ways", "update"):
        assert name in rows
    for row in rows.values():
        assert 0 < row["low"] <= row["seconds"] <= row["high"]
    assert rows["front end"]["low"] < rows["whole step"]["high"]
    assert rows["forward"]["low"] < rows["forward and backward"]["high"]
    assert values["batch_size"] == 6 and values["phonemes"] % 2 == 0
    assert values["peak_mb"] > 100 and values["share"] > 0


def test_the_table_tells_the_shares(values):
    table = format_profile(values)
    assert "| whole step |" in table and "| 100.0% |" in table
    assert f"trains {values['share']:.0%} as many" in table


def test_a_record_tells_what_it_was_measured_on(tmp_path):
    path = write_benchmark(tmp_path / "b.json", {"seconds": 1.5})
    record = read_benchmark(path)
    assert record["values"] == {"seconds": 1.5}
    assert {"command", "created", "processors", "versions", "commit"} <= set(record)
    path.write_text(json.dumps({"values": 1}))
    with pytest.raises(DataError, match="b.json is no benchmark.*command"):
        read_benchmark(path)
