"""metrics.csv: columns, resumption."""

from __future__ import annotations

import pytest
import tensorflow as tf

from adml.errors import DataError
from adml.training.log import MetricsLog, read_metrics


def test_rows_are_read_back(tmp_path):
    log = MetricsLog(tmp_path)
    log.write({"step": 1, "total": 2.5})
    log.write({"step": 2, "total": 1.25})
    log.close()
    assert read_metrics(tmp_path / "metrics.csv") == {"step": [1.0, 2.0], "total": [2.5, 1.25]}
    assert list((tmp_path / "tensorboard").iterdir())


def test_rows_after_the_resumed_step_are_dropped(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write({"step": step, "total": float(step)})
    log.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,")
    log = MetricsLog(tmp_path, start_step=2)
    log.write({"step": 3, "total": 9.0})
    log.close()
    assert read_metrics(tmp_path / "metrics.csv") == {
        "step": [1.0, 2.0, 3.0],
        "total": [1.0, 2.0, 9.0],
    }


@pytest.mark.parametrize(
    "damage", [b"total\n1\n", b"step,total\nx,1\n", b"\0\n", b"\xff\xfe\n", b'step,total\n"1,']
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage):
    (tmp_path / "metrics.csv").write_bytes(damage)
    if damage.endswith(b'"1,'):
        MetricsLog(tmp_path, start_step=1).close()  # a row that was cut short is dropped
        return
    with pytest.raises(DataError, match="metrics.csv is damaged.*Expected.*remove it"):
        MetricsLog(tmp_path, start_step=1)
    assert (tmp_path / "metrics.csv").read_bytes() == damage


@pytest.mark.parametrize("damage", [b"step,total\n1,abc\n", b"step,total\n1\n", b"\xff\xfe\n"])
def test_a_damaged_figure_is_named_with_what_to_do(tmp_path, damage):
    (tmp_path / "metrics.csv").write_bytes(damage)
    with pytest.raises(DataError, match="metrics.csv is damaged.*Expected.*remove it"):
        read_metrics(tmp_path / "metrics.csv")


def test_what_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(DataError, match="Cannot write.*Free some space"):
        log = MetricsLog(tmp_path)
        log.write({"step": 1, "total": 1.0})
        log.close()
    (tmp_path / "tensorboard").unlink()
    log = MetricsLog(tmp_path)

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.summary, "scalar", full)
    with pytest.raises(DataError, match="Cannot write.*No space left"):
        log.write({"step": 1, "total": 1.0})
    log.close()
