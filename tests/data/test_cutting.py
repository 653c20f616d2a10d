"""Where a segment is cut and what is done to it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from adml.data.cutting import Cutter
from adml.data.disturbance import Background, Disturber
from adml.data.store import PcmStore
from adml.errors import UsageError

RATE = 16000
PLAIN = {"jitter_ms": 0.0, "disturber": Disturber(gain_db=(0.0, 0.0))}
START_S, END_S = 1.0, 1.5


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two seconds: 0.9 s of quiet (amplitude 0.001), then a slow ramp as a clock for the cuts."""
    folder = tmp_path_factory.mktemp("cutting")
    samples = np.arange(2 * RATE) / (4 * RATE)
    samples[: int(0.9 * RATE)] = 0.001
    soundfile.write(folder / "a.wav", samples, RATE, subtype="PCM_16")
    return PcmStore.build([str(folder / "a.wav")], folder / "cache")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(3)
    soundfile.write(folder / "long.wav", 0.1 * rng.standard_normal(3 * RATE), RATE)
    soundfile.write(folder / "short.wav", 0.1 * rng.standard_normal(RATE // 10), RATE)
    paths = [str(folder / "long.wav"), str(folder / "short.wav")]
    return PcmStore.build(paths, folder / "cache")


def cuts(cutter, store, count=40, start_s=START_S, end_s=END_S, **more):
    return [
        cutter.waveform(np.random.default_rng(seed), store, 0, start_s, end_s, **more)
        for seed in range(count)
    ]


def times(cut):
    """First and last time of a cut, read off the ramp."""
    return cut[0] * 4, cut[-1] * 4 + 1 / RATE


def test_without_chance_the_cut_is_the_segment(store):
    for cut in cuts(Cutter(**PLAIN), store, 3):
        assert cut.dtype == np.float32
        np.testing.assert_array_equal(cut, store.read(store.paths[0], START_S, END_S))


def test_jitter_moves_both_edges_within_its_limit(store):
    found = np.array([times(cut) for cut in cuts(Cutter(**PLAIN | {"jitter_ms": 50}), store)])
    moved = found - [START_S, END_S]
    assert (np.abs(moved) < 0.0505).all()
    assert (np.ptp(moved, axis=0) > 0.06).all()


def test_a_cut_stays_within_its_recording_and_has_a_window(store):
    wide = Cutter(**PLAIN, context_probability=1.0, context_seconds=1.0)
    for cut in cuts(wide, store, 10, start_s=1.8, end_s=2.0):
        assert times(cut)[1] == pytest.approx(2.0, abs=1e-3)
    for cut in cuts(Cutter(**PLAIN | {"jitter_ms": 50}), store, 10, start_s=1.995, end_s=2.0):
        assert len(cut) >= 400


def test_context_is_neighbouring_speech(store):
    wide = Cutter(**PLAIN, context_probability=1.0, context_seconds=0.1)
    found = np.array([times(cut) for cut in cuts(wide, store)])
    before, after = START_S - found[:, 0], found[:, 1] - END_S
    for side in (before, after):
        assert (side > -1e-3).all() and (side < 0.101).all() and np.ptp(side) > 0.06


@pytest.mark.parametrize("with_noise", [False, True])
def test_padding_is_quiet_and_keeps_the_speech(store, noise, with_noise):
    cutter = Cutter(
        **PLAIN, padding_probability=1.0, padding_seconds=0.3, padding_level_db=(-60, -50),
        quiet_noise=Background(noise, (0.0, 0.0)) if with_noise else None,
    )  # fmt: skip
    speech = store.read(store.paths[0], START_S, END_S)
    for cut in cuts(cutter, store):
        loud = np.flatnonzero(np.abs(cut) > 0.1)
        first, last = loud[0], loud[-1] + 1
        assert first <= 0.3 * RATE + 80 and len(cut) - last <= 0.3 * RATE + 80
        middle = slice((first + last) // 2 - 2000, (first + last) // 2 + 2000)
        assert np.abs(np.diff(cut[middle])).max() < 0.03  # still the ramp
        around = np.concatenate([cut[: max(0, first - 80)], cut[last + 80 :], np.zeros(1)])
        assert np.sqrt(np.mean(around**2)) < 10 ** (-45 / 20)
        assert len(cut) >= len(speech)
    lengths = [len(cut) for cut in cuts(cutter, store)]
    assert len(set(lengths)) > 30


def test_probabilities_share_out_the_kinds_of_cut(store):
    cutter = Cutter(
        **PLAIN, context_probability=0.3, context_seconds=0.2, padding_probability=0.3,
        padding_seconds=0.2,
    )  # fmt: skip
    lengths = np.array([len(cut) for cut in cuts(cutter, store, 300)])
    assert 0.3 < np.mean(lengths == 8000) < 0.5


def test_a_limit_leaves_out_the_surroundings(store):
    for kind in ("context", "padding"):
        options = {f"{kind}_probability": 1.0, f"{kind}_seconds": 0.5}
        lengths = [len(cut) for cut in cuts(Cutter(**PLAIN, **options), store, limit_s=0.6)]
        assert max(lengths) <= 0.6 * RATE + 1
        assert max(lengths) > 0.55 * RATE


def test_the_cut_is_what_is_disturbed(store):
    """The disturber gets the cut and the same generator; what it returns is the waveform."""
    seen = []

    class Halved(Disturber):
        def disturb(self, rng, speech):
            seen.append(rng.random())
            return speech / 2

    (cut,) = cuts(Cutter(jitter_ms=0.0, disturber=Halved()), store, 1)
    np.testing.assert_array_equal(cut, store.read(store.paths[0], START_S, END_S) / 2)
    assert seen == [np.random.default_rng(0).random(4)[3]]  # two edges and the kind before it


def test_masks_lie_within_their_utterances():
    cutter = Cutter(time_masks=3, time_mask_frames=20, frequency_masks=2, frequency_mask_bins=8)
    samples = np.array([400, 8000, 1600, 40000], np.int32)
    frames = np.array([1, 48, 8, 248])
    for seed in range(20):
        over_time, over_bins = cutter.masks(np.random.default_rng(seed), samples)
        assert over_time.dtype == over_bins.dtype == np.int32
        assert over_time.shape == (4, 3, 2) and over_bins.shape == (4, 2, 2)
        assert (over_time.sum(2) <= frames[:, None]).all()
        assert (over_time[..., 1] <= np.minimum(20, frames // 5)[:, None]).all()
        assert (over_bins.sum(2) <= 40).all() and (over_bins[..., 1] <= 8).all()
        assert over_time.min() >= 0 and over_bins.min() >= 0


def test_no_masks_are_no_masks():
    over_time, over_bins = Cutter(time_masks=0, frequency_masks=0).masks(
        np.random.default_rng(0), np.array([8000, 16000])
    )
    assert over_time.shape == over_bins.shape == (2, 0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context_probability": 1.5}, "context_probability is no probability"),
        ({"context_probability": 0.6, "padding_probability": 0.6}, "context . padding_prob"),
        ({"jitter_ms": -1.0}, "jitter_ms is no range"),
        ({"padding_level_db": (float("nan"), 0.0)}, "padding_level_db is no range"),
        ({"time_masks": -1}, "time_masks is no range"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        Cutter(**options)
