"""What is done to a cut: how often, how strongly, in which order."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from adml.data.disturbance import BABBLE_VOICES, Background, Disturber, StoredResponses
from adml.data.store import PcmStore
from adml.errors import DataError, UsageError

RATE = 16000
PLAIN = {
    "gain_db": (0.0, 0.0), "background_probability": 0.0, "reverberation_probability": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four recordings of noise, of 3, 1, 1 and 0.1 s, each of a loudness of its own."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(3)
    for number, (seconds, level) in enumerate([(3, 0.1), (1, 0.02), (1, 0.2), (0.1, 0.05)]):
        samples = level * rng.standard_normal(int(seconds * RATE))
        soundfile.write(folder / f"{number}.wav", samples.clip(-1, 1), RATE)
    return PcmStore.build([str(folder / f"{number}.wav") for number in range(4)], folder / "cache")


@pytest.fixture(scope="module")
def speech():
    """Half a second of a tone whose level rises, as speech rises from quiet."""
    time_s = np.arange(RATE // 2) / RATE
    return (0.3 * time_s * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def disturbed(disturber, speech, count=100):
    return [disturber.disturb(np.random.default_rng(seed), speech) for seed in range(count)]


def snr_db(speech, noisy):
    return 10 * np.log10(np.mean(speech**2) / np.mean((noisy - speech) ** 2))


def test_without_chance_speech_stays_what_it_is(speech):
    (same,) = disturbed(Disturber(**PLAIN), speech, 1)
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, speech)


def test_noise_has_the_snr_that_was_drawn(store, speech):
    certain = PLAIN | {"background_probability": 1.0}
    disturber = Disturber(**certain, backgrounds=[Background(store, (10.0, 10.0))])
    for noisy in disturbed(disturber, speech, 10):
        assert snr_db(speech, noisy) == pytest.approx(10.0, abs=0.05)


def test_noise_music_and_babble_have_their_own_ranges_in_equal_parts(store, speech):
    ranges = [(0.0, 4.0), (5.0, 9.0), (13.0, 20.0)]
    backgrounds = [Background(store, snr) for snr in ranges[:2]]
    backgrounds.append(Background(store, ranges[2], BABBLE_VOICES))
    certain = PLAIN | {"background_probability": 1.0}
    found = np.array(
        [
            snr_db(speech, noisy)
            for noisy in disturbed(Disturber(**certain, backgrounds=backgrounds), speech, 300)
        ]
    )
    shares = [np.mean((found > low - 0.05) & (found < high + 0.05)) for low, high in ranges]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0.25


class Talkers:
    """A store in which every stretch is fresh noise of any loudness."""

    lengths = np.array([RATE] * 5)

    def __init__(self):
        self._rng = np.random.default_rng(0)

    def __len__(self):
        return 5

    def read_samples(self, code, start, end):
        level = self._rng.uniform(0.01, 1)
        return (level * self._rng.standard_normal(end - start)).astype(np.float32)


def test_babble_is_several_recordings_of_equal_loudness():
    """n voices of mean square 1 that know nothing of each other have mean square n."""
    babble = Background(Talkers(), (13.0, 20.0), (3, 7))
    powers = [
        np.mean(babble.piece(np.random.default_rng(seed), 8000) ** 2) for seed in range(200)
    ]
    voices, counts = np.unique(np.rint(powers), return_counts=True)
    assert voices.tolist() == [3, 4, 5, 6, 7]
    assert counts.min() > 20
    assert np.abs(powers - np.rint(powers)).max() < 0.45


def test_silent_stretches_are_drawn_again(tmp_path):
    """Nine tenths of the recording are silence, in which a quarter of a second seldom ends."""
    samples = np.zeros(10 * RATE)
    samples[: RATE] = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    background = Background(PcmStore.build([str(tmp_path / "a.wav")], tmp_path), (0.0, 5.0))
    generators = [np.random.default_rng(seed) for seed in range(40)]
    heard = [background.piece(rng, RATE // 4).any() for rng in generators]
    once = [background.sound(background._draw_once(np.random.default_rng(seed), 4000), 4000).any()
            for seed in range(40)]  # fmt: skip
    assert sum(once) < 12 and sum(heard) > 28


def test_a_short_recording_is_repeated(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 100), RATE, subtype="PCM_16")
    store = PcmStore.build([str(tmp_path / "a.wav")], tmp_path / "cache")
    piece = Background(store, (0.0, 0.0)).piece(np.random.default_rng(0), 250)
    np.testing.assert_array_equal(piece[:100], piece[100:200])
    assert len(piece) == 250


def test_chances_of_background_reverberation_and_codec(store, speech):
    response = np.zeros(2000, np.float32)
    response[[100, 700, 1500]] = [1.0, 0.5, 0.25]
    for chance in (
        {"reverberation_probability": 0.5, "impulse_responses": [response]},
        {"background_probability": 0.5, "backgrounds": [Background(store, (0.0, 15.0))]},
        {"codec_probability": 0.5},
        {"speed_probability": 0.5},
    ):
        found = disturbed(Disturber(**PLAIN | chance), speech, 200)
        changed = [
            len(item) != len(speech) or not np.allclose(item, speech, atol=1e-5) for item in found
        ]
        assert 0.4 < np.mean(changed) < 0.6, chance


def test_a_faster_tone_is_shorter_and_higher(speech):
    for factor in (0.9, 1.1):
        disturber = Disturber(**PLAIN, speed_probability=1.0, speed_range=(factor, factor))
        (changed,) = disturbed(disturber, speech, 1)
        assert len(changed) == pytest.approx(len(speech) / factor, abs=1)
        peak_hz = np.argmax(np.abs(np.fft.rfft(changed))) * RATE / len(changed)
        assert peak_hz == pytest.approx(440 * factor, rel=0.01)


def test_speed_is_drawn_from_its_range(speech):
    disturber = Disturber(**PLAIN, speed_probability=1.0, speed_range=(0.8, 1.25))
    lengths = np.array([len(item) for item in disturbed(disturber, speech)])
    assert lengths.min() >= len(speech) / 1.25 - 1 and lengths.max() <= len(speech) / 0.8 + 1
    assert np.ptp(lengths) > 0.3 * len(speech)


def test_gain_stays_in_its_range(speech):
    found = disturbed(Disturber(**PLAIN | {"gain_db": (-12.0, -6.0)}), speech)
    gains = np.array([20 * np.log10(item[-20] / speech[-20]) for item in found])
    assert gains.min() >= -12.001 and gains.max() <= -5.999 and np.ptp(gains) > 3


def test_what_cannot_happen_draws_nothing(store, speech):
    """So that switching an option on leaves the draws before it as they were."""
    more = PLAIN | {"background_probability": 1.0, "gain_db": (-10.0, 5.0)}
    backgrounds = [Background(store, (0.0, 15.0))]
    plain = disturbed(Disturber(**more, backgrounds=backgrounds), speech, 5)
    off = Disturber(
        **more, backgrounds=backgrounds, codecs=("gsm",), speed_range=(0.5, 2.0),
        impulse_responses=[],
    )  # fmt: skip
    for one, other in zip(plain, disturbed(off, speech, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_impulse_responses_are_used_from_their_direct_path_and_cut(speech):
    """A tap after the end of the response is not heard; the direct path moves nothing."""
    response = np.zeros(RATE, np.float32)
    response[500], response[500 + 3000] = 2.0, 1.0
    short = PLAIN | {"reverberation_probability": 1.0, "impulse_responses": [response]}
    (dry,) = disturbed(Disturber(**short, impulse_response_seconds=0.1), speech, 1)
    np.testing.assert_allclose(dry, speech, atol=1e-6)
    (wet,) = disturbed(Disturber(**short, impulse_response_seconds=0.5), speech, 1)
    echo = speech + 0.5 * np.concatenate([np.zeros(3000, np.float32), speech[:-3000]])
    np.testing.assert_allclose(wet / wet[:3000].max(), echo / echo[:3000].max(), atol=1e-4)


@pytest.mark.parametrize("bad", [[], np.zeros(5), np.array([1.0, np.nan])])
def test_a_bad_impulse_response_is_told(speech, bad):
    disturber = Disturber(
        **PLAIN | {"reverberation_probability": 1.0}, impulse_responses=[np.array(bad)]
    )
    with pytest.raises(DataError, match="impulse response"):
        disturbed(disturber, speech, 1)


def test_stored_responses_are_the_recordings(store):
    responses = StoredResponses(store)
    assert len(responses) == 4
    for code, path in enumerate(store.paths):
        np.testing.assert_array_equal(responses[code], store.read(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background_probability": 1.5}, "background_probability is no probability"),
        ({"speed_probability": -0.1}, "speed_probability is no probability"),
        ({"speed_range": (1.1, 0.9)}, "speed_range is no range"),
        ({"speed_range": (0.1, 1.0)}, "lowest_speed is no range"),
        ({"speed_range": (1.0, 4.0)}, "highest_speed is no range"),
        ({"gain_db": (float("nan"), 0.0)}, "gain_db is no range"),
        ({"codecs": ("mp4",)}, "mu_law.*Received: mp4"),
        ({"codecs": (), "codec_probability": 0.1}, "Received: none"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        Disturber(**options)


def test_wrong_backgrounds_are_named(store):
    with pytest.raises(UsageError, match="snr_db is no range"):
        Background(store, (15.0, 0.0))
    with pytest.raises(UsageError, match="fewest_voices is no range"):
        Background(store, (0.0, 15.0), (0, 3))
