"""Detection by a real, if untrained, model: the chunks of a stream make no difference."""

from __future__ import annotations

import numpy as np
import pytest

from adml.errors import AudioError, UsageError
from adml.spotting.detecting import Detector, Resampler, detect_stream, stream_scores
from adml.spotting.keyword_file import Keyword, KeywordFile
from adml.spotting.scoring import Scorer

RATE_HZ = 16000


def sound(seconds, rate_hz=RATE_HZ, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    pitch_hz = 200 + 150 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time)
    tone = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz)
    return (tone * (np.sin(5 * time) > 0) + 0.01 * rng.normal(size=len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def keywords(spotter):
    """Two texts, and what is heard at one place of the stream, which is detected there."""
    scores = list(spotter.hearing().push(sound(6.3)))
    heard = scores[5]
    spoken = Keyword("spoken", heard.embeddings[3:4])
    texts = [Keyword(text, spotter.embed_text(text)[np.newaxis]) for text in ("yes", "go on")]
    return KeywordFile(spotter.model, (*texts, spoken)), heard.starts[3], heard.ends[3]


def detections(spotter, keywords, samples, cuts=(), rate_hz=RATE_HZ, threshold=0.5):
    detector = Detector(spotter, keywords, sample_rate_hz=rate_hz, threshold=threshold)
    return list(detect_stream(detector, np.split(samples, cuts)))


def test_what_was_enrolled_is_detected_where_it_is(spotter, keywords):
    file, start, end = keywords
    hearing = spotter.hearing()
    scorer = Scorer(file.keywords, hearing.places.lengths)
    scores = stream_scores(hearing, scorer, sound(6.3))
    row = scores.ends.tolist().index(end)
    number = [keyword.name for keyword in file.keywords].index("spoken")
    assert scores.starts[row, number] == start
    assert 0.5 < scores.scores[row, number] < 1.0  # the mean with another span of that end
    threshold = float(scores.scores[:, number].max()) - 1e-6
    found = detections(spotter, file, sound(6.3), threshold=threshold)
    found = [detection for detection in found if detection.keyword == "spoken"]
    best = scores.ends[scores.scores[:, number].argmax()]
    assert [detection.end_s for detection in found] == [pytest.approx(best / 100)]
    assert all(detection.end_s < detection.told_s < detection.end_s + 0.9 for detection in found)


@pytest.mark.parametrize("size", [777, 8000, 30011])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44100])
def test_chunks_make_no_difference(spotter, keywords, size, rate_hz):
    samples = sound(3.1, rate_hz)
    whole = detections(spotter, keywords[0], samples, rate_hz=rate_hz, threshold=-1.0)
    cuts = range(size, len(samples), size)
    assert detections(spotter, keywords[0], samples, cuts, rate_hz, threshold=-1.0) == whole
    assert len(whole) >= 6


def test_a_spotter_detects_in_a_stream_what_a_detector_does(spotter, keywords, tmp_path):
    samples = sound(3.1, 44100)
    keywords[0].write(tmp_path / "kw.json")
    stored = KeywordFile.read(tmp_path / "kw.json")
    whole = detections(spotter, stored, samples, rate_hz=44100, threshold=-1.0)
    given = {"sample_rate": 44100, "threshold": -1.0}
    for several in (stored, tmp_path / "kw.json", str(tmp_path / "kw.json")):
        assert list(spotter.stream(np.split(samples, [9999]), several, **given)) == whole
    texts = spotter.stream([samples], ["go on"], **given)
    assert {found.keyword for found in texts} == {"go on"}
    with pytest.raises(UsageError, match="has no threshold"):  # before anything is heard
        spotter.stream([samples], ["go on"], sample_rate=44100)


def test_detections_come_with_their_chunks(spotter, keywords):
    heard = []

    def chunks():
        for number, chunk in enumerate(np.split(sound(4), 8)):
            heard.append(number)
            yield chunk

    stream = spotter.stream(chunks(), keywords[0], sample_rate=RATE_HZ, threshold=-1.0)
    assert next(stream) and len(heard) < 8


def test_empty_chunks_and_empty_streams(spotter, keywords):
    samples = sound(1.2)
    whole = detections(spotter, keywords[0], samples, threshold=-1.0)
    assert detections(spotter, keywords[0], samples, (0, 5000, 5000), threshold=-1.0) == whole
    assert detections(spotter, keywords[0], samples[:0]) == []
    assert detections(spotter, keywords[0], samples[:100]) == []


def test_scores_of_a_stream_are_those_of_its_blocks(spotter, keywords):
    hearing = spotter.hearing()
    scores = stream_scores(hearing, Scorer(keywords[0].keywords, hearing.places.lengths), sound(3))
    assert scores.ends.tolist() == list(range(30, 299, 10)) and scores.scores.shape == (27, 3)
    none = stream_scores(spotter.hearing(), Scorer(keywords[0].keywords, (26,)), sound(0))
    assert not len(none.ends)


def test_another_model_no_threshold_and_odd_samples_are_refused(spotter, keywords):
    file = keywords[0]
    with pytest.raises(UsageError, match="another model"):
        Detector(spotter, KeywordFile("other", file.keywords), sample_rate_hz=RATE_HZ)
    with pytest.raises(UsageError, match="'yes' has no threshold.*adml calibrate"):
        Detector(spotter, file, sample_rate_hz=RATE_HZ)
    for rate_hz in (0, 100, 16000.5, "16000", 10**7):
        with pytest.raises(UsageError, match="sample rate.*4000 to 384000"):
            Detector(spotter, file, sample_rate_hz=rate_hz, threshold=0.5)
    for threshold in (50.0, float("nan")):
        with pytest.raises(UsageError, match="'yes' would never be detected.*at most 1"):
            Detector(spotter, file, sample_rate_hz=RATE_HZ, threshold=threshold)
    detector = Detector(spotter, file, sample_rate_hz=RATE_HZ, threshold=0.5)
    with pytest.raises(AudioError, match="NaN or infinite"):
        detector.push(np.array([0.0, np.nan]))
    with pytest.raises(AudioError, match="int16"):
        detector.push(np.zeros(100, np.int16))


@pytest.mark.parametrize("from_hz", [8000, 11025, 48000])
def test_a_resampled_stream_is_the_same_however_it_is_cut(from_hz):
    samples = sound(1.37, from_hz)
    made = []
    for size in (len(samples), 1, 997):
        resampler = Resampler(from_hz, RATE_HZ)
        parts = [resampler.push(samples[at : at + size]) for at in range(0, len(samples), size)]
        made.append(np.concatenate([*parts, resampler.close()]))
    np.testing.assert_array_equal(made[1], made[0])
    np.testing.assert_array_equal(made[2], made[0])
    assert len(made[0]) == pytest.approx(1.37 * RATE_HZ, abs=2)
