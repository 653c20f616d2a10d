"""The licensed corpora in miniature: Wall Street Journal on NIST SPHERE, and King-ASR-066."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml.audio.decoding import probe
from adml.data.corpora.sphere import sphere_as_wav
from adml.data.corpora.transcripts import split_utterance, spoken_text
from adml.errors import AudioError, DataError, UsageError

from .conftest import RATE_HZ, textgrid, write_lines, write_tone


def write_sphere(path: Path, samples: np.ndarray, *, order: str = "01", coding: str = "pcm", **own):
    """A SPHERE file by hand: a header of 1,024 bytes, and samples [T] or [T, channels]."""
    fields = {
        "sample_count": f"-i {len(samples)}",
        "sample_n_bytes": "-i 2",
        "channel_count": f"-i {1 if samples.ndim == 1 else samples.shape[1]}",
        "sample_byte_format": f"-s2 {order}",
        "sample_rate": f"-i {RATE_HZ}",
        "sample_coding": f"-s{len(coding)} {coding}",
        **own,
    }
    lines = [f"{name} {value}" for name, value in fields.items() if value]
    header = "\n".join(["NIST_1A", "   1024", *lines, "end_head", ""]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = samples.astype("<i2" if order == "01" else ">i2").tobytes()
    path.write_bytes(header.ljust(1024) + raw)
    return path


@pytest.fixture
def samples():
    return np.random.default_rng(0).integers(-9000, 9000, 4000).astype(np.int16)


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere(tmp_path, samples, order):
    path = write_sphere(tmp_path / "a.wv1", samples, order=order)
    read, rate = soundfile.read(sphere_as_wav(path), dtype="int16")
    assert rate == RATE_HZ and np.array_equal(read, samples)
    stereo = write_sphere(tmp_path / "b.sph", np.stack([samples, -samples], 1), order=order)
    assert probe(sphere_as_wav(stereo)).channels == 2


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"coding": "pcm,embedded-shorten-v2.00"}, "is compressed by shorten.*sph2pipe"),
        ({"coding": "ulaw"}, "of a coding that is not read"),
        ({"sample_count": "-i 5000"}, "is cut short or damaged.*5000 frames.*4000 frames"),
        ({"sample_count": "-i many"}, "is no SPHERE file"),
        ({"channel_count": ""}, "is no SPHERE file"),
        ({"sample_n_bytes": "-i 0"}, "is no SPHERE file"),
        ({"channel_count": "-i -1"}, "is no SPHERE file"),
    ],
)
def test_sphere_that_is_not_read(tmp_path, samples, own, said):
    path = write_sphere(tmp_path / "a.wv1", samples, **own)
    with pytest.raises(AudioError, match=said):
        sphere_as_wav(path)


@pytest.mark.parametrize("data", [b"NIST_1A\n   10", b"NIST_1A\n   xxxx\n", b"RIFF", b"NIST_1A\n"])
def test_no_sphere_at_all(tmp_path, data):
    (tmp_path / "a.wv1").write_bytes(data)
    with pytest.raises(AudioError, match="is no SPHERE file"):
        sphere_as_wav(tmp_path / "a.wv1")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (r"Smith's \-HYPHEN based ,COMMA firm .PERIOD", "Smith's HYPHEN based COMMA firm PERIOD"),
        ("[lip_smack] the [slam>] sale [<cough] . of [ring/] it [/ring]", "the sale of it"),
        ("<the> *aggregate* !total gr:ew", "the aggregate total grew"),
        ("the st(ock)- stock pri- -(un)der rose", "the stock rose"),
        ('"DOUBLE-QUOTE yes (LEFT-PAREN )RIGHT-PAREN', "DOUBLE QUOTE yes LEFT PAREN RIGHT PAREN"),
        ("--DASH %PERCENT &AMPERSAND 'SINGLE-QUOTE 'EM", "DASH PERCENT AMPERSAND SINGLE QUOTE 'EM"),
        (r"well\-known A.T.\&T. co\.", "well-known A.T.&T. co."),
        ("[loud_breath] . ~", ""),
    ],
)  # fmt: skip
def test_what_is_said(written, spoken):
    assert spoken_text(written) == spoken


def test_utterances():
    assert split_utterance("The sale. (011C0201)\n") == ("011c0201", "The sale.")
    assert split_utterance("A (B) c (011c0202 87.051.870113-0174.1.1)") == ("011c0202", "A (B) c")
    assert split_utterance("no utterance (short)") is None


@pytest.fixture
def wsj(tmp_path, samples):
    root = tmp_path / "wsj0"
    audio = root / "si_tr_s/011"
    for number, name in enumerate(("011c0201", "011c0202", "011c0203", "011c0204", "011c0205")):
        write_sphere(audio / f"{name}.wv1", samples[number:])
    write_sphere(audio / "011c0206.wv1", samples, coding="pcm,embedded-shorten-v2.00")
    write_sphere(audio / "011c0201.wv2", samples)
    write_lines(
        audio / "011c0200.ptx",
        "What was to be read (011c0201 87.051.1)", "The hotels\\' sale (011c0202 87.051.2)",
        "compressed (011c0206 87.051.3)",
    )  # fmt: skip
    write_lines(
        root / "transcrp/dots/si_tr_s/011/011c0200.dot",
        "what *was* read [cough] (011c0201)", "cut short ~ (011c0203)", "one text (011c0204)",
    )  # fmt: skip
    write_lines(root / "transcrp/dots/other/011c0200.dot", "another text (011c0204)")
    (root / "damaged.dot").write_bytes(b"\xff\xfe (011c0205)")
    return root


def test_wsj(prepared, wsj, samples, tmp_path):
    grid = textgrid([(0.0, 0.05, "what"), (0.05, 0.1, "was"), (0.1, 0.2, "read")])
    write_lines(tmp_path / "grids/011c0201.TextGrid", *grid)
    made = prepared("wsj", wsj, audio="flac", alignments=tmp_path / "grids")
    folder = "si_tr_s/011/"
    assert made.texts == {
        f"{folder}011c0201.flac": ("what was read", "011"),
        f"{folder}011c0202.flac": ("the hotels' sale", "011"),
    }
    assert [word[1:] for word in made.words] == [
        ("what", "0.000", "0.050", 0), ("was", "0.050", "0.100", 1), ("read", "0.100", "0.200", 2),
    ]  # fmt: skip
    read, _ = soundfile.read(made.folder / f"audio/{folder}011c0201.flac", dtype="int16")
    assert np.array_equal(read, samples)
    assert made.set_aside == {
        ("damaged.dot", "recording"): "list cannot be read",
        (f"{folder}011c0202.wv1", "words"): "no alignment",
        (f"{folder}011c0203.wv1", "recording"): "utterance is cut short",
        (f"{folder}011c0204.wv1", "recording"): "two transcripts that differ",
        (f"{folder}011c0205.wv1", "recording"): "no text",
        (f"{folder}011c0206.wv1", "recording"): "is compressed by shorten",
    }


def test_sphere_is_never_linked(prepared, wsj, tmp_path):
    with pytest.raises(UsageError, match="Give --audio flac"):
        prepared("wsj", wsj)
    for path in wsj.rglob("*.wv1"):
        path.unlink()
    write_tone(wsj / "si_tr_s/011/011c0201.wav")
    assert set(prepared("wsj", wsj).texts) == {"si_tr_s/011/011c0201.wav"}


def test_an_utterance_of_two_discs_is_one(prepared, wsj, samples):
    write_sphere(wsj / "disc2/011c0202.wv1", samples)
    made = prepared("wsj", wsj, audio="flac")
    assert "disc2/011c0202.flac" in made.texts
    told = made.set_aside["si_tr_s/011/011c0202.wv1", "recording"]
    assert told == "utterance was there before"


def test_discs_that_are_all_compressed_say_what_to_do(prepared, wsj):
    (wsj / "damaged.dot").unlink()
    for path in wsj.rglob("011c020[1-5].wv1"):
        path.unlink()
    with pytest.raises(DataError, match="1 is compressed by shorten.*sph2pipe"):
        prepared("wsj", wsj, audio="flac")


@pytest.fixture
def king(tmp_path):
    channel = tmp_path / "King-ASR-066/DATA/CHANNEL0"
    for name in ("000100001", "000100002", "000100003", "000100005"):
        write_tone(channel / "WAVE/SPEAKER0010/SESSION0" / f"{name}.WAV", 0.3)
    write_lines(channel / "WAVE/SPEAKER0010/SESSION0/000100006.WAV", "no audio")
    write_tone(channel / "WAVE/SPEAKER0011/SESSION1/A1.WAV", 0.3)
    write_lines(
        channel / "SCRIPT/000100.TXT",
        "000100001\tCall home, now.", "\t<SPK/> call home <NON/> now",
        "000100002\tOnly a prompt",
        "000100003\tNot heard", "\tnot ** heard",
        "000100004\tNot recorded", "\tnot recorded",
        "000100006\tDamaged", "\tdamaged",
    )  # fmt: skip
    write_lines(channel / "SCRIPT/SPEAKER0011.txt", "a1\tIt's five o'clock")
    write_lines(channel / "SCRIPT/000990.TXT", "000990001\tNobody")
    write_tone(channel.parent / "CHANNEL1/WAVE/SPEAKER0010/SESSION0/100100001.WAV", 0.3)
    (channel.parent / "CHANNEL1/SCRIPT").mkdir()
    (channel.parent / "CHANNEL1/SCRIPT/100100.TXT").write_bytes(b"100100001\t\xff")
    return tmp_path / "King-ASR-066"


@pytest.mark.parametrize("below", [".", "DATA"])
def test_king_asr(prepared, king, below, tmp_path):
    table = write_lines(tmp_path / "words.csv", "id,word,start,end", "000100001,call,0.1,0.2")
    made = prepared("king_asr_066", king / below, alignments=table)
    start = "DATA/" if below == "." else ""
    spoken = f"{start}CHANNEL0/WAVE/SPEAKER0010/SESSION0/"
    assert made.texts == {
        f"{spoken}000100001.WAV": ("call home now", "0010"),
        f"{spoken}000100002.WAV": ("only a prompt", "0010"),
        f"{start}CHANNEL0/WAVE/SPEAKER0011/SESSION1/A1.WAV": ("it's five o'clock", "0011"),
    }
    assert made.words == [(f"{spoken}000100001.WAV", "call", "0.100", "0.200", 0)]
    assert made.described["set_aside"] == {
        "audio file is missing": 2,
        "is not audio of a known kind": 1,
        "list cannot be read": 1,
        "no alignment": 2,
        "no text": 2,
        "speech that was not understood": 1,
    }


def test_king_asr_with_two_texts_of_a_recording(prepared, king):
    script = king / "DATA/CHANNEL0/SCRIPT"
    write_lines(
        script / "SPEAKER0010.txt", "000100001\tCall home, now.", "\t<SPK/> call home <NON/> now",
        "000100002\tAnother prompt",
    )  # fmt: skip
    aside = prepared("king_asr_066", king).set_aside
    start = "DATA/CHANNEL0/WAVE/SPEAKER0010/SESSION0/"
    assert aside[f"{start}000100002.WAV", "recording"] == "two transcripts that differ"
    assert (f"{start}000100001.WAV", "recording") not in aside
