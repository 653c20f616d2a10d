"""Keyword files: the round trip, other models, and files of strangers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from adml.errors import DataError, UsageError
from adml.spotting.keyword_file import LARGEST_BYTES, Keyword, KeywordFile, store_thresholds


def vectors(count=2, dim=4, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def keywords():
    first = Keyword("hey bixby", vectors(), (("HH", "EY1"), ("HH", "AY1")), 3, 0.5, {"hours": 2.5})
    return KeywordFile("abc", (first, Keyword("computer", vectors(1, seed=1))))


def test_round_trip(keywords, tmp_path):
    keywords.write(tmp_path / "kw.json")
    found = KeywordFile.read(tmp_path / "kw.json")
    assert found.model == "abc"
    for one, two in zip(found.keywords, keywords.keywords, strict=True):
        np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-7)
        for name in ("name", "pronunciations", "recordings", "threshold", "calibration"):
            assert getattr(one, name) == getattr(two, name)
    assert [path.name for path in tmp_path.iterdir()] == ["kw.json"]


def test_another_model_is_refused(keywords):
    keywords.require_model("abc")
    with pytest.raises(UsageError, match="Expected: the model abc. Received: xyz"):
        keywords.require_model("xyz")


def test_names_differ(keywords):
    with pytest.raises(UsageError, match="each name once"):
        KeywordFile("abc", (keywords.keywords[0],) * 2)
    with pytest.raises(UsageError, match="at least one"):
        KeywordFile("abc", ())


def test_thresholds_are_set_by_name(keywords):
    changed = keywords.with_thresholds({"computer": (0.7, {"hours": 1.0})})
    assert [keyword.threshold for keyword in changed.keywords] == [0.5, 0.7]
    assert changed.keywords[1].calibration == {"hours": 1.0}
    assert keywords.keywords[1].threshold is None


def test_thresholds_spare_what_was_added_meanwhile(keywords, tmp_path):
    path, first = tmp_path / "kw.json", keywords.keywords[0]
    keywords.write(path)
    heard = KeywordFile.read(path)
    anew, other = Keyword("computer", vectors(1, seed=2)), Keyword("added", vectors(1, seed=3))
    KeywordFile("abc", (first, anew, other)).write(path)
    store_thresholds(path, heard, {"hey bixby": (0.6, {}), "computer": (0.7, {})})
    found = {keyword.name: keyword.threshold for keyword in KeywordFile.read(path).keywords}
    assert found == {"hey bixby": 0.6, "computer": None, "added": None}


def test_a_thousand_keywords_fit_and_too_many_leave_the_file(keywords, tmp_path):
    path, rows = tmp_path / "kw.json", vectors(1600, 256)
    many = [Keyword(f"number {n}", row[np.newaxis], (("W", "AH1", "N"),))
            for n, row in enumerate(rows)]  # fmt: skip
    KeywordFile("abc", tuple(many[:1000])).write(path)
    assert len(KeywordFile.read(path).keywords) == 1000
    before = path.read_bytes()
    with pytest.raises(UsageError, match=f"too many.*{LARGEST_BYTES:,} bytes.*1600 keywords"):
        KeywordFile("abc", tuple(many)).write(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["kw.json"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: told | {"form": 2}, "form 2"),
        (lambda told: told | {"model": 5}, "model that is no text"),
        (lambda told: told | {"keywords": []}, "at least one"),
        (lambda told: told | {"keywords": "x"}, "indices"),
        (lambda told: {"form": 1}, "without 'model'"),
        (lambda told: told | {"keywords": told["keywords"] * 2}, "'computer'. more than once"),
        (lambda told: first(told, name="a\nb"), "the name"),
        (lambda told: first(told, vectors=[[1.0, 1.0]]), "unit length"),
        (lambda told: first(told, vectors=[1.0, 0.0]), "shape"),
        (lambda told: first(told, vectors=[[1.0], [0.5, 0.5]]), "inhomogeneous"),
        (lambda told: first(told, threshold="high"), "threshold"),
        (lambda told: first(told, threshold=True), "threshold"),
        (lambda told: first(told, calibration=[1]), "convert"),
        (lambda told: [told], "list indices"),
    ],
)
def test_files_of_strangers_are_refused_with_the_reason(keywords, tmp_path, change, told):
    keywords.write(tmp_path / "kw.json")
    values = change(json.loads((tmp_path / "kw.json").read_text()))
    (tmp_path / "kw.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=told):
        KeywordFile.read(tmp_path / "kw.json")


def first(told, **changes):
    return told | {"keywords": [told["keywords"][0] | changes, *told["keywords"][1:]]}


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "Expecting value"), (b"\xff\xfe", "codec"), (b"[" * 100_000, "recursion"),
     (b'{"form": NaN}', "the number NaN"), (b"cos\nsystem\n(S'ls'\ntR.", "Expecting value")],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path, content, told):
    path = tmp_path / "kw.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        KeywordFile.read(path)


def test_missing_large_and_unwritable(keywords, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="No such file"):
        KeywordFile.read(tmp_path / "none.json")
    keywords.write(tmp_path / "kw.json")
    with pytest.raises(UsageError, match="Cannot write"):
        keywords.write(tmp_path / "kw.json" / "kw.json")
    monkeypatch.setattr("adml.spotting.keyword_file.LARGEST_BYTES", 10)
    with pytest.raises(DataError, match="more than 10"):
        KeywordFile.read(tmp_path / "kw.json")
