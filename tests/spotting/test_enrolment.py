"""Enrolment by text, by recordings and by both, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import AudioError, TextError, UsageError
from adml.spotting.enrolment import enrol, speech_bounds

RATE_HZ = 16000


def clip(seconds=0.5, quiet_s=0.5, seed=0):
    """A tone between two stretches of near silence."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * seed) * time * (1 + time))
    quiet = 1e-4 * rng.normal(size=int(quiet_s * RATE_HZ))
    return np.concatenate([quiet, tone, quiet]).astype(np.float32)


@pytest.fixture
def agreeing(monkeypatch):
    """An untrained model agrees about nothing."""
    monkeypatch.setattr("adml.spotting.enrolment.LEAST_AGREEMENT", -1.0)


def test_by_text(spotter):
    keyword = enrol(spotter, "go on")
    assert keyword.name == "go on" and keyword.pronunciations == (("G", "OW1", "AA1", "N"),)
    np.testing.assert_array_equal(keyword.vectors, [spotter.embed_text("go on")])
    assert keyword.recordings == 0 and keyword.threshold is None


def test_by_several_pronunciations(spotter):
    spoken = [["Y", "EH1", "S"], ["Y", "AE1", "S"]]
    keyword = enrol(spotter, "yes", pronunciations=spoken)
    assert keyword.vectors.shape == (2, 12) and keyword.pronunciations[1] == ("Y", "AE1", "S")
    np.testing.assert_allclose(keyword.vectors[0], spotter.embed_text("yes"), atol=1e-6)


def test_by_recordings_and_by_both(spotter, agreeing):
    recordings = [("one.wav", clip()), ("two.wav", clip(seed=1))]
    alone = enrol(spotter, None, recordings=recordings, name="yes")
    heard = []
    for _, samples in recordings:
        first, last = speech_bounds(samples)
        heard.append(spotter.embed_audio(samples[first:last], RATE_HZ))
    average = np.mean(heard, axis=0) / np.linalg.norm(np.mean(heard, axis=0))
    np.testing.assert_allclose(alone.vectors, [average], atol=1e-6)
    assert alone.recordings == 2 and alone.pronunciations == ()
    both = enrol(spotter, "yes", recordings=recordings)
    summed = spotter.embed_text("yes") + average
    np.testing.assert_allclose(both.vectors, [summed / np.linalg.norm(summed)], atol=1e-6)
    assert both.pronunciations == (("Y", "EH1", "S"),)


def test_the_speech_of_a_recording_is_found():
    first, last = speech_bounds(clip(0.5, 0.5))
    assert first == pytest.approx(0.45 * RATE_HZ, abs=160)
    assert last == pytest.approx(1.05 * RATE_HZ, abs=160)
    assert speech_bounds(np.ones(50)) == (0, 50)


def test_what_cannot_work_is_refused_with_the_reason(spotter):
    with pytest.raises(TextError, match="'ah' is too short.*at least 3.*Received: AA1"):
        enrol(spotter, "ah", pronunciations=[["AA1"]])
    assert enrol(spotter, "ah", pronunciations=[["AA1"]], fewest_phones=1).name == "ah"
    with pytest.raises(TextError, match="too long.*at most 19.*Received: 20"):
        enrol(spotter, "long", pronunciations=[["AA1", "N"] * 10])
    with pytest.raises(UsageError, match="Received: recordings without a name"):
        enrol(spotter, None, recordings=[("one.wav", clip())])
    with pytest.raises(TextError, match=r"'QQ', 'AA1', 'N'\], of which QQ cannot be used"):
        enrol(spotter, "odd", pronunciations=[["QQ", "AA1", "N"]])
    for seconds in (0.05, 3.0):
        with pytest.raises(AudioError, match="one.wav does not hold one keyword.*0.2 to 1.6 s"):
            enrol(spotter, None, recordings=[("one.wav", clip(seconds))], name="x")
    for text, name in ((None, None), (None, "x"), ("", None), ("  ", "  ")):
        with pytest.raises(UsageError, match="nothing to enrol"):
            enrol(spotter, text, name=name)


def test_a_recording_of_something_else_is_refused(spotter, monkeypatch):
    vectors = iter(np.eye(12, dtype=np.float32)[[0, 0, 1]] * [[1], [1], [-1]])
    monkeypatch.setattr(spotter, "embed_audio", lambda samples, rate_hz: next(vectors))
    monkeypatch.setattr("adml.spotting.enrolment.LEAST_AGREEMENT", 0.5)
    recordings = [(f"{number}.wav", clip()) for number in range(3)]
    with pytest.raises(AudioError, match="2.wav is unlike the other recordings.*Received: 0.00"):
        enrol(spotter, None, recordings=recordings, name="x")
    opposite = -spotter.embed_text("yes")
    monkeypatch.setattr(spotter, "embed_audio", lambda samples, rate_hz: opposite)
    with pytest.raises(AudioError, match="0.wav is unlike the text 'yes'.*Received: -1.00"):
        enrol(spotter, "yes", recordings=recordings)
