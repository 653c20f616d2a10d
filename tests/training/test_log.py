"""metrics.csv: columns, resumption."""

from __future__ import annotations

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
