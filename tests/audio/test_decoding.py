"""Decoding of every kind, rate and channel count; every way in which a file can be unusable."""

from __future__ import annotations

import io
import logging
import os
import struct

import numpy as np
import pytest
import soundfile

from adml.audio import ogg
from adml.audio.decoding import decode, probe, resample
from adml.errors import AudioError, UsageError

KINDS = {
    "wav": ("WAV", "PCM_16"),
    "wav 24": ("WAVEX", "PCM_24"),
    "wav float": ("WAV", "FLOAT"),
    "wav mu-law": ("WAV", "ULAW"),
    "flac": ("FLAC", "PCM_16"),
    "ogg vorbis": ("OGG", "VORBIS"),
    "ogg opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LOSSLESS = {"wav", "wav 24", "wav float", "flac"}


def _sound(frames: int, rate: int = 16000) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(frames)
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate) + 0.02 * noise).astype("f")


def _encode(kind: str, samples: np.ndarray, rate: int = 16000) -> bytes:
    form, subtype = KINDS[kind]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def _wav(samples: bytes, *, declared: int | None = None, extra: bytes = b"") -> bytes:
    """A WAV of 16-bit mono samples, with the size its header shall declare."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    size = len(samples) if declared is None else declared
    body = b"WAVE" + form + extra + struct.pack("<4sI", b"data", size) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_rate_and_channel_count(kind, rate, channels):
    if rate > 48000 and kind in ("ogg opus", "mp3") or rate == 44100 and kind == "ogg opus":
        pytest.skip("the codec has no such rate")
    clean = _sound(rate, rate)
    samples = clean if channels == 1 else np.stack([clean, 0.5 * clean], 1)
    decoded = decode(_encode(kind, samples, rate))
    assert decoded.dtype == np.float32 and decoded.ndim == 1
    assert abs(len(decoded) - 16000) <= (4000 if kind == "mp3" else 1)
    if kind in LOSSLESS:
        expected = resample(clean * (1 if channels == 1 else 0.75), rate, 16000)
        np.testing.assert_allclose(decoded, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_paths_bytes_and_open_files_are_equal(kind, tmp_path):
    data = _encode(kind, _sound(8000))
    path = tmp_path / "clip.audio"
    path.write_bytes(data)
    expected = decode(path)
    for source in (str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        np.testing.assert_array_equal(decode(source), expected)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(decode(file), expected)
    info = probe(path)
    assert (info.sample_rate_hz, info.channels) == (16000, 1)
    assert info.format == kind.split()[0] if "wav" in kind else info.format == kind
    assert info.frames == len(expected) or kind == "mp3"


def test_sixteen_bit_samples_are_exact():
    numbers = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
    np.testing.assert_array_equal(decode(_wav(numbers.tobytes())), numbers / np.float32(32768))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_an_error_that_names_it(kind, fraction, tmp_path):
    data = _encode(kind, _sound(32000))
    path = tmp_path / "short.audio"
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(AudioError, match=r"short\.audio .*Expected: .*Received: .*\.$"):
        decode(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lacks_its_last_byte_is_an_error(kind):
    with pytest.raises(AudioError, match="cut short|damaged"):
        decode(_encode(kind, _sound(16000))[:-1])


@pytest.mark.parametrize("kind", ["ogg opus", "ogg vorbis", "mp3"])
def test_a_file_cut_between_pages_or_frames_is_an_error(kind):
    data = _encode(kind, _sound(64000))
    if kind == "mp3":
        # Constant bit rate: the last frame begins at the last synchronisation word.
        cut = data[: data.rindex(data[:2])]
        message = "frames in .* bytes, as its first frame says"
    else:
        cut = data[: data.rindex(b"OggS")]
        message = "marked as the end of the stream"
    with pytest.raises(AudioError, match=message):
        decode(cut)


@pytest.mark.parametrize("kind", ["flac", "ogg opus", "ogg vorbis"])
def test_a_damaged_byte_is_found_by_the_checksum(kind):
    data = bytearray(_encode(kind, _sound(16000)))
    data[3 * len(data) // 4] ^= 0xFF
    with pytest.raises(AudioError, match="damaged"):
        decode(bytes(data))


def test_a_missing_ogg_page_is_an_error():
    data = _encode("ogg vorbis", _sound(200000))
    starts = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    assert len(starts) > 4
    with pytest.raises(AudioError, match="pages missing"):
        decode(data[: starts[3]] + data[starts[4] :])
    with pytest.raises(AudioError, match="several streams"):
        decode(_encode("ogg opus", _sound(2000)) * 2)


def test_checksum_of_an_ogg_page_by_the_bit():
    page = _encode("ogg opus", _sound(100))[:47]
    value = 0
    for byte in page[:22] + b"\0\0\0\0" + page[26:]:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    assert value == struct.unpack_from("<I", page, 22)[0]
    assert ogg.inspect(_encode("ogg opus", _sound(4800)), "x") == ("opus", pytest.approx(0.3))


def test_streamed_lengths_are_accepted_and_unfinished_headers_are_not():
    samples = np.arange(1, 5000, dtype=np.int16).tobytes()
    assert len(decode(_wav(samples, declared=0xFFFFFFFF))) == 4999
    with pytest.raises(AudioError, match="cut short|without samples"):
        decode(_wav(samples, declared=0))
    flac = bytearray(_encode("flac", _sound(8000)))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    with pytest.raises(AudioError, match="does not say how long it is"):
        decode(bytes(flac))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_an_error(value):
    samples = _sound(1000)
    samples[77] = value
    with pytest.raises(AudioError, match="not finite.*1 of 1000 samples"):
        decode(_encode("wav float", samples))


def test_silence_is_an_error_unless_allowed():
    quiet = _encode("wav", np.full(800, 5e-5, np.float32))
    with pytest.raises(AudioError, match="is silent"):
        decode(quiet)
    assert decode(quiet, allow_silence=True).shape == (800,)


def test_floats_in_other_units_are_an_error_and_overshoot_is_scaled():
    with pytest.raises(AudioError, match="out of range.*32768"):
        decode(_encode("wav float", 20000 * _sound(100)))
    loud = decode(_encode("wav float", 5 * _sound(1000)))
    assert np.abs(loud).max() == 1.0
    np.testing.assert_allclose(loud, _sound(1000) / np.abs(_sound(1000)).max(), atol=1e-6)


def test_what_is_not_a_usable_file(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is not audio " * 50)
    cases = {
        "empty.wav": "is empty.*0 bytes",
        "text.wav": "not audio of a known kind",
        "missing.wav": "nothing at this path",
        ".": "a directory",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        cases["pipe.wav"] = "not a regular file"
    for name, message in cases.items():
        with pytest.raises(AudioError, match=message) as caught:
            decode(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(AudioError, match="is empty"):
        decode(b"")
    with pytest.raises(AudioError, match="not open for bytes"):
        decode(io.StringIO("text"))
    with pytest.raises(AudioError, match="without samples"):
        decode(_encode("wav", np.zeros(0, np.float32)))


def test_tiny_files_with_monstrous_promises_are_refused_at_once():
    flac = bytearray(_encode("flac", _sound(400)))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff" * 4
    with pytest.raises(AudioError, match="promises more sound than it can hold"):
        decode(bytes(flac))
    with pytest.raises(AudioError, match="4294967280 bytes of samples"):
        decode(_wav(b"\1\0" * 20, declared=0xFFFFFFF0))
    form = _wav(b"\1\0" * 20)
    with pytest.raises(AudioError, match="impossible form.*0 Hz"):
        decode(form[:24] + bytes(4) + form[28:])
    with pytest.raises(AudioError, match="impossible form.*65535 channels"):
        decode(form[:22] + b"\xff\xff" + form[24:])


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000])
def test_malformed_comments_never_reach_the_decoder(size):
    comment = b"INFOISFT" + struct.pack("<I", size) + b"x" * 60
    extra = struct.pack("<4sI", b"LIST", len(comment)) + comment
    assert decode(_wav(b"\1\7" * 8, extra=extra)).shape == (8,)


def test_tags_around_an_mp3_are_no_damage():
    data = _encode("mp3", _sound(16000))
    tag = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    expected = decode(data)
    np.testing.assert_array_equal(decode(tag + data + b"TAG" + bytes(125)), expected)
    with pytest.raises(AudioError, match="damaged or cut short"):
        decode(data[:1008] + bytes(100) + data[1008:])


def test_a_conversion_is_said_once(caplog):
    data = _encode("wav", np.stack([_sound(4410)] * 3, 1), 12345)
    with caplog.at_level(logging.INFO, logger="adml.audio.decoding"):
        for _ in range(3):
            decode(data)
        decode(_encode("wav", _sound(1000)))
    assert [record.getMessage() for record in caplog.records] == [
        "Audio of 12345 Hz with 3 channel(s) is converted to 16000 Hz mono (said once)."
    ]


def test_resampling_keeps_a_tone_in_place():
    time_s = np.arange(24000) / 48000
    tone = np.sin(2 * np.pi * 300 * time_s).astype(np.float32)
    lower = resample(tone, 48000, 16000)
    expected = np.sin(2 * np.pi * 300 * np.arange(8000) / 16000)
    assert lower.dtype == np.float32
    np.testing.assert_allclose(lower[400:-400], expected[400:-400], atol=1e-3)
    assert resample(tone, 16000, 16000) is not None
    with pytest.raises(UsageError, match="above 0 Hz"):
        resample(tone, 0, 16000)
    with pytest.raises(UsageError, match="decoder is unknown"):
        decode(b"x", decoder="ffmpeg")


def test_real_speech_of_every_set_decodes(speech_root):
    rng = np.random.default_rng(0)
    paths = sorted(p for p in speech_root.rglob("*") if p.suffix in (".opus", ".flac"))
    for number in rng.choice(len(paths), 100, replace=False):
        samples = decode(paths[number])
        assert len(samples) == pytest.approx(probe(paths[number]).frames, abs=1)
