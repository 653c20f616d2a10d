import struct

import numpy as np
import pytest

from adml.errors import DataError
from adml.evaluation import plots


def png_size(path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR"
    assert content.rstrip()[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


def trials(count=400, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return labels, generator.normal(size=count) + 2 * labels


def write_csv(path, rows, head="step,epoch,total,phoneme,ctc,gradient_norm"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_loss_curves(tmp_path):
    rows = [f"{n},0.1,{5 - n / 10},{1 / (n + 1)},0,3" for n in range(40)] + ["41,0.2,1.0,,0,3"]
    source = write_csv(tmp_path / "metrics.csv", rows)
    two = png_size(plots.loss_curves(source, tmp_path / "two.png"))
    one = png_size(
        plots.loss_curves(
            write_csv(tmp_path / "b.csv", ["1,2"], "step,total"), tmp_path / "one.png"
        )
    )
    assert two[0] > 1.8 * one[0] and two[1] == one[1] > 250  # total and phoneme; ctc is never on
    columns = plots.read_columns(source)
    assert np.isnan(columns["phoneme"][-1]) and columns["step"][-1] == 41


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("step,epoch", ["1,2"], "no loss term"),
        ("epoch,total", ["1,2"], "column step"),
        ("step,total", [], "column step"),
        ("step,total", ["1,many"], "Expected: numbers"),
    ],
)
def test_bad_metrics_files(tmp_path, head, rows, message):
    with pytest.raises(DataError, match=message):
        plots.loss_curves(write_csv(tmp_path / "m.csv", rows, head), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
    (tmp_path / "bytes.csv").write_bytes(b"step,total\n\xff\n")
    for name in ("none.csv", "bytes.csv"):
        with pytest.raises(DataError, match="cannot be read.*whole copy"):
            plots.loss_curves(tmp_path / name, tmp_path / "x.png")


def test_score_histogram_and_det(tmp_path):
    labels, scores = trials()
    assert png_size(plots.score_histogram(labels, scores, tmp_path / "h.png"))[0] > 800
    systems = {
        "trained": (labels, scores),
        "untrained": trials(seed=2),
        "perfect": (labels, labels),
    }
    assert png_size(plots.det_curves(systems, tmp_path / "d.png"))[1] > 600
    plots.score_histogram(labels, np.zeros(400), tmp_path / "flat.png")
    for bad in (np.ones(400), np.zeros(400)):
        with pytest.raises(DataError, match="positives and negatives"):
            plots.score_histogram(bad, scores, tmp_path / "x.png")
    with pytest.raises(DataError, match="no system"):
        plots.det_curves({}, tmp_path / "x.png")


def test_alignment(tmp_path):
    attention = np.random.default_rng(0).random((3, 50))
    short = png_size(
        plots.alignment(attention, ["HH", "EY1", "L"], tmp_path / "a.png", title="hail")
    )
    long = png_size(plots.alignment(np.ones((20, 9)), ["AH0"] * 20, tmp_path / "b.png"))
    assert long[1] > short[1]
    with pytest.raises(DataError, match=r"Expected: \[2, F\]. Received: \(3, 50\)"):
        plots.alignment(attention, ["HH", "EY1"], tmp_path / "x.png")
    with pytest.raises(DataError, match="NaN"):
        plots.alignment(np.full((1, 4), np.nan), ["L"], tmp_path / "x.png")


def test_confusions(tmp_path):
    matrix = np.random.default_rng(0).integers(0, 5, (16, 16))
    words = [f"word{n}" for n in range(16)]
    all_words = png_size(plots.confusions(matrix, words, tmp_path / "c.png", count=16))
    assert png_size(plots.confusions(matrix, words, tmp_path / "d.png", count=5))[0] < all_words[0]
    with pytest.raises(DataError, match=r"Expected: \[2, 2\]"):
        plots.confusions(matrix, ["a", "b"], tmp_path / "x.png")


def test_phoneme_constants(tmp_path):
    constants = {"alpha": np.linspace(0, 1, 5), "beta": np.ones(5)}
    path = plots.phoneme_constants(
        constants, list("abcde"), tmp_path / "p.png", initial={"beta": 2.0}
    )
    assert png_size(path)[0] > 1000
    with pytest.raises(DataError, match="alpha"):
        plots.phoneme_constants(constants, ["a"], tmp_path / "x.png")
    with pytest.raises(DataError, match="no constant"):
        plots.phoneme_constants({}, ["a"], tmp_path / "x.png")


def test_figures_leave_no_global_state(tmp_path):
    import matplotlib.pyplot as pyplot

    labels, scores = trials()
    plots.score_histogram(labels, scores, tmp_path / "h.png")
    assert pyplot.get_fignums() == []
    assert (tmp_path / "h.png").read_bytes() == plots.score_histogram(
        labels, scores, tmp_path / "again.png"
    ).read_bytes()
