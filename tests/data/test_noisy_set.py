"""A noisy test set: what is in it, that it is the same twice, and that it is whole or not there."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml.data import noisy_set
from adml.data.noisy_set import COLUMNS, write_noisy_set
from adml.data.shards.making import make_shards
from adml.data.simulation import make_simulation
from adml.data.trial_list import Clip, TrialList
from adml.errors import DataError, UsageError

RATE_HZ = 16000


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two recordings, a long and a short noise, two rooms."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    made = {
        "test/a.wav": 0.2 * np.sin(np.arange(2 * RATE_HZ) / 9),
        "test/b.wav": 0.1 * rng.standard_normal(RATE_HZ),
        "test/quiet.wav": np.concatenate([np.zeros(RATE_HZ), 0.5 * np.ones(100)]),
        "noise/long.wav": 0.05 * rng.standard_normal(3 * RATE_HZ),
        "noise/deep/short.wav": 0.02 * rng.standard_normal(RATE_HZ // 4),
        "rooms/one.wav": np.array([0.0, 0.9, 0.0, -0.4, 0.2]),
        "rooms/two.wav": np.concatenate([[0.8], 0.1 * rng.standard_normal(400)]),
    }
    for name, samples in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.clip(samples, -1, 1), RATE_HZ, subtype="PCM_16")
    (folder / "test" / "broken.wav").write_bytes(b"no audio")
    return folder


def trial_list(clips: list[Clip]) -> TrialList:
    """Each clip against its own text and against another."""
    texts = sorted({clip.text for clip in clips} | {"other"})
    own = [texts.index(clip.text) for clip in clips]
    pair_text = np.stack([own, [texts.index("other")] * len(clips)], axis=1)
    pair_clip = np.repeat(np.arange(len(clips)), 2)
    return TrialList("words", "wsj", clips, texts, pair_clip, pair_text, [1, 0] * len(clips))


CLIPS = [
    Clip("test/a.wav", 0.25, 0.75, "alpha", "alpha"),
    Clip("test/b.wav", 0.0, math.inf, "beta", "anna"),
    Clip("test/a.wav", 1.0, 1.9, "gamma", "gamma"),
    Clip("test/a.wav", 0.25, 0.75, "alfa", "alfa"),
]


@pytest.fixture
def make(root, tmp_path):
    """Writes a set; gives its folder."""

    def write(name="here/noisy", clips=CLIPS, seed=3, rooms=True, snr_db=(5.0, 10.0),
              kinds=None, speech=root) -> Path:  # fmt: skip
        given = kinds or [("noise", root / "noise", snr_db)]
        simulation = make_simulation(
            given, root / "rooms" if rooms else None, seed=seed, cache=tmp_path / "cache"
        )
        given = {"speech": speech, "cache": tmp_path / "cache"}
        write_noisy_set(trial_list(clips), tmp_path / name, simulation, **given)
        return tmp_path / name

    return write


def manifest(folder: Path) -> list[dict]:
    with (folder / "manifest.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_list_and_manifest(make):
    folder = make()
    made, rows = TrialList.read(folder / "trials.tsv"), manifest(folder)
    old = trial_list(CLIPS)
    assert (made.name, made.protocol, made.texts) == ("words-noisy", "wsj", old.texts)
    for column in ("pair_clip", "pair_text", "pair_label"):
        np.testing.assert_array_equal(getattr(made, column), getattr(old, column))
    assert [(clip.text, clip.group) for clip in made.clips] == [(c.text, c.group) for c in CLIPS]
    assert {(clip.start_s, clip.end_s) for clip in made.clips} == {(0.0, math.inf)}
    assert [clip.path for clip in made.clips[:3]] == [f"noisy/{row['path']}" for row in rows]
    assert made.clips[3].path == made.clips[0].path, "the same stretch is one file"
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        path = folder / row["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_16", RATE_HZ)
        assert info.frames / RATE_HZ == pytest.approx(float(row["duration"]), abs=1e-4)
        assert 5 <= float(row["snr_db"]) <= 10 and row["impulse_response"] in ("one.wav", "two.wav")
    told = json.loads((folder / "settings.json").read_text())
    assert told["of"] == old.sha256 and told["trials.tsv"] == made.sha256
    of_manifest = hashlib.sha256((folder / "manifest.tsv").read_bytes()).hexdigest()
    assert told["manifest.tsv"] == of_manifest and told["files"] == 3 and told["seed"] == 3
    assert {path.split("/")[0] for path in contents(folder)} == {
        "audio", "trials.tsv", "manifest.tsv", "settings.json",
    }  # fmt: skip


def test_files_are_what_the_manifest_says(make, root):
    """Convolution and mixing written out, of what the manifest tells; nothing is clipped."""
    folder = make()
    for row in manifest(folder):
        clean, _ = soundfile.read(root / row["source"])
        last = len(clean) if row["end"] == "inf" else round(float(row["end"]) * RATE_HZ)
        clean = clean[round(float(row["start"]) * RATE_HZ) : last]
        room, _ = soundfile.read(root / "rooms" / row["impulse_response"])
        direct = np.argmax(np.abs(room))
        wet = np.convolve(clean, room)[direct : direct + len(clean)]
        wet *= np.sqrt(np.mean(clean**2) / np.mean(wet**2))
        noise, _ = soundfile.read(root / "noise" / row["recordings"])
        noise = noise[round(float(row["recording_starts"]) * RATE_HZ) :]
        noise = np.tile(noise, 1 + len(wet) // len(noise))[: len(wet)]
        ratio = 10 ** (-float(row["snr_db"]) / 20)
        expected = wet + noise * ratio * np.sqrt(np.mean(wet**2) / np.mean(noise**2))
        expected /= max(1.0, np.abs(expected).max())
        made, _ = soundfile.read(folder / row["path"])
        np.testing.assert_allclose(made, expected, atol=3 / 32768)


def test_the_same_bytes_twice_whatever_the_order(make):
    first = contents(make("one/noisy"))
    assert contents(make("two/noisy")) == first
    turned = contents(make("three/noisy", clips=CLIPS[:3][::-1]))
    audio = {name: data for name, data in first.items() if name.startswith("audio/")}
    assert audio == {name: data for name, data in turned.items() if name.startswith("audio/")}
    assert audio == {
        name: data for name, data in contents(make("four/noisy")).items() if name in audio
    }
    other = contents(make("five/noisy", seed=4))
    assert all(other[name] != data for name, data in audio.items())


def test_other_rooms_or_speech_are_another_list(root, make, tmp_path):
    """What was heard in other rooms, or of other recordings of the same names, is another list."""
    first, wider = make("one/noisy"), root / "rooms" / "two.wav"
    for changed in (wider, root / "test" / "a.wav"):
        kept = changed.read_bytes()
        samples, _ = soundfile.read(changed)
        try:
            soundfile.write(changed, samples[::-1], RATE_HZ, subtype="PCM_16")
            other = make(f"{changed.stem}/noisy")
        finally:
            changed.write_bytes(kept)
        lists = [TrialList.read(folder / "trials.tsv") for folder in (first, other)]
        assert lists[0].clips == lists[1].clips and lists[0].sha256 != lists[1].sha256


def test_sharded_speech_gives_the_same_set_and_sharded_noise_is_refused(root, make, tmp_path):
    """The three clips that can be read, of shards in the place of the recordings."""
    rows = [f"{name}.wav\t{name}\tann" for name in "ab"]
    (root / "test" / "manifest.tsv").write_text("path\ttext\tspeaker\n" + "\n".join(rows) + "\n")
    make_shards(root / "test", tmp_path / "speech" / "test")
    assert contents(make("one/noisy")) == contents(make("two/noisy", speech=tmp_path / "speech"))
    with pytest.raises(DataError, match="is sharded.*Give the plain set"):
        make("no/noisy", kinds=[("noise", tmp_path / "speech" / "test", (0.0, 1.0))])


def test_without_rooms(make):
    rows = manifest(make(rooms=False))
    assert {row["impulse_response"] for row in rows} == {""}


def test_odd_clips_are_set_aside_with_their_trials(make, caplog):
    odd = [
        Clip("test/broken.wav", 0.0, 1.0, "delta", "delta"),
        Clip("test/none.wav", 0.0, 1.0, "delta", "delta"),
        Clip("test/quiet.wav", 0.1, 0.9, "delta", "delta"),
        Clip("test/b.wav", 7.0, 8.0, "delta", "delta"),
    ]
    folder = make(clips=[odd[0], CLIPS[0], *odd[1:], CLIPS[1]])
    made = TrialList.read(folder / "trials.tsv")
    assert [clip.text for clip in made.clips] == ["alpha", "beta"]
    assert made.pair_clip.tolist() == [0, 0, 1, 1] and made.num_positives == 2
    assert "words: 4 of 6 clips set aside with their trials" in caplog.text
    assert "2 recording cannot be decoded, 2 nothing is heard" in caplog.text
    assert json.loads((folder / "settings.json").read_text())["clips_set_aside"] == 4
    with pytest.raises(DataError, match="None of the 2 clips"):
        make("else", clips=odd[2:])


def test_whole_or_not_there(make, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(noisy_set, "_write_flac", fail)
        with pytest.raises(UsageError, match="No space left"):
            make()
    assert not any((tmp_path / "here").iterdir())
    before = contents(make())
    with pytest.raises(UsageError, match="is there already"):
        make(seed=9)
    assert contents(tmp_path / "here" / "noisy") == before


def test_names_that_cannot_stand_in_a_list_are_set_aside(root, make, tmp_path, caplog):
    odd = [root / "noise" / name for name in ("a\tb.wav", "a\nb.wav", os.fsdecode(b"\xff.wav"))]
    for path in odd:
        shutil.copy(root / "noise" / "long.wav", path)
    (root / "noise" / "folder.wav").mkdir()
    (root / "noise" / "gone.wav").symlink_to("nowhere")
    try:
        made = contents(make("odd/noisy"))
    finally:
        for path in odd:
            path.unlink()
        (root / "noise" / "folder.wav").rmdir()
        (root / "noise" / "gone.wav").unlink()
    assert "3 recordings set aside, whose names cannot be printed" in caplog.text
    assert "First: 'a\\tb.wav'" in caplog.text
    assert made == contents(make("plain/noisy"))
    with pytest.raises(UsageError, match="cannot stand in a list"):
        make("here/no\tisy")


def test_what_a_killed_call_left_is_replaced_and_nothing_else(make, tmp_path):
    left = tmp_path / "noisy.part"
    (left / "audio" / "00").mkdir(parents=True)
    with pytest.raises(UsageError, match="noisy.part is there already"):
        make("noisy")
    assert (left / "audio" / "00").is_dir()
    (left / ".unfinished").touch()
    assert not [name for name in contents(make("noisy")) if "00/" in name]
    assert not left.exists()


def test_kinds_of_background_have_their_own_ranges_and_voices(make, root):
    """Babble written out: 3 to 7 recordings of one loudness, at the ratio that was drawn."""
    clips = [Clip("test/a.wav", n / 50, n / 50 + 0.5, "alpha", "alpha") for n in range(40)]
    kinds = [("music", root / "noise", (1.0, 2.0)), ("babble", root / "noise", (30.0, 31.0))]
    folder = make(clips=clips, kinds=kinds, rooms=False)
    rows = manifest(folder)
    babble = [row for row in rows if row["background"] == "babble"]
    assert 10 < len(babble) < 30
    for row in rows:
        low = 30 if row in babble else 1
        assert low <= float(row["snr_db"]) <= low + 1
    assert {row["recordings"].count("|") + 1 for row in babble} == {3, 4, 5, 6, 7}
    assert {row["recordings"].count("|") for row in rows if row not in babble} == {0}
    row = babble[0]
    clean, _ = soundfile.read(root / row["source"])
    clean = clean[round(float(row["start"]) * RATE_HZ) : round(float(row["end"]) * RATE_HZ)]
    mixed = np.zeros(len(clean))
    for path, start_s in zip(
        row["recordings"].split("|"), row["recording_starts"].split("|"), strict=True
    ):
        voice, _ = soundfile.read(root / "noise" / path)
        voice = voice[round(float(start_s) * RATE_HZ) :][: len(clean)]
        mixed += np.resize(voice / np.sqrt(np.mean(voice**2)), len(clean))
    ratio = 10 ** (-float(row["snr_db"]) / 20)
    expected = clean + mixed * ratio * np.sqrt(np.mean(clean**2) / np.mean(mixed**2))
    made, _ = soundfile.read(folder / row["path"])
    np.testing.assert_allclose(made, expected, atol=3 / 32768)
    told = json.loads((folder / "settings.json").read_text())
    assert told["babble"]["voices"] == [3, 7] and told["music"]["snr_db"] == [1.0, 2.0]


def test_noise_that_is_none(root, tmp_path):
    given, snr_db = {"seed": 0, "cache": tmp_path / "cache"}, (0.0, 5.0)
    for wrong in ((9.0, 3.0), (0.0, math.nan)):
        with pytest.raises(UsageError, match=f"of noise.*LOW <= HIGH.*Received: {wrong[0]:g}"):
            make_simulation([("noise", root / "noise", wrong)], None, **given)
    with pytest.raises(UsageError, match="No background is named"):
        make_simulation([], None, **given)
    with pytest.raises(DataError, match="No audio in"):
        make_simulation([("noise", tmp_path / "none", snr_db)], None, **given)
    samples = np.full(100, 0.1, np.float32)
    soundfile.write(tmp_path / "click.wav", np.r_[np.zeros(10**6), np.ones(2)], RATE_HZ)
    with pytest.raises(DataError, match="is silent in 20 places"):
        clicks = make_simulation([("noise", tmp_path, snr_db)], None, **given)
        clicks.disturb(samples, CLIPS[0])
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "odd.wav").write_bytes(b"no audio")
    simulation = make_simulation([("noise", root / "noise", snr_db)], tmp_path / "rooms", **given)
    with pytest.raises(DataError, match="20 that were drawn cannot be read"):
        simulation.disturb(samples, CLIPS[0])


def test_rooms_that_cannot_be_read_are_drawn_again(root, make, tmp_path, caplog):
    odd = [root / "rooms" / f"odd{number}.wav" for number in range(4)]
    for path in odd:
        path.write_bytes(b"no audio")
    try:
        first, second = (make(f"{name}/noisy", seed=4) for name in ("first", "second"))
    finally:
        for path in odd:
            path.unlink()
    assert "An impulse response is left out" in caplog.text and "rooms/odd" in caplog.text
    assert contents(first) == contents(second)
    assert {row["impulse_response"] for row in manifest(first)} <= {"one.wav", "two.wav"}
