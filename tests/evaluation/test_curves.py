"""Figures over the steps: drawn from miniature tables, refused where a table is damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from adml.errors import DataError
from adml.evaluation import plots
from adml.text.phonemes import PHONES, VOWELS

GRADIENTS = "step,term,encoder,value,weight,norm,cosine"


def png_size(path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content.rstrip()[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


def write(path, head: str, rows) -> str:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.fixture
def metrics(tmp_path):
    head = "step,total,learning_rate,margin_fraction,modality_accuracy_utterance,keyword_bias,"
    head += "utterances_per_second,wait_fraction"
    rows = [f"{n},{9 - n / 9},0.001,{n / 50},0.7,{n},31,0" for n in range(10, 51, 10)]
    return write(tmp_path / "metrics.csv", head, rows)


@pytest.fixture
def constants(tmp_path):
    rows = [
        f"{step},{name},{phone},{number + step / 100}"
        for step in (0, 10, 15)
        for name in ("alpha", "lambda")
        for number, phone in enumerate(PHONES)
    ]
    return write(tmp_path / "constants.csv", "step,name,class,value", rows)


def test_schedule_is_drawn_after_the_terms(metrics, tmp_path):
    bare = write(tmp_path / "bare.csv", "step,total", ["1,2", "2,1"])
    one = png_size(plots.loss_curves(bare, tmp_path / "one.png"))
    # The total and the rate; a margin is of the keyword loss, accuracy and bias stand elsewhere.
    two = png_size(plots.loss_curves(metrics, tmp_path / "two.png"))
    assert 1.5 * one[0] < two[0] < 2.5 * one[0]
    keyword = metrics.read_text().replace("step,total,", "step,keyword,")
    metrics.write_text(keyword)
    assert png_size(plots.loss_curves(metrics, tmp_path / "three.png"))[0] > 2.5 * one[0]


@pytest.mark.parametrize("draw", [plots.modality_accuracy, plots.learnt_scales, plots.speed])
def test_curves_of_a_run(draw, metrics, tmp_path):
    size = png_size(draw(metrics, tmp_path / "drawn.png"))
    assert min(size) > 250
    bare = write(tmp_path / "bare.csv", "step,total", ["1,2"])
    with pytest.raises(DataError, match=r"bare.csv: Expected: .*columns"):
        draw(bare, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_memory_is_drawn_where_it_is_known(metrics, tmp_path):
    without = png_size(plots.speed(metrics, tmp_path / "without.png"))
    text = metrics.read_text().replace(",0\n", ",0,2048,60\n")
    more = text.replace("wait_fraction", "wait_fraction,memory_mb,remaining_seconds")
    (tmp_path / "more.csv").write_text(more)
    drawn = png_size(plots.speed(tmp_path / "more.csv", tmp_path / "with.png"))
    assert drawn[0] > 1.3 * without[0]
    losses = png_size(plots.loss_curves(tmp_path / "more.csv", tmp_path / "losses.png"))
    assert losses == png_size(plots.loss_curves(metrics, tmp_path / "same.png"))


def test_gradient_norms(tmp_path):
    rows = ["5,phoneme,acoustic,3,0.1,0.2,0.9", "5,keyword,acoustic,3,1,4,-0.1"]
    both = [*rows, "5,phoneme,text,3,0.1,0.2,1", "5,keyword,text,3,1,0,"]
    one = png_size(plots.gradient_norms(write(tmp_path / "1.csv", GRADIENTS, rows), tmp_path / "1"))
    two = png_size(plots.gradient_norms(write(tmp_path / "2.csv", GRADIENTS, both), tmp_path / "2"))
    assert two[0] > 1.5 * one[0] and two[1] == one[1]
    with pytest.raises(DataError, match="2.csv: Expected: columns.*no norm, cosine"):
        plots.gradient_norms(write(tmp_path / "2.csv", "step,term,encoder", ["5,a,b"]), "x.png")


def test_constants_are_read_vowels_first(constants):
    steps, phones, values = plots.read_constants(constants)
    np.testing.assert_array_equal(steps, [0, 10, 15])
    assert set(phones[:15]) == set(VOWELS) and phones[15:18] == ["B", "CH", "D"]
    assert list(values) == ["alpha", "lambda"] and values["alpha"].shape == (3, 39)
    assert values["lambda"][2, phones.index("ZH")] == pytest.approx(PHONES.index("ZH") + 0.15)


@pytest.mark.filterwarnings("error")
def test_constants_over_time(constants, tmp_path):
    both = png_size(plots.constants_over_time(constants, tmp_path / "both.png"))
    rows = [f"0,alpha,{phone},0.01" for phone in ("AA", "K", "other")]
    start = write(tmp_path / "start.csv", "step,name,class,value", rows)
    assert plots.read_constants(start)[1] == ["AA", "K", "other"]
    assert png_size(plots.constants_over_time(start, tmp_path / "start.png"))[0] < both[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,name,value\n1,alpha,2\n", "Expected: columns step, name, class, value.*no class"),
        ("name,class,value\nalpha,AA,1\n", "column step"),
        ("step,name,class,value\n1,alpha,AA,many\n", "Expected: numbers.*whole copy"),
        ("step,name,class,value\n", "column step"),
    ],
)
def test_damaged_constants(tmp_path, text, message):
    (tmp_path / "constants.csv").write_text(text)
    with pytest.raises(DataError, match=f"constants.csv: .*{message}"):
        plots.constants_over_time(tmp_path / "constants.csv", tmp_path / "x.png")


def test_a_row_that_was_cut_short_is_left_out(tmp_path):
    (tmp_path / "m.csv").write_text("step,total,ctc\n1,2,\n2,1.5,3\n3,1")
    columns = plots.read_columns(tmp_path / "m.csv")
    np.testing.assert_array_equal(columns["step"], [1, 2])
    np.testing.assert_array_equal(columns["ctc"], [np.nan, 3])
