"""Sets in either form give the same words, recordings and batches, from the configuration on."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from adml.build.data import build_source
from adml.build.trials import build_trials, chosen_trials
from adml.config import load_config
from adml.data.sets import open_recordings, read_clips, read_words
from adml.data.shards.making import make_shards
from adml.data.shards.store import ShardStore
from adml.errors import DataError
from adml.text.g2p import G2P


@pytest.fixture(scope="module")
def sharded_folder(speech_folder, tmp_path_factory):
    """The sets of `speech_folder` under the same names, each as shards."""
    root = tmp_path_factory.mktemp("sharded")
    for name in ("train", "test", "noise"):
        make_shards(speech_folder / name, root / name, jobs=1)
    return root


def test_what_a_configuration_draws_is_the_same(
    tiny_overrides, speech_folder, sharded_folder, tmp_path
):
    g2p, drawn = G2P(), []
    for root in (speech_folder, sharded_folder):
        config = load_config(None, [*tiny_overrides, f"data.root={root}"])
        source = build_source(config, tmp_path / "cache", g2p)
        lists = [build_trials(one, root, g2p).sha256 for one in chosen_trials(config, ())]
        drawn.append((source, lists))
    (plain, lists), (ours, our_lists) = drawn
    assert isinstance(ours.store, ShardStore) and not isinstance(plain.store, ShardStore)
    assert our_lists == lists and ours.segments.data_hash == plain.segments.data_hash
    assert ours.batches_per_epoch == plain.batches_per_epoch
    for number in range(3):
        batch, expected = ours.batch(0, number), plain.batch(0, number)
        assert batch.keys() == expected.keys() and batch["waveform"].any()
        for name in batch:
            np.testing.assert_array_equal(batch[name], expected[name])


def test_recordings_that_shards_lack_are_told(sharded_folder, tmp_path, caplog):
    path = read_clips(sharded_folder / "test").path[0]
    missing = str(sharded_folder / "test" / "audio" / "nobody.wav")
    store = open_recordings([path, missing], tmp_path)
    assert store.paths == (path,) and f"{missing}: not in the shards" in caplog.text
    with pytest.raises(DataError, match="not in the shards"):
        store.read(missing)
    with pytest.raises(DataError, match="1 of 1 recordings cannot be used"):
        open_recordings([missing], tmp_path)


def test_both_forms_in_one_store_are_an_error(speech_folder, sharded_folder, tmp_path):
    paths = [read_clips(root / "test").path[0] for root in (speech_folder, sharded_folder)]
    with pytest.raises(DataError, match=f"Received: {speech_folder}.*adml data shard"):
        open_recordings(paths, tmp_path)


def test_shards_hold_one_list_of_words(sharded_folder):
    with pytest.raises(DataError, match=r"words of words.tsv alone. Received: mfa_words.tsv"):
        read_words(sharded_folder / "train", words_file="mfa_words.tsv")


def test_a_shard_cut_short_stops_the_reader(sharded_folder, tmp_path):
    folder = tmp_path / "train"
    shutil.copytree(sharded_folder / "train", folder)
    paths = read_words(folder).path
    shard = next(folder.glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match="is damaged"):
        open_recordings(paths, tmp_path)
