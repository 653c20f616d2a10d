"""The paper's tables from records alone: whose figure stands where, and what cannot be compared."""

from __future__ import annotations

import pytest

from adml.config_identity import settings_of
from adml.errors import ConfigError
from adml.evaluation.records import Cost, Record, write_record
from adml.evaluation.registry import Column, Registry, Row, Scale, Table, read_registry, read_scale
from adml.evaluation.results import render_folder
from adml.evaluation.scales import ScaleRecords, read_scales, render_scale
from adml.evaluation.table_plot import draw_table
from adml.evaluation.tables import render_table, rows_of

TABLE = Table(
    "table1", "Table 1: losses", "Which loss.", "trained on King-ASR-066",
    (Column("ap", "words", "average_precision", "WSJ AP %"),),
    (Row("rp", "RP loss", {"ap": 75.1}), Row("asyp", "+ AsyP", {"ap": 84.42}),
     Row("clat", "+ clat")),
)  # fmt: skip
SCALE = Scale("open", "few steps", {"words": "dev-words"})
CODE = {"losses/proxy": "1", "models/cmcd": "1"}


def make(name="rp", seed=0, ap=0.5, created="2026-01-01", code=None, **changes) -> Record:
    figure = {"value": ap, "low": ap - 0.1, "high": ap + 0.1, "n": 9}
    values = {
        "name": name, "config": {"data": {"train": ["a", "b"]}}, "commit": "c" * 40, "dirty": False,
        "seed": seed, "data_hash": "d" * 64, "trials": {"dev-words": "e" * 64},
        "metrics": {"dev-words": {"all": {"average_precision": figure}}},
        "cost": Cost(120.0, 3600.0, 100, 50_000, 1500.0), "created": created,
        "details": {"code": code or CODE},
    }  # fmt: skip
    return Record(**(values | changes))


def cells(page: str, row: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if f"(`{row}`)" in line]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_papers_figure_has_its_own_column():
    page = render_table(TABLE, SCALE, [make()])
    head = [cell.strip() for cell in page.splitlines()[0].strip("|").split("|")]
    assert head[:3] == ["row", "paper: WSJ AP %", "ours: AP % on dev-words"]
    row = dict(zip(head, cells(page, "rp"), strict=True))
    assert row["row"] == "RP loss (`rp`)"
    assert row["paper: WSJ AP %"] == "75.10" and row[head[2]] == "50.00 [40.00, 60.00]"
    assert row["seeds"] == "0" and row["data"] == "a, b `dddddddddddd`"
    assert "2.0 min" in row["cost a run"] and row["commit"] == "`ccccccccc`"
    assert cells(page, "asyp")[1:4] == ["84.42", "*not run*", "–"]
    assert cells(page, "clat")[1:3] == ["–", "*not run*"]


def test_seeds_give_mean_and_deviation():
    page = render_table(TABLE, SCALE, [make(seed=1, ap=0.6), make(ap=0.5), make("other")])
    assert cells(page, "rp")[2:4] == ["55.00 ± 7.07", "0, 1"]
    assert "other" not in page and "(a)" not in page


def test_rows_that_differ_in_more_than_the_paper_varies_are_marked():
    longer = {"data": {"train": ["a", "b"]}, "training": {"steps": 9}}
    records = [make(), make("asyp"), make("clat", config=longer)]
    page = render_table(TABLE, SCALE, records)
    assert cells(page, "clat")[2] == "50.00 [40.00, 60.00] (a)"
    assert cells(page, "rp")[2] == "50.00 [40.00, 60.00]"
    assert "- (a) not comparable with the other rows: training.steps differ" in page
    varied = {"data": {"train": ["a", "b"]}, "losses": {"phoneme": {"kind": "clat"}}}
    assert "(a)" not in render_table(TABLE, SCALE, [*records[:2], make("clat", config=varied)])
    for changes in ({"data_hash": "f" * 64}, {"trials": {"dev-words": "f" * 64}}):
        page = render_table(TABLE, SCALE, [*records[:2], make("clat", **changes)])
        assert "(a)" in cells(page, "clat")[2]


@pytest.mark.parametrize(
    "config", [{"model": None}, {"data": [1]}, {"data": {"train": 3}}, {"losses": 3}, {"foo": 1}]
)
def test_settings_that_cannot_be_read_are_marked(config):
    records = [make("rp"), make("asyp"), make("clat", config=config)]
    page = render_table(TABLE, SCALE, records)
    assert cells(page, "clat")[2].startswith("50.00 [40.00, 60.00] (a)")
    assert "settings that cannot be read" in page or config == {"model": None}


def test_rows_that_changed_since_their_record_are_told():
    now = settings_of(make().config)
    records = [make(seed=1, config=make().config | {"seed": 1}), make("asyp")]
    assert "(a)" not in render_table(TABLE, SCALE, records, settings={"rp": now, "asyp": now})
    changed = now | {"losses": now["losses"] | {"ctc_weight": 0.5}}
    page = render_table(TABLE, SCALE, records, settings={"rp": now, "asyp": changed})
    assert "- (a) made with other settings than the row has now: losses.ctc_weight\n" in page
    assert cells(page, "asyp")[2].endswith("(a)") and not cells(page, "rp")[2].endswith("(a)")


def test_older_code_is_told_with_its_modules():
    newer = {"losses/proxy": "2", "models/cmcd": "2", "audio/new": "1"}
    records = [make(), make("asyp", created="2026-02-01", code=newer)]
    page = render_table(TABLE, SCALE, records)
    assert "- (a) made with other code than that of the table's newest record: losses/proxy" in page
    assert cells(page, "rp")[2].endswith("(a)") and not cells(page, "asyp")[2].endswith(")")
    page = render_table(TABLE, SCALE, records, code={**CODE, "losses/proxy": "3"})
    assert "made with other code than today's: losses/proxy\n" in page
    assert cells(page, "rp")[2].endswith("(a)") and cells(page, "asyp")[2].endswith("(a)")


def test_rows_without_a_record_are_there():
    rows = rows_of(TABLE, SCALE, [])
    assert [row.row.config for row in rows] == ["rp", "asyp", "clat"]
    assert all(row.records == () and row.notes == () for row in rows)


REGISTRY = """tables:
  - name: table1
    title: "Table 1"
    columns: [{key: ap, test: words, metric: average_precision, paper: "WSJ AP %"}]
    rows: [{config: rp, label: RP, paper: {ap: 75.1}}, {config: asyp, label: AsyP}]
claims: [{text: "AsyP helps", table: table1, better: asyp, worse: rp}]
"""
OPEN = "text: few steps\ntests: {words: dev-words}\n"


def make_experiments(folder, registry=REGISTRY, scale=OPEN):
    (folder / "scale").mkdir(parents=True, exist_ok=True)
    (folder / "tables.yaml").write_text(registry)
    (folder / "scale" / "open.yaml").write_text(scale)
    return folder


def test_the_page_of_results_has_a_section_for_each_scale(tmp_path):
    records = make_experiments(tmp_path) / "records"
    write_record(make("alone"), records / "alone.json")
    before = render_folder(records)
    assert "scale" not in before
    for record in (make(), make("asyp", ap=0.8)):
        write_record(record, records / "open" / f"{record.name}-seed0.json")
    page = render_folder(records)
    assert "## The paper's tables at the scale `open`" in page and "### Table 1" in page
    assert "| AsyP helps |" in page and "**holds**" in page
    assert "`adml reproduce table1 --scale open --speech DIR`" in page
    assert page.endswith(before.split("never comparable with a figure on another.\n")[1])
    (found,) = read_scales(records)
    assert len(found.records) == 2 and found.scale.name == "open"
    write_record(make("foreign"), records / "open" / "foreign-seed0.json")
    write_record(make(seed=2), records / "open" / "rp-seed1.json")
    write_record(make(seed=3, config={"seed": 4}), records / "open" / "rp-seed3.json")
    (records / "open" / "asyp-seed1.json").write_text("[")
    (found,) = read_scales(records)
    assert len(found.records) == 2 and len(found.set_aside) == 4
    page = render_folder(records)
    for told in (
        "foreign-seed0.json: 'foreign' is no row of the tables.",
        "rp-seed1.json: It is the record of row 'rp', seed 2: rp-seed2.json.",
        "rp-seed3.json: Its seed is 3, that of its settings 4.",
        "asyp-seed1.json: the record cannot be read: ",
    ):
        assert f"\n- {told}" in page
    (records / "other").mkdir()
    write_record(make(), records / "other" / "rp.json")
    with pytest.raises(ConfigError, match="scale/other.yaml"):
        read_scales(records)


def test_tables_asked_for():
    registry = Registry((TABLE,))
    page = render_scale(ScaleRecords(registry, SCALE, ()), ["table2"])
    assert "### " not in page


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("config: asyp", "config: rp", "rows that differ"),
        ("{ap: 75.1}", "{eer: 75.1}", "figures of table1, rp are wrong. Expected: numbers of ap"),
        ("{ap: 75.1}", "{ap: high}", "numbers of ap"),
        ("better: asyp", "better: clat", "table1 has no row 'clat'"),
        ("table: table1", "table: table9", "No table of the name 'table9'"),
        ("label: RP", "lable: RP", r"rows\[0\].lable.*Nearest: 'label'"),
    ],
)
def test_a_registry_that_contradicts_itself_is_refused(tmp_path, old, new, told):
    make_experiments(tmp_path, REGISTRY.replace(old, new, 1))
    with pytest.raises(ConfigError, match=told):
        read_registry(tmp_path)


def test_a_scale_is_read_strictly(tmp_path):
    make_experiments(tmp_path, scale="txt: x")
    with pytest.raises(ConfigError, match="Unknown configuration key 'txt'"):
        read_scale(tmp_path, "open")
    make_experiments(tmp_path, scale="[]")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        read_scale(tmp_path, "open")


def test_a_table_is_drawn_with_our_figures_alone(tmp_path, monkeypatch):
    drawn = {}

    def save(figure, path):
        (axes,) = figure.axes
        drawn["values"] = [round(float(c.lines[0].get_xdata()[0]), 6) for c in axes.containers]
        drawn["rows"] = [text.get_text() for text in axes.get_yticklabels()]
        drawn["bars"] = [c.lines[2][0].get_segments()[0][:, 0].tolist() for c in axes.containers]
        return path

    monkeypatch.setattr("adml.evaluation.table_plot.save", save)
    records = [make(seed=1, ap=0.6), make(ap=0.5), make("asyp", ap=0.7)]
    assert draw_table(TABLE, SCALE, records, tmp_path / "x.png") == tmp_path / "x.png"
    assert drawn["values"] == [55.0, 70.0] and drawn["rows"] == ["RP loss", "+ AsyP", "+ clat"]
    assert drawn["bars"][0] == pytest.approx([55 - 7.0711, 55 + 7.0711], abs=1e-3)
    assert drawn["bars"][1] == pytest.approx([60, 80])
    assert draw_table(TABLE, SCALE, [], tmp_path / "y.png") is None


def test_the_picture_is_a_png(tmp_path):
    path = draw_table(TABLE, SCALE, [make()], tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")
