"""Processes that train together: what TF_CONFIG says, two as one, and what ends both."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import tensorflow as tf

from adml.config import load_config
from adml.errors import ConfigError
from adml.experiment import train
from adml.training.log import read_metrics
from adml.training.workers import WorkerLost, Workers, agree, workers_from_environment

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300
TWO = ["one:1", "two:2"]

COMMAND = """
import functools, sys
import adml.models.adml as module
module.AcousticEncoder = functools.partial(
    module.AcousticEncoder, channels=16, dilations=(2,), scale=4, bottleneck=8)
from adml.cli import main
sys.exit(main(sys.argv[1:]))
"""

MEETING = """
import sys
from adml.errors import AdmlError
from adml.training.workers import agree, join, require_equal, workers_from_environment
workers = workers_from_environment()
strategy = join(workers)
require_equal(strategy, workers, {"name": "equal"})
try:
    require_equal(strategy, workers, {"same": "equal", "speech": str(workers.index)})
except AdmlError as error:
    print(error, flush=True)
count = 5 + workers.index
said = [agree(strategy, workers, workers.index == 1 == turn, count) for turn in range(2)]
print(said, flush=True)
with workers.together():
    while True:
        agree(strategy, workers, False, 0)
"""


def task(cluster, kind: str = "worker", index: int = 0) -> dict[str, str]:
    values = {"cluster": cluster, "task": {"type": kind, "index": index}}
    return {"TF_CONFIG": json.dumps(values)}


def free_ports(count: int) -> list[str]:
    with contextmanager(_sockets)(count) as sockets:
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _sockets(count: int):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    yield sockets
    for one in sockets:
        one.close()


@contextmanager
def two_processes(code: str, *arguments: str):
    """Two workers on this machine, each its own process; none outlives the block."""
    addresses, started = free_ports(2), []
    for index in range(2):
        environment = os.environ | task({"worker": addresses}, index=index)
        environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
        )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("text", ["", " ", '{"cluster": {"worker": ["one:1"]}}', "{}"])
def test_one_process_trains_alone(text):
    workers = workers_from_environment({"TF_CONFIG": text})
    assert (workers.index, workers.count, workers.is_chief) == (0, 1, True)
    assert workers_from_environment({}).count == 1


def test_the_chief_is_the_first():
    assert workers_from_environment(task({"worker": TWO}, index=1)) == Workers(1, tuple(TWO))
    cluster = {"worker": TWO, "chief": ["zero:0"]}
    chief = workers_from_environment(task(cluster, "chief"))
    assert chief == Workers(0, ("zero:0", *TWO)) and chief.is_chief
    second = workers_from_environment(task(cluster, index=1))
    assert second.index == 2 and not second.is_chief


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"TF_CONFIG": "{worker"}, "one JSON object. Received: '{worker'"),
        ({"TF_CONFIG": "[]"}, "one JSON object"),
        (task({"worker": TWO}, index="x"), "one JSON object"),
        (task({"worker": TWO, "ps": ["three:3"]}), "chief and worker alone.*Received: ps"),
        (task({"worker": ["one", "two:2"]}), "HOST:PORT. Received: 'one'"),
        (task({"worker": ["one:1", "one:1"]}), "address of its own"),
        (task({"worker": TWO}, index=2), "worker 0 to 1. Received: worker 2"),
        (task({"worker": TWO}, index=-1), "Received: worker -1"),
        (task({"worker": TWO}, "evaluator"), "Received: evaluator 0"),
    ],
)
def test_a_wrong_environment_is_told(environment, message):
    with pytest.raises(ConfigError, match=f"(?s)TF_CONFIG.*Expected: .*{message}.*like"):
        workers_from_environment(environment)


def test_the_others_write_where_nothing_stays(tmp_path):
    with Workers(0, tuple(TWO)).place(tmp_path) as place:
        assert place == tmp_path
    with Workers(1, tuple(TWO)).place(tmp_path) as place:
        (place / "file").touch()
        assert place != tmp_path
    assert not place.exists() and not list(tmp_path.iterdir())


def test_what_one_process_suffers_is_no_lost_worker():
    error = tf.errors.UnavailableError(None, None, "gone\n  away")
    with pytest.raises(tf.errors.UnavailableError), Workers().together():
        raise error
    lost = pytest.raises(WorkerLost, match="one:1, two:2.*--resume.*gone away")
    with lost, Workers(1, tuple(TWO)).together():
        raise error
    with pytest.raises(ConfigError), Workers(1, tuple(TWO)).together():
        raise ConfigError("other")
    assert agree(tf.distribute.get_strategy(), Workers(), True, 3) == (True, 3)


def test_replicas_are_of_one_process(tiny_overrides, speech_cache, tmp_path):
    config = load_config(None, [*tiny_overrides, "training.replicas=2"])
    with pytest.raises(ConfigError, match="training.replicas.*Expected: 0.*Received: 2"):
        train(config, tmp_path / "run", cache=speech_cache, workers=Workers(0, tuple(TWO)))


def test_a_worker_that_differs_or_ends_ends_the_others():
    with two_processes(MEETING) as (chief, other):
        said = [[process.stdout.readline() for _ in range(2)] for process in (chief, other)]
        other.kill()
        _, told = chief.communicate(timeout=LIMIT_S)
    for refused, asked in said:
        assert "Worker 1 was not given what the chief was" in refused
        assert "Received: another speech." in refused
        assert asked == "[(False, 11), (True, 11)]\n"
    assert chief.returncode == 1
    assert "WorkerLost: Worker 0 of 2 has lost another" in told


def test_two_processes_stopped_and_gone_on_with_by_one_are_one(
    tiny_overrides, speech_cache, thin_encoders, tmp_path
):
    """Of five keywords two are the chief's; the other worker alone gets the signal."""
    overrides = [
        *tiny_overrides, "batches.keywords=5", "training.steps=4", "training.log_every_steps=1",
        "training.checkpoint_every_steps=100", "training.compile=false",
    ]  # fmt: skip
    options = [word for item in overrides for word in ("--set", item)]
    folder = tmp_path / "two"
    arguments = ["train", "--out", str(folder), "--cache", str(speech_cache), *options]
    with two_processes(COMMAND, *arguments) as (chief, other):
        end = time.monotonic() + LIMIT_S
        while not (folder / "metrics.csv").is_file() and chief.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        other.send_signal(signal.SIGTERM)
        told = [process.communicate(timeout=LIMIT_S)[1] for process in (chief, other)]
    for process, text in zip((chief, other), told, strict=True):
        assert process.returncode >= 128 and "Stopped after step" in text, text
    (checkpoint,) = (folder / "checkpoints").iterdir()
    stopped = len(read_metrics(folder / "metrics.csv")["step"])
    assert checkpoint.name == f"step-{stopped:08d}" and stopped < 4
    config = load_config(None, overrides)
    train(config, folder, cache=speech_cache, resume=True)
    one = read_metrics(train(config, tmp_path / "one", cache=speech_cache) / "metrics.csv")
    two = read_metrics(folder / "metrics.csv")
    assert two["step"] == one["step"] == list(range(1, 5))
    assert json.loads((folder / "cost.json").read_text())["utterances"] == 40
    measured = {"seconds", "utterances_per_second", "wait_fraction"}
    for name in set(one) - measured - {"memory_mb", "remaining_seconds"}:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
