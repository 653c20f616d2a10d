"""The paper's claims: differences and their intervals by pencil, verdicts in words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from adml.evaluation.claims import (
    FAILS,
    HOLDS,
    NOT_COMPARABLE,
    NOT_RUN,
    UNDECIDED,
    combined_interval,
    judge,
    judge_all,
    paired_interval,
    render_claims,
)
from adml.evaluation.records import Record
from adml.evaluation.registry import Claim, Column, Registry, Row, Scale, Table

AP = Column("ap", "words", "average_precision", "WSJ AP %")
EER = Column("eer", "words", "equal_error_rate", "EER %")
TABLE = Table(
    "table1",
    columns=(AP, EER),
    rows=(Row("a", "A", {"ap": 80.0, "eer": 3.0}), Row("b", "B", {"ap": 75.0})),
)
CLAIM = Claim("A beats B", "table1", "a", "b")
SCALE = Scale("open", tests={"words": "dev"})


def make(name: str, ap: float, seed: int = 0, reach: float = 0.01, **changes) -> Record:
    def figure(value):
        return {"value": value, "low": value - reach, "high": value + 2 * reach, "n": 9}

    metrics = {"average_precision": figure(ap), "equal_error_rate": figure(1 - ap)}
    return Record(
        **{
            "name": name, "config": {}, "commit": "c", "dirty": False, "seed": seed,
            "data_hash": "d", "trials": {"dev": "e"}, "metrics": {"dev": {"all": metrics}},
        } | changes
    )  # fmt: skip


def verdict(records, column=AP):
    return judge(CLAIM, column, TABLE, SCALE, records)


def test_paired_interval_by_pencil():
    """Differences 1, 2, 3: mean 2, deviation 1, t of 2 degrees of freedom 4.3027."""
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    reach = 4.302653 / math.sqrt(3)
    assert (mean, low, high) == pytest.approx((2.0, 2 - reach, 2 + reach), abs=1e-5)
    assert paired_interval([5.0, 5.0]) == (5.0, 5.0, 5.0)


def test_combined_interval_by_pencil():
    """5 [2, 9] less 1 [-3, 4]: below sqrt(3^2 + 3^2), above sqrt(4^2 + 4^2)."""
    found = combined_interval((5.0, 2.0, 9.0), (1.0, -3.0, 4.0))
    assert found == pytest.approx((4.0, 4 - math.sqrt(18), 4 + math.sqrt(32)))


def test_one_seed_compares_the_bootstrap_intervals():
    found = verdict([make("a", 0.6), make("b", 0.5)])
    assert found.advantage == pytest.approx(10) and found.seeds == 0
    assert found.low == pytest.approx(10 - math.hypot(1, 2))
    assert found.high == pytest.approx(10 + math.hypot(2, 1))
    assert found.verdict == HOLDS and found.paper == 5
    assert verdict([make("a", 0.5), make("b", 0.6)]).verdict == FAILS
    assert verdict([make("a", 0.51), make("b", 0.5)]).verdict == UNDECIDED


def test_errors_are_better_when_lower():
    found = verdict([make("a", 0.6), make("b", 0.5)], EER)
    assert found.advantage == pytest.approx(10) and found.verdict == HOLDS
    assert found.low == pytest.approx(10 - math.hypot(2, 1)) and found.paper is None


def test_seeds_are_paired():
    a = [make("a", value, seed) for seed, value in enumerate((0.51, 0.62, 0.73))]
    b = [make("b", value, seed) for seed, value in enumerate((0.50, 0.60, 0.70))]
    found = verdict([*b, *a[::-1]])
    reach = 4.302653 / math.sqrt(3)
    assert (found.advantage, found.seeds) == (pytest.approx(2), 3)
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-4)
    assert found.verdict == UNDECIDED
    assert verdict([*b, *a[:2]]).seeds == 2
    assert verdict([*b, a[1]]).advantage == pytest.approx(2)
    assert verdict([*b, make("a", 0.55, 9)]).advantage == pytest.approx(5)


def test_what_was_not_run():
    assert verdict([make("a", 0.5)]).verdict == NOT_RUN
    undefined = make("b", 0.5)
    undefined.metrics["dev"]["all"]["average_precision"]["value"] = None
    assert verdict([make("a", 0.5), undefined]).verdict == NOT_RUN


def test_an_interval_that_is_not_known_decides_nothing():
    records = [make("a", 0.6), make("b", 0.5)]
    for record in records:
        record.metrics["dev"]["all"]["average_precision"].update(low=None, high=None)
    found = verdict(records)
    assert found.verdict == UNDECIDED and found.low is None and found.advantage == pytest.approx(10)


@pytest.mark.parametrize(
    "changes",
    [
        {"data_hash": "other"},
        {"trials": {"dev": "other"}},
        {"config": {"training": {"steps": 7}}},
    ],
)
def test_other_data_lists_or_length_are_not_comparable(changes):
    assert verdict([make("a", 0.6), make("b", 0.5, **changes)]).verdict == NOT_COMPARABLE
    same = {"config": {"losses": {"phoneme": {"kind": "clat"}}}, "commit": "x"}
    assert verdict([make("a", 0.6), make("b", 0.5, **same)]).verdict == HOLDS


def test_page():
    registry = Registry((TABLE,), (CLAIM, replace(CLAIM, text="B beats A", better="b", worse="a")))
    judged = judge_all(registry, SCALE, [make("a", 0.6), make("b", 0.5)])
    assert [one.verdict for one in judged] == [HOLDS, HOLDS, FAILS, FAILS]
    page = render_claims(judged, SCALE)
    line = page.splitlines()[2]
    assert line.startswith("| A beats B | AP % on dev | +5.00 | +10.00 [+7.76, +12.24] | 1, boot")
    assert line.endswith("| **holds** |")
    assert judge_all(registry, SCALE, [], ["table2"]) == []
