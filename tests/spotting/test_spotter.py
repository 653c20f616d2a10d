import shutil

import numpy as np
import pytest

import adml
from adml.audio.samples import check_samples
from adml.errors import AudioError, TextError, UsageError
from adml.export import saved_model
from adml.spotting import spotter as spotting
from adml.spotting.spotter import KeywordSpotter, find_export

RATE_HZ = 16000


def tone(rate_hz, seconds=0.6):
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * 440 * time * (1 + time))).astype(np.float32)


def test_score_is_the_cosine_of_unit_embeddings(spotter):
    text, audio = spotter.embed_text("go on"), spotter.embed_audio(tone(RATE_HZ), RATE_HZ)
    assert text.shape == audio.shape == (12,) and text.dtype == audio.dtype == np.float32
    assert np.linalg.norm(text) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(audio) == pytest.approx(1, abs=1e-5)
    score = spotter.score("go on", tone(RATE_HZ), RATE_HZ)
    assert isinstance(score, float) and score == pytest.approx(float(text @ audio), abs=1e-6)


def test_audio_is_resampled(spotter):
    plain = spotter.embed_audio(tone(RATE_HZ), RATE_HZ)
    assert plain @ spotter.embed_audio(tone(44100), 44100) > 0.99
    assert plain @ spotter.embed_audio(tone(RATE_HZ), 8000) < 0.99


def test_the_same_audio_has_the_same_embedding(spotter):
    clip = tone(RATE_HZ)
    first = spotter.embed_audio(clip, RATE_HZ)
    spotter.embed_audio(tone(RATE_HZ, 1.3), RATE_HZ)
    again = spotter.embed_audio(clip.astype(np.float64), RATE_HZ)
    np.testing.assert_allclose(again, first, atol=1e-6)


def test_keywords_are_remembered_and_protected(spotter):
    first = spotter.embed_text("yes")
    assert spotter.embed_text("yes") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_export_folder_loads_as_well_and_reads_real_text(run, spotter):
    other = adml.KeywordSpotter.load(run / "export")
    np.testing.assert_array_equal(other.embed_text("yes"), spotter.embed_text("yes"))
    assert other.sample_rate_hz == RATE_HZ
    assert other.embed_text("hey bixby").shape == (12,)
    with pytest.raises(TextError, match="empty"):
        other.embed_text(" ")


@pytest.mark.parametrize("text", ["odd", ""])
def test_text_the_encoder_does_not_know(spotter, text):
    with pytest.raises(TextError, match="Expected: at least one phoneme, all among the 69"):
        spotter.embed_text(text)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros([2, 100], np.float32), "Average the channels"),
        (np.zeros(100, np.int16), "Divide by full scale"),
        (np.zeros(0, np.float32), "no samples"),
        (np.array([0.1, np.nan, np.inf]), "2 samples NaN or infinite"),
        (np.array([0.1, 20000.0]), "a peak of 20000"),
    ],
)
def test_bad_samples(spotter, samples, message):
    with pytest.raises(AudioError, match=message):
        spotter.score("yes", samples, RATE_HZ)


def test_bad_rate(spotter):
    with pytest.raises(UsageError, match="resample"):
        spotter.embed_audio(tone(RATE_HZ), 0)


def test_good_samples_come_back_as_float32():
    samples = np.array([0.5, -0.5])
    checked = check_samples(samples)
    assert checked.dtype == np.float32 and checked.tolist() == samples.tolist()


def test_missing_export(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        find_export(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="a folder without them"):
        KeywordSpotter.load(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(UsageError, match="not exported yet: adml export"):
        find_export(tmp_path)


SETTINGS = '{"sample_rate_hz": 16000, "window_ms": 25, "shift_ms": %s}'


@pytest.mark.parametrize(
    ("broken", "content"),
    [(spotting.FRONT_END, content) for content in (
        "{}", '{"sample_rate_hz": 16000}', "[" * 100_000, SETTINGS % 0, SETTINGS % "1e999")]
    + [("acoustic/saved_model.pb", "{}"), ("text/variables/variables.data-00000-of-00001", "half"),
       ("text/variables/variables.index", "{}")],
)  # fmt: skip
def test_damaged_export(run, tmp_path, broken, content):
    folder = tmp_path / "export"
    shutil.copytree(run / "export", folder)
    (folder / broken).write_text(content)
    with pytest.raises(UsageError, match="is damaged"):
        KeywordSpotter.load(folder)


def test_layout_is_that_of_the_exporter():
    assert str(spotting.ACOUSTIC) == saved_model.ACOUSTIC
    assert str(spotting.TEXT) == saved_model.TEXT
    assert spotting.FRONT_END.name == saved_model.FRONT_END
    assert spotting.PHONEMES.name == saved_model.PHONEMES
