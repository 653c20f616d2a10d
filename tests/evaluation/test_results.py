from dataclasses import replace

import pytest

from adml.errors import DataError
from adml.evaluation.records import Cost, Record, write_record
from adml.evaluation.results import (
    Published,
    format_figure,
    markdown_table,
    render,
    render_folder,
)


def make(name="adml_sf2", seed=0, ap=0.5, sha="e" * 64, **changes) -> Record:
    figure = {"value": ap, "low": ap - 0.1, "high": ap + 0.1, "n": 1234}
    values = {
        "name": name, "config": {}, "commit": "c" * 40, "dirty": False, "seed": seed,
        "data_hash": "d" * 64, "trials": {"dev_words": sha},
        "metrics": {"dev_words": {"all": {"average_precision": figure}}},
        "cost": Cost(120.0, 3600.0, 100, 50_000, 1500.0), "command": f"adml train --seed {seed}",
    }  # fmt: skip
    return Record(**(values | changes))


def row_of(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` | all")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_one_run_has_its_interval_cost_commit_and_command():
    page = render([make()])
    row = row_of(page, "adml_sf2")
    assert row[2] == "1,234" and row[3] == "50.00 [40.00, 60.00]"
    assert row[-1] == "`ccccccccc`" and row[5] == "d" * 12
    assert "2.0 min, 1.00 CPU h, 100 steps, 50,000 clips, 1.5 GB" in page
    assert "`adml train --seed 0`" in page and "## dev words" in page
    assert "paper" not in page


def test_several_seeds_give_mean_and_deviation():
    page = render([make(seed=0, ap=0.5), make(seed=1, ap=0.6), make("other", ap=0.7)])
    assert row_of(page, "adml_sf2")[3:5] == ["55.00 ± 7.07", "2"]
    assert row_of(page, "other")[4] == "1"


def test_same_seed_twice_is_refused():
    with pytest.raises(DataError, match="Two records of 'adml_sf2' have seed 0"):
        render([make(), make(ap=0.9)])


def test_lists_of_one_name_and_different_hash_stay_apart():
    page = render([make(), make("other", sha="f" * 64)])
    assert page.count("## dev words") == 2
    first, second = page.split("## dev words")[1:]
    assert "`adml_sf2` | all" in first and "`other` | all" not in first
    assert "`other` | all" in second


def test_other_data_is_another_row():
    page = render([make(), make(data_hash="")])
    assert sum(line.startswith("| `adml_sf2` | all") for line in page.splitlines()) == 2


def test_paper_stands_only_beside_the_same_list():
    paper = Published(
        "official", "paper, Table 2",
        {"adml_sf2": {"average_precision": 0.8}, "adml": {"average_precision": 0.7}},
    )  # fmt: skip
    page = render([make()], published={"a" * 64: paper})
    ours, theirs = page.split("## dev words")[1].split("## official")
    assert "paper, Table 2" not in ours and "80.00" not in ours
    assert theirs.count("*not run*") == 2 and "AP % 80.00" in theirs
    same = render([make()], published={"e" * 64: paper})
    assert row_of(same, "adml_sf2")[-1] == "AP % 80.00"
    assert "*not run*" in row_of(same, "adml")
    for table in (page, same):
        widths = [line.count("|") for line in table.splitlines() if line.startswith("|")]
        assert len(widths) > 3 and len(set(widths)) <= 3


def test_parts_come_in_order_and_undefined_is_a_dash():
    figures = {"average_precision": {"value": None, "low": None, "high": None, "n": 5}}
    record = make(metrics={"dev_words": {"unseen": figures, "all": figures, "seen": figures}})
    page = render([record])
    lines = [line for line in page.splitlines() if line.startswith("| `adml_sf2` |")][:3]
    assert [line.split("|")[2].strip() for line in lines] == ["all", "seen", "unseen"]
    assert all("| – |" in line for line in lines)


def test_dirty_code_is_marked_and_cells_are_escaped():
    page = render([replace(make(), dirty=True, command="a | b\nc")])
    assert "`ccccccccc+`" in page and "a \\| b c" in page
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"
    assert format_figure({"value": 0.5, "low": None, "high": None}) == "50.00"


def test_distances_are_no_percentages():
    figure = {"value": 0.12345, "low": -0.001, "high": 0.2, "n": 40}
    part = {"mmd": figure, "probe_accuracy": figure}
    records = [
        make(seed=seed, metrics={"dev_words": {"utterance": part, "phoneme": part}})
        for seed in (0, 1)
    ]
    page = render(records[:1])
    assert "| MMD² | linear probe % |" in page
    assert "| 0.1235 [-0.0010, 0.2000] | 12.35 [-0.10, 20.00] |" in page
    assert page.index("| utterance |") < page.index("| phoneme |")
    assert "| 0.1235 ± 0.0000 | 12.35 ± 0.00 |" in render(records)
    assert format_figure({"value": 1.5, "low": None, "high": None}, "centroid_gap") == "1.5000"


def test_folder_with_analysis(tmp_path):
    write_record(make(), tmp_path / "records" / "a.json")
    (tmp_path / "analysis.md").write_text("## Analysis\n\nThe margin helps.\n")
    page = render_folder(tmp_path / "records", analysis=tmp_path / "analysis.md")
    assert page.endswith("The margin helps.\n") and page.startswith("# Results")
    assert "Analysis" not in render_folder(tmp_path / "records", analysis=tmp_path / "none.md")
    assert "There are no records yet" in render([])
