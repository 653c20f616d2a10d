"""The miniature corpus as shards, and readers of records that know nothing of the code's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adml.data.shards.making import make_shards

SHARD_BYTES = round(2 * 16000 * 5.2)  # the miniature's recordings, 2.3 to 3.1 s: 2, 1 and 2


@pytest.fixture(scope="session")
def sharded(corpus, tmp_path_factory) -> Path:
    """The folder of the miniature's shards; read only."""
    out = tmp_path_factory.mktemp("sharded") / "train"
    make_shards(corpus, out, shard_mb=1, jobs=1)
    return out


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of a recording or two, whatever is asked for."""
    import adml.data.shards.making as making

    plan = making.Plan
    monkeypatch.setattr(making, "Plan", lambda source, size: plan(source, SHARD_BYTES))


def read_records(folder: Path) -> list[dict]:
    """The records of all shards in their order, by TensorFlow alone."""
    text, number, real = (tf.io.VarLenFeature(kind) for kind in (tf.string, tf.int64, tf.float32))
    one = tf.io.FixedLenFeature([], tf.string)
    features = {
        "path": one, "text": one, "speaker": one, "samples": one,
        "word": text, "word_start": real, "word_end": real, "word_index": number,
    }  # fmt: skip
    records = []
    for raw in tf.data.TFRecordDataset(sorted(map(str, folder.glob("audio-*.tfrecord")))):
        found = tf.io.parse_single_example(raw, features)
        record = {name: found[name].numpy().decode() for name in ("path", "text", "speaker")}
        record["samples"] = np.asarray(tf.io.decode_raw(found["samples"], tf.int16))
        spoken = [found[name].values.numpy().tolist() for name in features if "word" in name]
        record["words"] = [(w.decode(), *rest) for w, *rest in zip(*spoken, strict=True)]
        records.append(record)
    return records


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
