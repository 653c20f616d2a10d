"""Checkpoints are whole or absent, and damage is noticed."""

from __future__ import annotations

import logging

import pytest
import tensorflow as tf

from adml.errors import DataError
from adml.training.checkpoint import Checkpoints


def _module(value: float) -> tf.Module:
    module = tf.Module()
    module.value = tf.Variable(value)
    return module


def test_the_newest_is_restored_into_another_object(tmp_path):
    module = _module(1.5)
    checkpoints = Checkpoints(tmp_path, keep=2, model=module)
    for step in (1, 2, 3):
        module.value.assign(step + 0.5)
        checkpoints.save(step)
    other = _module(0.0)
    restored = Checkpoints(tmp_path, model=other)
    assert restored.steps() == [2, 3]
    assert restored.restore_latest() == 3
    assert float(other.value) == 3.5


def test_no_checkpoint_is_step_zero(tmp_path):
    assert Checkpoints(tmp_path / "absent", model=_module(0.0)).restore_latest() == 0


def test_a_damaged_one_is_refused_and_the_one_before_is_used(tmp_path, caplog):
    module = _module(0.0)
    checkpoints = Checkpoints(tmp_path, keep=3, model=module)
    for step in (1, 2):
        module.value.assign(float(step))
        checkpoints.save(step)
    data = next((tmp_path / "step-00000002").glob("state.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.restore_latest() == 1
    assert "damaged" in caplog.text
    assert float(module.value) == 1.0


def test_a_half_written_one_does_not_count(tmp_path):
    checkpoints = Checkpoints(tmp_path, model=_module(0.0))
    checkpoints.save(5)
    (tmp_path / "step-00000009.part").mkdir()
    (tmp_path / "step-00000008").mkdir()
    assert checkpoints.steps() == [5]


def test_all_damaged_is_an_error(tmp_path):
    checkpoints = Checkpoints(tmp_path, model=_module(0.0))
    (checkpoints.save(1) / "state.index").write_bytes(b"")
    with pytest.raises(DataError, match=r"Every checkpoint.*checksum of state.index.*--resume"):
        checkpoints.restore_latest()


@pytest.mark.parametrize("manifest", ["", "[1]", '{"sha256": 3}', "{}"])
def test_a_damaged_manifest_is_damage(tmp_path, manifest):
    checkpoints = Checkpoints(tmp_path, model=_module(0.0))
    (checkpoints.save(1) / "manifest.json").write_text(manifest)
    with pytest.raises(DataError, match="Every checkpoint"):
        checkpoints.restore_latest()


def test_what_an_ended_process_left_half_written_is_removed(tmp_path):
    (tmp_path / "step-00000003.part").mkdir()
    Checkpoints(tmp_path, model=_module(0.0)).save(5)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_a_checkpoint_of_another_model_is_an_error(tmp_path):
    Checkpoints(tmp_path, model=_module(0.0)).save(1)
    other = tf.Module()
    other.another = tf.Variable(1.0)
    with pytest.raises(DataError, match="another model.*in another folder"):
        Checkpoints(tmp_path, model=other).restore_latest()


def test_an_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Cannot write the checkpoint"):
        Checkpoints(tmp_path / "file", model=_module(0.0)).save(1)
