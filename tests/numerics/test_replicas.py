"""Gathering over two logical CPU devices, and the identity on one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from adml.numerics import replicas


@pytest.fixture(scope="module")
def strategy():
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(devices) < 2:
        pytest.skip("needs two logical CPU devices")
    return tf.distribute.MirroredStrategy(
        devices[:2], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )


def test_identity_on_one_replica():
    x = tf.constant([[1.0], [2.0]])
    assert replicas.num_replicas() == 1
    np.testing.assert_array_equal(replicas.gather(x), x)
    np.testing.assert_array_equal(replicas.sum_over_replicas(x), x)


def test_uneven_rows_are_joined_in_replica_order(strategy):
    rows = [np.array([[1.0], [2.0], [3.0]], np.float32), np.array([[10.0]], np.float32)]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group])
    )

    @tf.function
    def step(x):
        def replica(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                joined = replicas.gather(x)
                loss = tf.reduce_sum(joined**2) / replicas.num_replicas()
            count = replicas.sum_over_replicas(tf.shape(x)[0])
            return joined, tape.gradient(loss, x), count

        return strategy.run(replica, args=(x,))

    joined, gradient, count = step(values)
    for copy in strategy.experimental_local_results(joined):
        np.testing.assert_array_equal(copy, np.concatenate(rows))
    for own, row in zip(strategy.experimental_local_results(gradient), rows, strict=True):
        np.testing.assert_allclose(own, 2 * row)
    assert [int(c) for c in strategy.experimental_local_results(count)] == [4, 4]


def test_outside_a_replica(strategy):
    with strategy.scope():
        assert replicas.num_replicas() == 1
        np.testing.assert_array_equal(replicas.gather(tf.constant([1.0])), [1.0])
