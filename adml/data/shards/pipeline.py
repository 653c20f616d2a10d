"""The shards of a set made by Apache Beam: the same jobs by the same function, on any runner."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from adml.data.corpora.tables import Line
from adml.data.shards.plan import Planned
from adml.data.shards.writing import Job, make_shard
from adml.errors import UsageError


def make_in_pipeline(work: Iterable[Job], options: Sequence[str]) -> None:
    """Run one element a shard. Jobs lie beside the shards while it runs, not in memory.

    Args:
        work: the jobs; their folders must be seen by the workers under the same paths.
        options: of the pipeline, such as "--runner=DirectRunner".

    Raises:
        UsageError: there is no such runner, or an option has no such value.
    """
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    try:
        made = beam.Pipeline(options=PipelineOptions(list(options)))
    except ValueError as error:
        raise UsageError(f"Apache Beam refuses the options after --beam: {error}") from error
    files = [_written(job) for job in work]
    with made as pipeline:
        numbers = pipeline | "jobs" >> beam.Create(list(map(str, files)))
        numbers | "apart" >> beam.Reshuffle() | "shards" >> beam.Map(_make)
    for file in files:
        file.unlink()


def _written(job: Job) -> Path:
    file = job.target.with_name(job.target.name + ".job").absolute()
    told = dataclasses.asdict(job)
    told |= {name: str(told[name].absolute()) for name in ("source", "target")}
    file.write_text(json.dumps(told), encoding="ascii")
    return file


def _make(file: str) -> bool:
    return make_shard(_read(Path(file)))


def _read(file: Path) -> Job:
    told = json.loads(file.read_text(encoding="ascii"))
    planned = tuple(
        Planned(Line(**row["line"]), row["fault"], tuple(Line(**word) for word in row["words"]))
        for row in told["planned"]
    )
    columns, word_columns = tuple(told["columns"]), tuple(told["word_columns"])
    return Job(Path(told["source"]), Path(told["target"]), columns, word_columns, planned)
