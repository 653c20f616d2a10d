"""The figures of docs/scaling.md are those of the recorded benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from adml.benchmarks.classifier import format_classifier_benchmark
from adml.benchmarks.profile import format_profile
from adml.benchmarks.record import read_benchmark
from adml.benchmarks.steps import format_kinds, format_sizes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
TABLES = {
    "classes": lambda rows: f"```\n{format_classifier_benchmark(rows)}\n```",
    "step-500": format_profile,
    "kinds-64": format_kinds,
    "sizes": format_sizes,
}


def values(name: str):
    return read_benchmark(ROOT / "experiments" / "benchmarks" / f"{name}.json")["values"]


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_the_record(name):
    shown = PAGE.split(f"<!-- {name} -->\n\n")[1].split("\n\n<!-- end -->")[0]
    assert shown == TABLES[name](values(name)), f"put the table of {name}.json into the page"


def test_before_and_after_are_those_of_the_records():
    before, after = values("step-500-before"), values("step-500")
    rows = [{row["part"]: row for row in one["parts"]} for one in (before, after)]
    for part in ("loss rpl_angle", "acoustic tower, both ways", "whole step"):
        first, second = (one[part]["low"] for one in rows)
        assert f"| {first:.2f} | {second:.2f} |" in PAGE
    assert f"| {before['share']:.0%} | {after['share']:.0%} |" in PAGE
    assert f"| {before['peak_mb'] / 1024:.2f} | {after['peak_mb'] / 1024:.2f} |" in PAGE
    assert after["share"] >= 0.75 and after["peak_mb"] <= 4096
