"""TFRecord frames and Example messages against TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.data.shards.records import FRAME_BYTES, example, frame

MESSAGES = [
    {},
    {"samples": [bytes(range(256)) * 70]},
    {"b": [b"", b"two"], "a": [0.0, -1.5, 1e-30], "ab": [0, 1, -1, 127, 128, 2**63 - 1, -(2**63)]},
    {"f": [0.1], "n": [300], "e": [], "\u00e9\u00fc": ["\u00df".encode()]},
]


def tensorflow_example(features: dict) -> tf.train.Example:
    """The same message, made by TensorFlow."""
    made = {}
    for name, values in features.items():
        if not values:
            continue
        if isinstance(values[0], bytes):
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        elif isinstance(values[0], float):
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature=made))


@pytest.mark.parametrize("features", MESSAGES)
def test_a_message_is_tensorflows(features):
    expected = tensorflow_example(features)
    assert tf.train.Example.FromString(example(features)) == expected
    assert len(example(features)) == len(expected.SerializeToString())


def test_records_are_tensorflows(tmp_path):
    messages = [b"", b"a", np.random.default_rng(0).bytes(100_000)]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for message in messages:
            writer.write(message)
    ours = b"".join(map(frame, messages))
    assert ours == (tmp_path / "theirs").read_bytes()
    assert frame(messages[2])[FRAME_BYTES:-4] == messages[2]
