"""Simulated rooms: what the files are, and that sound dies away in the time that was asked for."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.data import rooms
from adml.data.rooms import LARGEST_M, SMALLEST_M, make_room, make_rooms
from adml.errors import UsageError

RATE = 16000


def decay_s(response):
    """Time to fall by 60 dB: Schroeder's backward integral between -5 and -25 dB, times three."""
    left = np.cumsum(np.square(response[-2::-1], dtype=np.float64))[::-1]
    level_db = 10 * np.log10(left / left[0])
    start, end = np.argmax(level_db < -5), np.argmax(level_db < -25)
    return 3 * (end - start) / RATE


@pytest.mark.parametrize("asked_s", [0.2, 0.5])
def test_sound_dies_away_in_the_time_asked_for(asked_s):
    """Sabine's formula is an approximation; the mean over rooms is what it promises."""
    found = []
    for number in range(6):
        room, response = make_room(number, seed=1, reverberation_s=(asked_s, asked_s))
        assert room.reverberation_s == asked_s
        found.append(decay_s(response))
    assert np.mean(found) == pytest.approx(asked_s, rel=0.35)


def test_the_direct_sound_comes_first_and_nothing_before_it():
    for number in range(4):
        room, response = make_room(number, seed=0, reverberation_s=(0.15, 0.4))
        assert response.dtype == np.float32 and np.abs(response).max() == pytest.approx(0.9)
        assert np.argmax(np.abs(response)) < 0.05 * RATE
        first = np.argmax(np.abs(response) > 0.1)
        assert first <= 17
        assert len(response) == pytest.approx(room.reverberation_s * RATE, abs=20)
        for size, low, high in zip(
            (room.length_m, room.width_m, room.height_m), SMALLEST_M, LARGEST_M, strict=True
        ):
            assert low <= size <= high


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "rooms"
    return folder, make_rooms(folder, 3, seed=7, reverberation_s=(0.15, 0.25), workers=2)


def test_the_folder_tells_what_it_holds(made):
    folder, listed = made
    with (folder / "rooms.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["path"] for row in rows] == [room.path for room in listed]
    assert [float(row["distance_m"]) for row in rows] == [room.distance_m for room in listed]
    assert json.loads((folder / "settings.json").read_text())["seed"] == 7
    for number, room in enumerate(listed):
        samples, rate = soundfile.read(folder / room.path, dtype="float32")
        _, response = make_room(number, seed=7, reverberation_s=(0.15, 0.25))
        assert rate == RATE
        np.testing.assert_allclose(samples, response, atol=1e-4)


def test_the_same_call_writes_the_same_bytes_and_more_rooms_are_more_of_them(made, tmp_path):
    folder, listed = made
    again = make_rooms(tmp_path / "more", 4, seed=7, reverberation_s=(0.15, 0.25), workers=1)
    assert again[:3] == listed and len(again) == 4
    for room in listed:
        assert (tmp_path / "more" / room.path).read_bytes() == (folder / room.path).read_bytes()


def test_a_folder_is_never_overwritten_and_never_half_made(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        make_rooms(tmp_path / "there", 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rooms, "_describe", full)
    with pytest.raises(UsageError, match="No space left"):
        make_rooms(tmp_path / "new", 1, reverberation_s=(0.15, 0.2), workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("count", "reverberation_s"), [(0, (0.2, 0.3)), (1, (0.3, 0.2)), (1, (0.0, 0.3)), (1, (1, 9))]
)
def test_rooms_that_cannot_be_are_refused(tmp_path, count, reverberation_s):
    with pytest.raises(UsageError, match="cannot be made"):
        make_rooms(tmp_path / "new", count, reverberation_s=reverberation_s)


def test_times_that_no_room_has_are_told():
    with pytest.raises(UsageError, match="No room"):
        make_room(0, seed=0, reverberation_s=(0.05, 0.05))


def test_the_command_says_what_it_made(tmp_path, capsys):
    out = str(tmp_path / "rooms")
    options = ["--count", "1", "--reverberation", "0.15", "0.2", "--workers", "1"]
    assert main(["data", "rooms", "--out", out, *options]) == 0
    assert f"1 rooms in {out}; reverberation times 0." in capsys.readouterr().out
    assert main(["data", "rooms", "--out", out, *options]) == 2
    assert "is there already" in capsys.readouterr().err
