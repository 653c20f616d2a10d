"""Decoded audio: once, resumable, shared, damaged."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile

import adml.data.store as store_module
from adml.data.store import PcmStore
from adml.errors import DataError


@pytest.fixture
def paths(corpus):
    return sorted(str(path) for path in (corpus / "audio").iterdir())


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(store_module, "_SHARD_FILES", 2)


@pytest.fixture
def decoded(monkeypatch):
    """The paths that are really decoded."""
    seen = []
    original = store_module.decode

    def counting(path):
        seen.append(path)
        return original(path)

    monkeypatch.setattr(store_module, "decode", counting)
    return seen


def test_reads_what_was_recorded(paths, tmp_path):
    store = PcmStore.build(paths, tmp_path)
    expected, _ = soundfile.read(paths[1], dtype="float32")
    samples = store.read(paths[1])
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)
    np.testing.assert_array_equal(store.read(paths[1], 0.25, 0.5), expected[4000:8000])
    assert len(store) == 5 and paths[0] in store
    assert store.seconds == pytest.approx(5 * 0.7 + 23 * 0.4, abs=1e-3)


def test_a_span_is_cut_to_the_recording(paths, tmp_path):
    store = PcmStore.build(paths[:2], tmp_path)
    whole = store.read(paths[0])
    np.testing.assert_array_equal(store.read(paths[0], -3.0, 0.1), whole[:1600])
    np.testing.assert_array_equal(store.read(paths[0], 0.1, 99.0), whole[1600:])
    assert len(store.read(paths[0], 50.0, 60.0)) == 0
    assert len(store.read_samples(0, 100, 50)) == 0


def test_a_second_call_decodes_nothing(paths, tmp_path, decoded):
    first = PcmStore.build(paths, tmp_path)
    assert sorted(decoded) == paths
    again = PcmStore.build([*reversed(paths), paths[0]], tmp_path)
    assert len(decoded) == 5
    assert again.folder == first.folder and again.content_hash == first.content_hash
    assert PcmStore.open(first.folder).paths == first.paths
    assert PcmStore.build(paths[:3], tmp_path).folder != first.folder


def test_audio_is_mapped_and_not_loaded(paths, tmp_path):
    store = PcmStore.build(paths, tmp_path)
    base = store._samples
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.mode == "r"
    assert os.path.getsize(base.filename) == 2 * store.offsets[-1]


def test_an_interrupted_build_goes_on(paths, tmp_path, decoded, small_shards, monkeypatch):
    counting = store_module.decode

    def interrupted(path):
        if path == paths[2]:
            raise KeyboardInterrupt
        return counting(path)

    monkeypatch.setattr(store_module, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PcmStore.build(paths, tmp_path, workers=1)
    folder = next(path for path in tmp_path.iterdir())
    with pytest.raises(DataError, match="No usable store"):
        PcmStore.open(folder)
    with (folder / "partial.int16").open("ab") as partial:
        partial.write(b"torn")  # half a shard that was not written down
    with (folder / "journal").open("a") as journal:
        journal.write('{"paths": ["to')
    decoded.clear()
    monkeypatch.setattr(store_module, "decode", counting)
    store = PcmStore.build(paths, tmp_path, workers=1)
    assert sorted(decoded) == paths[2:]
    fresh = PcmStore.build(paths, tmp_path / "other")
    assert store.content_hash == fresh.content_hash
    for path in paths:
        np.testing.assert_array_equal(store.read(path), fresh.read(path))
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "index.json", "samples.int16",
    ]  # fmt: skip


def test_the_content_hash_follows_the_audio(paths, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.1), 16000)
    first = PcmStore.build([str(tmp_path / "a.wav")], tmp_path / "one")
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.2), 16000)
    second = PcmStore.build([str(tmp_path / "a.wav")], tmp_path / "two")
    assert first.content_hash != second.content_hash


def test_a_bad_recording_is_left_out_and_said(paths, tmp_path, caplog):
    bad = tmp_path / "bad.flac"
    bad.write_bytes(b"fLaC no audio")
    store = PcmStore.build([*paths, str(bad)], tmp_path / "cache")
    assert len(store) == 5 and str(bad) in store.failed
    assert "1 of 6 recordings could not be decoded" in caplog.text and "bad.flac" in caplog.text
    with pytest.raises(DataError, match="No decoded audio for .*bad.flac"):
        store.read(str(bad))
    with pytest.raises(DataError, match="None of 1 recordings"):
        PcmStore.build([str(bad)], tmp_path / "cache")


def test_bad_arguments_and_damage(paths, tmp_path):
    with pytest.raises(DataError, match="No recordings to decode"):
        PcmStore.build([], tmp_path)
    with pytest.raises(DataError, match="not among the recordings"):
        PcmStore.build(paths, tmp_path).read("elsewhere.flac")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        PcmStore.build(paths, tmp_path / "file")
    folder = PcmStore.build(paths, tmp_path).folder
    with (folder / "samples.int16").open("ab") as samples:
        samples.write(b"xx")
    with pytest.raises(DataError, match="is damaged"):
        PcmStore.open(folder)
    (folder / "index.json").write_text(json.dumps({"paths": []}), encoding="utf-8")
    with pytest.raises(DataError, match="No usable store"):
        PcmStore.open(folder)


def test_the_quietest_stretch(tmp_path):
    samples = np.full(48000, 0.5, np.float32)
    samples[20000:29000] = 0.001
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    quiet = PcmStore.build([str(tmp_path / "a.wav")], tmp_path / "cache").quiet(0)
    assert len(quiet) == 8000
    assert np.abs(quiet).max() < 0.002


def test_a_recording_changed_at_the_same_length_is_decoded_anew(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(4000, 0.5), 16000)
    assert PcmStore.build([str(path)], tmp_path / "cache").read(str(path))[0] > 0
    soundfile.write(path, np.full(4000, -0.25), 16000)
    os.utime(path, ns=(1, 1))
    assert PcmStore.build([str(path)], tmp_path / "cache").read(str(path))[0] < 0
