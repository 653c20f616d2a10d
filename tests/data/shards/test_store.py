"""Sharded speech against the plain form: the same answers, words and clips."""

from __future__ import annotations

import numpy as np
import pytest

from adml.data.batches import BatchSource
from adml.data.cutting import Cutter
from adml.data.segments import build_segments
from adml.data.shards.making import make_shards
from adml.data.shards.store import ShardStore
from adml.data.shards.words import read_shard_clips, read_shard_words
from adml.data.store import PcmStore
from adml.data.words import read_clips, read_words
from adml.errors import DataError


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory) -> PcmStore:
    paths = [str(path) for path in (corpus / "audio").iterdir()]
    return PcmStore.build(paths, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def parted(corpus, tmp_path, small_shards):
    """The miniature in several shards."""
    make_shards(corpus, tmp_path / "parted", jobs=1)
    assert len(list((tmp_path / "parted").glob("*.tfrecord"))) > 2
    return tmp_path / "parted"


def same_tables(sharded, plain, folder, root):
    for name in ("word", "speaker", "start_s", "end_s", "index", "confidence"):
        found, expected = getattr(sharded, name), getattr(plain, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    below = [path.removeprefix(f"{folder}/") for path in sharded.path]
    assert below == [path.removeprefix(f"{root}/") for path in plain.path]


def test_every_answer_is_that_of_the_plain_store(plain, parted, corpus):
    store = ShardStore.open(parted)
    assert [path.replace(str(parted), str(corpus)) for path in store.paths] == list(plain.paths)
    assert len(store) == len(plain) and store.seconds == plain.seconds
    for name in ("lengths", "offsets", "quiet_starts"):
        np.testing.assert_array_equal(getattr(store, name), getattr(plain, name))
    for code, path in enumerate(store.paths):
        assert path in store and store.code(path) == code
        length = int(plain.lengths[code])
        for span in ((0, length), (-5, 7), (1001, 1500), (length - 3, length + 9), (50, 20)):
            found = store.read_samples(code, *span)
            np.testing.assert_array_equal(found, plain.read_samples(code, *span))
            assert found.dtype == np.float32
        np.testing.assert_array_equal(store.quiet(code), plain.quiet(code))
        np.testing.assert_array_equal(
            store.read(path, 0.3, 0.7), plain.read(plain.paths[code], 0.3, 0.7)
        )


def test_words_and_clips_are_those_of_the_plain_set(sharded, corpus):
    same_tables(read_shard_words(sharded), read_words(corpus), sharded, corpus)
    same_tables(read_shard_clips(sharded), read_clips(corpus), sharded, corpus)
    prefix = {"path_prefix": "audio/b"}
    same_tables(read_shard_words(sharded, **prefix), read_words(corpus, **prefix), sharded, corpus)
    same_tables(read_shard_clips(sharded, **prefix), read_clips(corpus, **prefix), sharded, corpus)


def test_batches_drawn_of_both_are_identical(plain, parted, corpus, spell):
    options = {"g2p": spell, "keywords_per_batch": 3, "utterances_per_keyword": 2, "seed": 5}
    disturbed = {"jitter_ms": 40.0, "context_probability": 0.5, "padding_probability": 0.5}
    ours, theirs = (
        BatchSource(
            build_segments(words, max_words=2), store, cutter=Cutter(**disturbed), **options
        )
        for words, store in (
            (read_shard_words(parted), ShardStore.open(parted)),
            (read_words(corpus), plain),
        )
    )
    for epoch in range(4):
        batch, expected = ours.batch(epoch, 0), theirs.batch(epoch, 0)
        assert batch.keys() == expected.keys() and batch["waveform"].any()
        for name in batch:
            np.testing.assert_array_equal(batch[name], expected[name])


def test_several_folders_are_one_store(parted, sharded):
    both = ShardStore.open(parted, sharded)
    assert len(both) == 2 * len(ShardStore.open(sharded))
    for folder in (parted, sharded):
        one = ShardStore.open(folder)
        for path in one.paths:
            np.testing.assert_array_equal(both.read(path), one.read(path))


def test_the_least_confidence_holds(corpus, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (root / "audio").symlink_to(corpus / "audio")
    (root / "manifest.tsv").write_bytes((corpus / "manifest.tsv").read_bytes())
    header, first, second, third, *_ = (corpus / "words.tsv").read_text().splitlines()
    sure, unknown = second.replace("-1.0", "0.5"), third.replace("-1.0", "nan")
    (root / "words.tsv").write_text("\n".join([header, first, sure, unknown]) + "\n")
    make_shards(root, tmp_path / "out", jobs=1)
    for least in (-1.0, 0.0):
        ours = read_shard_words(tmp_path / "out", min_confidence=least)
        same_tables(ours, read_words(root, min_confidence=least), tmp_path / "out", root)
    with pytest.raises(DataError, match="the confidence 0.9"):
        read_shard_words(tmp_path / "out", min_confidence=0.9)


def test_what_is_not_there_is_told(sharded, tmp_path):
    with pytest.raises(DataError, match="path prefix 'video'"):
        read_shard_words(sharded, path_prefix="video")
    with pytest.raises(DataError, match="it was not among the recordings"):
        ShardStore.open(sharded).read("audio/nobody.flac")
    with pytest.raises(DataError, match="a folder of `adml data shard`"):
        ShardStore.open(tmp_path)


def damage(path, how):
    data = path.read_bytes()
    path.chmod(0o644)
    path.unlink() if how == "gone" else path.write_bytes(how(data))


@pytest.mark.parametrize(
    ("name", "how", "told"),
    [
        ("manifest.tsv", lambda data: data[:-1] + b"x\n", "manifest.tsv is damaged"),
        ("index.npy", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "index.npy is damaged"),
        ("set_aside.tsv", "gone", "set_aside.tsv cannot be read"),
        ("audio-00000-of-00001.tfrecord", lambda data: data[:-1], "Received: [0-9]+"),
        ("audio-00000-of-00001.tfrecord", "gone", "Received: no file"),
        ("shards.json", lambda data: data[:-9], "JSONDecodeError"),
        ("shards.json", lambda data: data.replace(b'"form": 1', b'"form": 2'), "another form"),
        ("shards.json", lambda data: data.replace(b'"shards"', b'"parts"'), "KeyError"),
    ],
)
def test_a_damaged_folder_is_not_opened(sharded, tmp_path, name, how, told):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in sharded.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    ShardStore.open(folder)
    damage(folder / name, how)
    with pytest.raises(DataError, match=told):
        ShardStore.open(folder)


def test_few_shards_are_mapped_at_a_time(parted, monkeypatch):
    import adml.data.shards.store as module

    monkeypatch.setattr(module, "_MAPPED_SHARDS", 1)
    store, mapped = ShardStore.open(parted), []
    for code in (0, 1, 2, 3, 4, 0):
        store.read_samples(code, 0, 10)
        mapped.append(store._mapped.cache_info().currsize)
    assert mapped == [1] * 6
