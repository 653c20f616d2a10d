"""Checkpoints are whole or absent, and damage is noticed."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

import pytest
import tensorflow as tf

from adml.errors import DataError, UsageError
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


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["state.data-00000-of-00001", "state.index", "manifest.json"])
@pytest.mark.parametrize("damage", [_flip, _cut, os.unlink])
def test_a_damaged_one_is_refused_and_the_one_before_is_used(tmp_path, caplog, damage, name):
    module = _module(0.0)
    checkpoints = Checkpoints(tmp_path, keep=3, model=module)
    for step in (1, 2):
        module.value.assign(float(step))
        checkpoints.save(step)
    damage(tmp_path / "step-00000002" / name)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.restore_latest() == 1
    assert ("damaged" in caplog.text) == (name != "manifest.json" or damage is not os.unlink)
    assert float(module.value) == 1.0


def test_the_best_stays(tmp_path):
    module = _module(0.0)
    checkpoints = Checkpoints(tmp_path, keep=2, model=module)
    assert checkpoints.best_step() is None
    for step, best in ((1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 3)):
        module.value.assign(float(step))
        checkpoints.save(step, {"best": {"step": best, "value": 0.5}})
        assert checkpoints.best_step() == best
    assert checkpoints.steps() == [3, 5, 6]
    for which, step in (("best", 3), ("5", 5), ("latest", 6)):
        assert checkpoints.restore_chosen(which) == step == float(module.value)
    with pytest.raises(UsageError, match=r"latest, or one of the steps 3, 5, 6. Received: step 4"):
        checkpoints.restore_chosen("4")
    (tmp_path / "step-00000006" / "manifest.json").write_text("{")
    assert checkpoints.best_step() == 3
    checkpoints.save(7)
    with pytest.raises(UsageError, match="none that was validated"):
        checkpoints.restore_chosen("best")


@pytest.mark.parametrize("keep", [1, 2])
def test_damaged_ones_take_no_place_of_those_that_are_written_anew(tmp_path, keep):
    module = _module(2.0)
    checkpoints = Checkpoints(tmp_path, keep=3, model=module)
    for step, best in ((2, 2), (6, 6), (8, 8)):
        checkpoints.save(step, {"best": {"step": best, "value": 0.5}})
    for step in (6, 8):
        _cut(tmp_path / f"step-{step:08d}" / "state.index")
    resumed = Checkpoints(tmp_path, keep=keep, model=module)
    assert resumed.restore_latest() == 2
    module.value.assign(4.0)
    resumed.save(4, {"best": {"step": 2, "value": 0.5}})
    assert resumed.steps() == [2, 4]
    assert resumed.restore_chosen("best") == 2 == float(module.value)
    assert resumed.restore_latest() == 4 == float(module.value)


def test_the_best_that_is_gone_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path, model=_module(0.0))
    checkpoints.save(5, {"best": {"step": 2, "value": 0.5}})
    with pytest.raises(UsageError, match="one of the steps 5. Received: step 2"):
        checkpoints.restore_chosen("best")


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


def test_a_full_disk_leaves_the_old_one_whole(tmp_path):
    """The system refuses to let a file grow further, as a full disk would."""
    module = _module(0.0)
    module.large = tf.Variable(tf.zeros([1 << 20]))
    checkpoints = Checkpoints(tmp_path, keep=1, model=module)
    checkpoints.save(1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    module.value.assign(2.0)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most))
    try:
        with pytest.raises(DataError, match="step-00000002.*Free some space and resume"):
            checkpoints.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert checkpoints.restore_latest() == 1 and float(module.value) == 0.0
    checkpoints.save(2)
    assert checkpoints.steps() == [2]


def test_files_reach_the_disk_before_their_names(tmp_path, monkeypatch):
    """Of a machine that loses power nothing else is known than what was flushed, in order."""
    done = []

    def flushed(descriptor):
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    rename = os.replace
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append(paths), rename(*paths)))
    target = Checkpoints(tmp_path, model=_module(0.0)).save(1)
    part = tmp_path / "step-00000001.part"
    files = {part / path.name for path in target.iterdir()}
    assert set(done[:-3]) == files and len(done) == len(files) + 3
    assert done[-3:] == [part, (part, target), tmp_path]


def test_an_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Cannot write the checkpoint"):
        Checkpoints(tmp_path / "file", model=_module(0.0)).save(1)
