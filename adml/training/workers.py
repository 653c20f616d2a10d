"""Several processes that train one model, as the environment's TF_CONFIG names them.

All that goes between them is tf.distribute's: each computes its share of every batch, and what
`MirroredStrategy` does between the devices of one process, `MultiWorkerMirroredStrategy` does
between processes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from adml.errors import AdmlError, ConfigError

logger = logging.getLogger(__name__)

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class WorkerLost(AdmlError):
    """Another worker has ended, so none can go on."""

    exit_code = 3


@dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    Args:
        index: of this process; number 0, the chief, alone writes the run folder.
        addresses: HOST:PORT of every process, the chief's first.
    """

    index: int = 0
    addresses: tuple[str, ...] = ("",)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0

    @contextmanager
    def place(self, folder: str | Path) -> Iterator[Path]:
        """Where this process writes: the run folder, or one that is dropped in the end."""
        if self.is_chief:
            yield Path(folder)
            return
        with tempfile.TemporaryDirectory(prefix="adml-worker-") as aside:
            yield Path(aside)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell in one message that another worker has gone.

        Raises:
            WorkerLost: an exchange with the others failed.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            if self.count == 1:
                raise
            reason = re.sub(r"\s+", " ", error.message or str(error)).strip()
            raise WorkerLost(
                f"Worker {self.index} of {self.count} has lost another: it ended, or cannot be "
                f"reached. Expected: all of {', '.join(self.addresses)}. Its own message tells "
                "why. The last checkpoint is whole; start all of them again with --resume. "
                f"({reason[:300]})"
            ) from error


def workers_from_environment(environment: Mapping[str, str] | None = None) -> Workers:
    """Read TF_CONFIG; one worker where it is not set or names only this process.

    Args:
        environment: variables by name; None for the process' own.

    Raises:
        ConfigError: it is set and wrong.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if not text:
        return Workers()
    try:
        values = json.loads(text)
        jobs, task = values.get("cluster") or {}, values.get("task") or {}
        lists = {job: list(jobs.get(job, [])) for job in JOBS}
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise _wrong("one JSON object", f"{text[:100]!r} ({error})") from None
    if others := sorted(set(jobs) - set(JOBS)):
        raise _wrong("jobs chief and worker alone; every process trains", others[0])
    addresses = lists["chief"] + lists["worker"]
    if len(addresses) < 2:
        return Workers()
    odd = [item for item in addresses if not re.fullmatch(r"\S+:\d{1,5}", str(item))]
    if odd:
        raise _wrong("every address as HOST:PORT", repr(odd[0]))
    if len(set(addresses)) < len(addresses):
        raise _wrong("an address of its own for every process", ", ".join(addresses))
    if kind not in JOBS or not 0 <= index < len(lists[kind]):
        expected = [f"{job} 0 to {len(lists[job]) - 1}" for job in JOBS if lists[job]]
        raise _wrong(f"a task that the cluster has: {' or '.join(expected)}", f"{kind} {index}")
    return Workers(index + (len(lists["chief"]) if kind == "worker" else 0), tuple(addresses))


def join(workers: Workers) -> tf.distribute.Strategy:
    """Wait for the other workers; call it before anything else of TensorFlow.

    Returns:
        `MultiWorkerMirroredStrategy` over the GPUs of all workers, or one CPU of each.

    Raises:
        ConfigError: this worker's address cannot be listened at.
    """
    logger.info(
        "Worker %d of %d (%s); waiting for the others", workers.index, workers.count,
        ", ".join(workers.addresses),
    )  # fmt: skip
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise _wrong(
            "a free port of this machine for every process on it",
            f"{workers.addresses[workers.index]} ({error.message})",
        ) from None


def agree(
    strategy: tf.distribute.Strategy, workers: Workers, asked: bool, count: int
) -> tuple[bool, int]:
    """Whether any worker was asked to stop, and the sum of their counts; all must ask at once."""
    if workers.count == 1:
        return asked, count
    local = len(strategy.extended.worker_devices)
    said = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([float(asked), count / local])
    )
    stops, total = strategy.reduce(tf.distribute.ReduceOp.SUM, said, axis=None).numpy().tolist()
    return stops > 0, round(total)


def require_equal(
    strategy: tf.distribute.Strategy, workers: Workers, values: Mapping[str, str]
) -> None:
    """Check that all workers were given the same; all must ask at the same place.

    Args:
        strategy: of `join`.
        workers: this process among them.
        values: what is compared, by what a message calls it.

    Raises:
        ConfigError: a worker differs from the chief, on every worker.
    """
    if workers.count == 1:
        return
    own = [
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        for text in values.values()
    ]

    def exchange():
        context = tf.distribute.get_replica_context()
        return context.all_gather(tf.constant([own], tf.int64), axis=0)

    rows = strategy.experimental_local_results(strategy.run(exchange))[0].numpy()
    for place, row in enumerate(rows.tolist()):
        differing = [name for name, a, b in zip(values, row, rows[0], strict=True) if a != b]
        if differing:
            worker = place * workers.count // len(rows)
            raise ConfigError(
                f"Worker {worker} was not given what the chief was. Expected: the same "
                f"{', '.join(values)}. Received: another {', '.join(differing)}. Start all "
                "workers with the same configuration, speech and version."
            )


def _wrong(expected: str, received: str) -> ConfigError:
    return ConfigError(
        f"{VARIABLE} of the environment is wrong. Expected: {expected}. Received: {received}. "
        f"It is like {EXAMPLE}, with an index of its own for each process; unset it to train "
        "in one process."
    )
