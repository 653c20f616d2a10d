from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from adml.errors import DataError
from adml.evaluation import plots
from adml.evaluation.records import Cost, Record
from adml.evaluation.report import Picture, html_table, write_report

VOID = {"meta", "img", "br", "link"}


class Checker(HTMLParser):
    """Checks that tags close in order, and keeps the text and the sources of images."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(path) -> Checker:
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker


@pytest.fixture
def record() -> Record:
    figure = {"value": 0.9123, "low": 0.9, "high": 0.92, "n": 100}
    return Record(
        name="<script>alert(1)</script> $title", config={"a": "</pre><b>"}, commit="c" * 40,
        dirty=True, seed=0, data_hash="d" * 64, trials={"w": "e" * 64},
        metrics={"w": {"all": {"accuracy": figure}}}, cost=Cost(60, 100, 10, 20, 30),
        command="adml <x> & y",
        details={
            "w": {
                "worst_words": [{"word": "<i>", "accuracy": 0.5, "n": 2, "taken_for": None}],
                "set_aside": [{"item": "a.wav", "reason": "<broken>"}],
                "clips_set_aside": 3,
            },
            "free": 3,
        },
    )  # fmt: skip


def test_page_stands_alone_and_escapes_everything(record, tmp_path):
    picture = plots.alignment(np.eye(2), ["A", "B"], tmp_path / "a.png")
    page = write_report(
        record,
        tmp_path,
        pictures=[Picture(picture, "An <alignment>", 'of "a" & b')],
        notes=["1 < 2"],
    )
    checker = check(page)
    assert page.name == "index.html" and not checker.tags & {"script", "i", "b", "broken", "x"}
    assert checker.sources and all(s.startswith("data:image/png;base64,") for s in checker.sources)
    text = "".join(checker.text)
    for part in (
        "<script>alert(1)</script> $title", "adml <x> & y", "91.23 [90.00, 92.00]", "<broken>",
        "1 < 2",        "3 inputs were set aside", "cccccccccccc with changes", "</pre><b>",
    ):  # fmt: skip
        assert part in text, part
    assert (tmp_path / "a.png").exists()


def test_compared_models_need_the_same_list(record, tmp_path):
    untrained = replace(record, name="untrained")
    other = replace(record, name="another list", trials={"w": "f" * 64})
    text = "".join(check(write_report(record, tmp_path, compared=[untrained, other])).text)
    assert "untrained" in text and "another list" not in text


def test_bad_pictures(record, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        write_report(record, tmp_path, pictures=[Picture(tmp_path / "none.png", "x")])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="Expected: a PNG"):
        write_report(record, tmp_path, pictures=[Picture(tmp_path / "text.png", "x")])
    assert not (tmp_path / "index.html").exists()


def test_table_escapes_cells():
    assert "<td>&lt;a&gt;</td>" in html_table(["h"], [["<a>"]])
