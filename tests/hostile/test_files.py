"""Keyword files and configurations of strangers: read, or refused by name; nothing is run."""

from __future__ import annotations

import json
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adml.config import Config, dump_config, load_config
from adml.errors import ConfigError, DataError
from adml.spotting.hearing import Heard
from adml.spotting.keyword_file import LARGEST_BYTES, Keyword, KeywordFile
from adml.spotting.scoring import Scorer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([10**400, -1, ""])
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip
WHOLE = {
    "form": 1,
    "model": "abc",
    "keywords": [
        {"name": "one", "vectors": [[0.6, 0.8], [0.0, 1.0]], "pronunciations": [["W", "AH1", "N"]],
         "recordings": 2, "threshold": 0.5, "calibration": {"hours": 2.5, "content": "x"}},
        {"name": "two", "vectors": [[1.0, 0.0]], "pronunciations": [], "recordings": 0,
         "threshold": None, "calibration": {}},
    ],
}  # fmt: skip


class Opens:
    """What a pickle of it would do."""

    def __reduce__(self):
        return open, ("run", "w")


@st.composite
def changed(draw, values):
    """The values with one of them, at any depth, replaced or left out."""
    kept = json.loads(json.dumps(values))
    node = kept
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            break
        node = node[key]
    if draw(st.booleans()):
        node[key] = draw(VALUES)
    else:
        del node[key]
    return kept


@st.composite
def damaged(draw, content):
    """The bytes with some of them replaced, left out or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(data)))
        last = draw(st.integers(first, min(len(data), first + 20)))
        data[first:last] = draw(st.binary(max_size=8) | st.sampled_from(
            [b"[", b"]", b"{", b":", b": ", b"\n", b"- ", b"&a ", b"*a", b"!!", b"NaN", b"1e999",
             b'"', b"\\ud800", b"?", b"'", b"|", b"\t", b"9" * 500, b"2001-99-99", b"\xff"]
        ))  # fmt: skip
    return bytes(data)


def read_or_refuse(path):
    """What is read can be written and is read again as it was; what is not, is named."""
    try:
        found = KeywordFile.read(path)
    except DataError as error:
        assert str(path) in str(error) and len(str(error)) < 1000 and str(error).encode()
        return None
    again = path.with_name("again.json")
    found.write(again)
    told = KeywordFile.read(again)
    assert [(k.name, k.threshold, k.pronunciations, k.calibration) for k in told.keywords] == [
        (k.name, k.threshold, k.pronunciations, k.calibration) for k in found.keywords
    ]
    return found


def test_the_whole_file_is_read(tmp_path):
    (tmp_path / "kw.json").write_text(json.dumps(WHOLE))
    assert len(read_or_refuse(tmp_path / "kw.json").keywords) == 2


@given(values=changed(WHOLE))
def test_keyword_files_with_other_values(tmp_path, soon, values):
    with soon():
        (tmp_path / "kw.json").write_text(json.dumps(values))
        read_or_refuse(tmp_path / "kw.json")


@given(content=damaged(json.dumps(WHOLE).encode()))
def test_keyword_files_with_other_bytes(tmp_path, soon, content):
    with soon():
        (tmp_path / "kw.json").write_bytes(content)
        read_or_refuse(tmp_path / "kw.json")


def keyword(**values) -> bytes:
    return json.dumps(WHOLE | {"keywords": [WHOLE["keywords"][0] | values]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * LARGEST_BYTES,
        b'{"form":' * (LARGEST_BYTES // 8),
        b"[" + b"[]," * (LARGEST_BYTES // 3 - 1) + b"[]]",
        b'{"form": 1, "model": "abc", "keywords": [' + b"{}," * 1_300_000 + b"{}]}",
        b'{"form": "' + b"x" * 4_000_000 + b'"}',
        b"1" * 1_000_000,
        keyword(threshold=10**400),
        keyword(recordings=10**400)[:-1] + b" ",
        keyword(vectors=[[10**400, 0.0]]),
        keyword(name="x" * 1_000_000, threshold="high"),
        keyword(pronunciations=[["\ud800"]]),
        keyword(pronunciations=[["W", "QQ"]]),
        keyword(pronunciations=[[" "]]),
        keyword(calibration={"\ud800": 1}),
        keyword(threshold=0.5).replace(b"0.5", b"1e999"),
        keyword(calibration={"x": 0.5}, threshold=None).replace(b"0.5", b"1e999"),
        keyword(recordings=0.5).replace(b"0.5", b"1e999"),
        json.dumps(WHOLE).replace("[[1.0, 0.0]]", "[[1.0, 0.0, 0.0]]").encode(),
        pickle.dumps(Opens()),
    ],
    ids=range(19),
)
def test_keyword_files_that_mean_harm_are_refused(tmp_path, soon, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kw.json").write_bytes(content)
    with soon(), pytest.raises(DataError, match=r"kw\.json cannot be used") as caught:
        KeywordFile.read(tmp_path / "kw.json")
    assert len(str(caught.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["kw.json"]


def test_a_pickle_of_the_harmful_kind_would_have_run():
    """Else the refusal of it above would prove nothing."""
    opcodes = [opcode.name for opcode, _, _ in pickletools.genops(pickle.dumps(Opens()))]
    assert "REDUCE" in opcodes


def test_the_largest_file_is_bounded(tmp_path):
    with (tmp_path / "kw.json").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(DataError, match="more than 4,194,304"):
        KeywordFile.read(tmp_path / "kw.json")


def test_vectors_of_another_length_than_the_models_are_told():
    heard = Heard(np.array([0]), np.array([40]), np.eye(1, 3, dtype=np.float32), 0, None, 0)
    scorer = Scorer([Keyword("x", np.eye(1, 2, dtype=np.float32))], (40,))
    with pytest.raises(DataError, match="vectors of 3 numbers. Received: 2"):
        scorer.score(heard)


def load_or_refuse(path):
    try:
        assert isinstance(load_config(path), Config)
    except ConfigError as error:
        assert len(str(error)) < 2 * path.stat().st_size + 2000 and str(error).encode()


WRITTEN = dump_config(Config()).encode()


@given(content=damaged(WRITTEN))
def test_configurations_with_other_bytes(tmp_path, soon, content):
    (tmp_path / "x.yaml").write_bytes(content)
    with soon():
        load_or_refuse(tmp_path / "x.yaml")


@given(text=st.text(st.sampled_from(":-?[]{},&*!|>'\"%@#~ \n\tabseed01.e_") | st.characters()))
def test_any_text_as_a_configuration(tmp_path, soon, text):
    (tmp_path / "x.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with soon():
        load_or_refuse(tmp_path / "x.yaml")


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join(['*' + before] * 9)}]\n"
    for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)
HARMFUL = {
    LAUGHS: "Alias \\*a in line 2",
    "name: &x [*x]\n": "Alias",
    "base: &b {seed: 1}\n<<: *b\n": "Alias",
    "name: " + "[" * 5000 + "]" * 5000: "nested too deep",
    "a: {" * 5000: "nested too deep|not YAML",
    "name: '" + "x" * (1 << 16) + "'": "too large",
    "seed: " + "9" * 5000: "not YAML",
    "optimizer: {learning_rate: 1" + "0" * 400 + "}": "learning_rate",
    "name: 2001-99-99": "not YAML",
    "name: !!timestamp x": "not YAML",
    "name: !!int x": "not YAML",
    "name: !!python/object/apply:builtins.open [run, w]": "not YAML",
    "name: !!python/name:os.system": "not YAML",
    "!!python/module:this : 1": "not YAML",
    "? {a: 1}\n: 2": "no name",
    "a: !!set {x}": "a",
    "[" + "1," * 20_000 + "1]": "mapping",
}


@pytest.mark.parametrize(("text", "told"), HARMFUL.items(), ids=range(len(HARMFUL)))
def test_configurations_that_mean_harm_are_refused(tmp_path, soon, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with soon(), pytest.raises(ConfigError, match=told) as caught:
        load_config(tmp_path / "x.yaml")
    assert len(str(caught.value)) < 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
