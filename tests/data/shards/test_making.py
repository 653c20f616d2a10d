"""Making shards: what is in them, what is set aside, taken up again, alike for any jobs."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import adml.data.shards.making as making
import adml.data.shards.writing as writing
from adml.cli import main
from adml.data.shards.making import make_shards
from adml.errors import DataError, UsageError

from .conftest import files_of, read_records

RATE_HZ = 16000


def write_set(root, manifest, words=None, seconds=1.0):
    """Lists as they are given, and a tone for each path of the manifest that ends in .wav."""
    root.mkdir(exist_ok=True)
    (root / "manifest.tsv").write_text("\n".join(manifest) + "\n", encoding="utf-8")
    if words:
        (root / "words.tsv").write_text("\n".join(words) + "\n", encoding="utf-8")
    names = {line.split("\t")[0] for line in manifest[1:] if ".wav\t" in line}
    for name in sorted(names):
        tone = 0.3 * np.sin(np.arange(int(seconds * RATE_HZ)) * (0.05 + sum(map(ord, name)) / 9e3))
        soundfile.write(root / name, tone, RATE_HZ, subtype="PCM_16")
    return root


def read_list(path):
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]


@pytest.fixture
def made(monkeypatch):
    """Names of the shards that are really made, one process doing it."""
    seen = []
    original = making.make_shard

    def noting(job):
        found = original(job)
        if found:
            seen.append(job.target.name)
        return found

    monkeypatch.setattr(making, "make_shard", noting)
    return seen


def test_tensorflow_reads_what_was_recorded(corpus, sharded):
    records = read_records(sharded)
    manifest = read_list(corpus / "manifest.tsv")
    words = read_list(corpus / "words.tsv")
    assert [record["path"] for record in records] == [row["path"] for row in manifest]
    for record, row in zip(records, manifest, strict=True):
        expected, _ = soundfile.read(corpus / row["path"], dtype="int16")
        np.testing.assert_array_equal(record["samples"], expected)
        assert (record["text"], record["speaker"]) == (row["text"], row["speaker"])
        spoken = [word for word in words if word["path"] == row["path"]]
        assert [word for word, *_ in record["words"]] == row["text"].split()
        times = np.array([times for _, *times in record["words"]])
        told = [[float(w["start"]), float(w["end"]), int(w["index"])] for w in spoken]
        np.testing.assert_allclose(times, told, rtol=1e-6)


def test_what_stands_beside_the_shards(corpus, sharded):
    described = json.loads((sharded / "shards.json").read_text())
    assert described["recordings"] == 5 and described["words"] == 23
    assert described["speakers"] == 3 and described["set_aside"] == {}
    assert set(described["files"]) | {"shards.json"} == set(files_of(sharded))
    for name, told in described["files"].items():
        data = (sharded / name).read_bytes()
        assert told == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for name in ("manifest.tsv", "words.tsv"):
        assert (sharded / name).read_bytes() == (corpus / name).read_bytes()


def test_the_index_tells_where_samples_are(sharded):
    index = np.load(sharded / "index.npy")
    names = json.loads((sharded / "shards.json").read_text())["shards"]
    for record, row in zip(read_records(sharded), index, strict=True):
        raw = (sharded / names[row["shard"]]).read_bytes()[row["offset"] :][: 2 * row["samples"]]
        np.testing.assert_array_equal(np.frombuffer(raw, "<i2"), record["samples"])


def test_bytes_do_not_depend_on_jobs(corpus, tmp_path, small_shards, capsys):
    for jobs in (1, 2):
        assert main(["data", "shard", str(corpus), "--out", str(tmp_path / str(jobs)),
                     "--jobs", str(jobs)]) == 0  # fmt: skip
    one, two = files_of(tmp_path / "1"), files_of(tmp_path / "2")
    assert one == two and sum(".tfrecord" in name for name in one) > 2
    assert "5 recordings, 0.00 h, 23 words with times in" in capsys.readouterr().out


def test_the_content_hash_is_of_the_content(corpus, sharded, tmp_path, small_shards):
    content = json.loads((sharded / "shards.json").read_text())["content_hash"]
    assert make_shards(corpus, tmp_path / "parted", jobs=1)["content_hash"] == content
    rows = ["path\ttext\tspeaker\tduration", "a.wav\tyes\tann\t1.0"]
    hashes = {
        make_shards(
            write_set(tmp_path / f"s{n}", [rows[0], row], seconds=seconds), tmp_path / f"o{n}"
        )["content_hash"]
        for n, (row, seconds) in enumerate(
            [(rows[1], 1.0), (rows[1], 0.999), (rows[1].replace("yes", "no"), 1.0)]
        )
    }
    assert len(hashes) == 3


MANIFEST = "path\ttext\tspeaker\tduration"
WORDS = "path\tword\tspeaker\tstart\tend\tindex"


@pytest.mark.parametrize(
    ("name", "line", "path", "what", "reason"),
    [
        ("manifest.tsv", "a.wav\tagain\tann\t1.0", "a.wav", "recording", "recording is there"),
        ("manifest.tsv", "./a.wav\tx\tann\t1.0", "./a.wav", "recording", "recording is there"),
        ("manifest.tsv", "gone.flac\tx\tann\t1", "gone.flac", "recording", "audio file is missing"),
        ("manifest.tsv", "../a.ogg\tx\tann\t1", "../a.ogg", "recording", "path leaves the folder"),
        ("manifest.tsv", "bad.mp3\tx\tann\t1.0", "bad.mp3", "recording", "is not"),
        ("manifest.tsv", "silent\tx\tann\t1.0", "silent", "recording", "is silent"),
        ("manifest.tsv", "b.wav\tx\tann\t1.06", "b.wav", "recording", "duration is not that of"),
        ("manifest.tsv", "b.wav\tx", "manifest.tsv:3", "recording", "wrong number of fields"),
        ("words.tsv", "a.wav\tyes\tann\t0.9\t1.2\t0", "a.wav", "word", "beyond the end of the"),
        ("words.tsv", "a.wav\tyes\tann\t0.9\tx\t0", "a.wav", "word", "time is not a number"),
        ("words.tsv", "a.wav\t \tann\t0.1\t0.2\t0", "a.wav", "word", "no word"),
        ("words.tsv", "a.wav\tyes\tann\t0.1\t0.2\tx", "a.wav", "word", "index is not a number"),
        ("words.tsv", "a.wav\tyes\tbob\t0.1\t0.2\t0", "a.wav", "word", "speaker is not that of"),
        ("words.tsv", "a.wav\tyes", "words.tsv:3", "word", "wrong number of fields"),
        ("words.tsv", "z.wav\tyes\tann\t0.1\t0.2\t0", "z.wav", "word", "recording is not in"),
    ],
)
def test_what_cannot_be_used_is_set_aside(tmp_path, name, line, path, what, reason):
    lists = {
        "manifest.tsv": [MANIFEST, "a.wav\tyes\tann\t1.0"],
        "words.tsv": [WORDS, "a.wav\tyes\tann\t0.1\t0.4\t0"],
    }
    whole = {name: list(lines) for name, lines in lists.items()}
    lists[name].append(line)
    root = write_set(tmp_path / "set", lists["manifest.tsv"], lists["words.tsv"])
    (root / "bad.mp3").write_bytes(b"no audio at all")
    soundfile.write(root / "silent", np.zeros(RATE_HZ), RATE_HZ, format="WAV")
    described = make_shards(root, tmp_path / "out")
    (told,) = read_list(tmp_path / "out" / "set_aside.tsv")
    assert (told["path"], told["what"]) == (path, what) and told["reason"].startswith(reason)
    assert described["set_aside"] == {told["reason"]: 1}
    assert str(tmp_path) not in told["detail"]
    for name, lines in whole.items():
        assert (tmp_path / "out" / name).read_text() == "\n".join(lines) + "\n"
    assert len(read_records(tmp_path / "out")) == 1


def test_words_of_any_order_and_ends_behind_the_audio(tmp_path):
    manifest = [MANIFEST, "a.wav\tyes no\tann\t1.0", "b.wav\tno\tbob\t1.0"]
    rows = ["a.wav\tyes\tann\t0.1\t0.4\t0", "b.wav\tno\tbob\t0.1\t1.03\t0"]
    rows += ["", "a.wav\tno\tann\t0.5\t0.9\t1"]
    make_shards(write_set(tmp_path / "set", manifest, [WORDS, *rows]), tmp_path / "out")
    first, second = read_records(tmp_path / "out")
    assert [word for word, *_ in first["words"]] == ["yes", "no"]
    assert second["words"][0][2] == 1.0
    assert read_list(tmp_path / "out" / "words.tsv")[2]["end"] == "1.0"


def test_a_set_without_word_times(tmp_path):
    described = make_shards(
        write_set(tmp_path / "set", [MANIFEST, "a.wav\tyes\tann\t1.0"]), tmp_path / "out"
    )
    assert described["words"] == 0 and not (tmp_path / "out" / "words.tsv").exists()
    assert read_records(tmp_path / "out")[0]["words"] == []


def test_an_interrupted_run_goes_on(corpus, tmp_path, small_shards, made, monkeypatch):
    decode, read = writing.decode_recordings, []

    def interrupted(paths):
        if paths[0].endswith("cora_1.flac"):
            raise KeyboardInterrupt
        return decode(paths)

    monkeypatch.setattr(writing, "decode_recordings", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_shards(corpus, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists() and len(made) == 2
    monkeypatch.setattr(
        writing, "decode_recordings", lambda paths: read.append(paths[0]) or decode(paths)
    )
    (tmp_path / "out.part" / "audio-00007-of-00009.tfrecord").write_bytes(b"of another plan")
    make_shards(corpus, tmp_path / "out", jobs=1)
    assert len(made) == 3
    assert [Path(path).name for path in read] == ["bert_2.flac", "cora_1.flac"]
    make_shards(corpus, tmp_path / "fresh", jobs=1)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")
    assert not (tmp_path / "out.part").exists()


def stop_before_joining(monkeypatch, source, out):
    with monkeypatch.context() as patch:
        patch.setattr(making, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make_shards(source, out, jobs=1)


@pytest.mark.parametrize("change", ["audio", "row", "word", "torn", "notes"])
def test_a_shard_of_changed_inputs_is_made_again(tmp_path, small_shards, made, monkeypatch, change):
    manifest = [MANIFEST, *(f"{name}.wav\tyes\tann\t3.0" for name in "abc")]
    words = [WORDS, *(f"{name}.wav\tyes\tann\t0.1\t0.4\t0" for name in "abc")]
    root, out = write_set(tmp_path / "set", manifest, words, 3.0), tmp_path / "out"
    stop_before_joining(monkeypatch, root, out)
    assert len(made) == 3
    shard = tmp_path / "out.part" / made[1]
    if change == "audio":
        os.utime(root / "b.wav", ns=(1, 1))
    elif change == "torn":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif change == "notes":
        shard.with_name(shard.name + ".json").write_text('{"inputs": "')
    else:
        path = root / ("manifest.tsv" if change == "row" else "words.tsv")
        path.write_text(path.read_text().replace("b.wav\tyes", "b.wav\tno"))
    make_shards(root, out, jobs=1)
    assert made[3:] == [made[1]]
    make_shards(root, tmp_path / "fresh", jobs=1)
    assert files_of(out) == files_of(tmp_path / "fresh")


def is_running(process: str) -> bool:
    """Whether a process is there and not dead and unburied."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


ADML = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from adml.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are seen in /proc")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_workers_end_with_their_process_and_their_shards_stay(tmp_path, sent, code):
    """Killed, it is sent the signal alone; Ctrl-C of a terminal goes to its workers too."""
    names = [f"{number:03d}.flac" for number in range(60)]
    root = write_set(tmp_path / "set", [MANIFEST, *(f"{name}\tyes\tann\t8.0" for name in names)])
    soundfile.write(root / names[0], 0.1 * np.sin(np.arange(8 * RATE_HZ) / 9), RATE_HZ)
    for name in names[1:]:
        (root / name).symlink_to(names[0])
    command = [sys.executable, "-c", ADML, "data", "shard", str(root), "--out"]
    command += [str(tmp_path / "out"), "--shard-mb", "1", "--jobs", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        while not list(tmp_path.glob("out.part/*.json")) and process.poll() is None:
            time.sleep(0.005)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    finally:
        send = os.killpg if sent == signal.SIGINT else os.kill
        send(process.pid, sent)
        _, told = process.communicate()
    assert process.returncode == code and "Traceback" not in told
    assert len(children) >= 2 and not (tmp_path / "out").exists()
    latest = time.monotonic() + 20
    while any(map(is_running, children)) and time.monotonic() < latest:
        time.sleep(0.01)
    assert not any(map(is_running, children))
    make_shards(root, tmp_path / "out", shard_mb=1, jobs=1)
    make_shards(root, tmp_path / "fresh", shard_mb=1, jobs=1)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_folders_that_do_not_fit(corpus, sharded, tmp_path, capsys):
    for source, out, told in (
        (tmp_path / "no", tmp_path / "out", "is not there"),
        (sharded, tmp_path / "out", "is sharded already"),
        (corpus, corpus / "out", "lies in the set"),
        (corpus, sharded, "is there already"),
    ):
        with pytest.raises(UsageError, match=told):
            make_shards(source, out)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        make_shards(corpus, tmp_path / "file" / "out")
    with making.held_part(tmp_path / "out"), pytest.raises(UsageError, match="another process"):
        make_shards(corpus, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert main(["data", "shard", str(tmp_path / "empty"), "--out", str(tmp_path / "new")]) == 3
    assert "manifest.tsv is not there" in capsys.readouterr().err
    assert not (tmp_path / "new.part").exists()


def test_what_is_somebodys_at_the_place_of_the_part_is_left_alone(corpus, tmp_path):
    own = tmp_path / "out.part" / "own.txt"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(UsageError, match="out.part is there already"):
        make_shards(corpus, tmp_path / "out")
    root = write_set(tmp_path / "set.part", [MANIFEST, "one.wav\tyes\tann\t1.0"])
    before = files_of(root)
    with pytest.raises(UsageError, match="set.part is there already"):
        make_shards(root, tmp_path / "set")
    assert own.read_text() == "mine" and files_of(root) == before


def test_nothing_of_use(tmp_path):
    root = write_set(tmp_path / "set", [MANIFEST, "gone.flac\tyes\tann\t1.0"])
    with pytest.raises(DataError, match="Received: 1 audio file is missing"):
        make_shards(root, tmp_path / "out")
    (root / "manifest.tsv").write_text(MANIFEST + "\n")
    with pytest.raises(DataError, match="holds no row"):
        make_shards(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_killed_worker_is_told(corpus, tmp_path, small_shards, monkeypatch):
    monkeypatch.setattr(making, "begin_worker", functools.partial(os._exit, 9))
    with pytest.raises(DataError, match="with fewer --jobs"):
        make_shards(corpus, tmp_path / "out", jobs=2)
    assert (tmp_path / "out.part").is_dir()
