"""tensorflow-io gives soundfile's samples where it works; elsewhere soundfile decodes."""

from __future__ import annotations

import io
import types

import numpy as np
import pytest
import soundfile

from adml.audio import tfio
from adml.audio.decoding import decode
from adml.errors import AudioError

EXACT = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")),
    *(("WAV", subtype) for subtype in ("FLOAT", "ULAW", "IMA_ADPCM")),
    *(("FLAC", subtype) for subtype in ("PCM_16", "PCM_24")),
]
CLOSE = [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


def _encoded(form: str, subtype: str, channels: int = 1) -> bytes:
    noise = np.random.default_rng(1).standard_normal((8000, channels))
    samples = 0.05 * noise + 0.2 * np.sin(0.05 * np.arange(8000))[:, np.newaxis]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format=form, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def native():
    if tfio.native_audio() is None:
        pytest.skip("the native operations of tensorflow-io do not load with this TensorFlow")


@pytest.fixture
def without_native(monkeypatch):
    """tensorflow-io as it is with TensorFlow 2.18 and later."""

    def raises(*args, **kwargs):
        raise NotImplementedError("unable to open file: libtensorflow_io.so")

    real = tfio.importlib.import_module
    fake = types.SimpleNamespace(audio=types.SimpleNamespace(decode_wav=raises))
    monkeypatch.setattr(
        tfio.importlib,
        "import_module",
        lambda name: fake if name == "tensorflow_io" else real(name),
    )
    tfio.native_audio.cache_clear()
    yield
    tfio.native_audio.cache_clear()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("form, subtype", EXACT + CLOSE)
def test_samples_are_equal(native, form, subtype, channels):
    data = _encoded(form, subtype, channels)
    tolerance = 3e-8 if (form, subtype) in EXACT else 2e-6
    actual = decode(data, decoder="tensorflow_io")
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, decode(data), atol=tolerance)


def test_opus_is_left_to_soundfile(native):
    data = _encoded("OGG", "OPUS")
    np.testing.assert_array_equal(decode(data, decoder="tensorflow_io"), decode(data))
    assert tfio.decode(data, "ogg opus", 0, False) is None


@pytest.mark.parametrize("form, subtype", EXACT + CLOSE)
def test_soundfile_decodes_where_nothing_native_loads(without_native, form, subtype):
    assert tfio.native_audio() is None
    data = _encoded(form, subtype)
    np.testing.assert_array_equal(decode(data, decoder="tensorflow_io"), decode(data))


def test_a_missing_package_is_no_failure(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(tfio.importlib, "import_module", missing)
    tfio.native_audio.cache_clear()
    try:
        assert tfio.native_audio() is None
    finally:
        tfio.native_audio.cache_clear()


def test_what_the_native_decoder_refuses_is_an_audio_error(native, monkeypatch):
    def refuses(*args):
        raise ValueError("unable to read")

    monkeypatch.setattr(tfio, "decode", refuses)
    with pytest.raises(AudioError, match="cannot be decoded.*unable to read"):
        decode(_encoded("WAV", "PCM_16"), decoder="tensorflow_io")
