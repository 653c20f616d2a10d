"""LiteRT and ONNX files of a small model, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from adml import runtime_losses
from adml.audio.features import LogMel
from adml.cli import main
from adml.errors import DataError, NumericError, UsageError
from adml.export import runtimes, saved_model
from adml.export.blocks import Blocks, FixedEncoder, FreeEncoder
from adml.export.fresh import BLOCK, CLIPS, Call, Speech, Stretch, make_speech
from adml.export.runtimes import RuntimeExport, example, export_runtime, require_runtime
from adml.models.acoustic import AcousticEncoder
from adml.models.ctc import FrameClassifier
from adml.models.text import TextEncoder
from adml.runtime_export import RuntimeExports
from adml.runtime_losses import Figures, read_spoken
from adml.spotting import phones
from adml.spotting.detecting import Detector, stream_scores
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.scoring import Scorer
from adml.spotting.spotter import KeywordSpotter
from adml.text.phonemes import NUM_SYMBOLS

LACKING = [name for module in runtimes.FORMATS.values() for name in module.REQUIRED
           if importlib.util.find_spec(name) is None]  # fmt: skip
pytestmark = pytest.mark.skipif(bool(LACKING), reason="the extra export is not installed")
BLOCKS = Blocks(frames=60, ends=3, lengths=(9, 20))
RATE_HZ = 16000
RUNNING = [Stretch(np.ones([60, 40], np.float32), np.array([12, 30, 60], np.int32))]
WORDS = {"yes": ["Y", "EH1", "S"], "never": ["N", "EH1", "V", "ER0"], "o": ["OW1"]}


def sound(seconds, seed=0):
    """A pitch that wanders, in whole numbers of 16 bits."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch = np.cumsum(rng.normal(0, 1, len(time))) / 300 + 2
    tone = 0.3 * np.sin(900 * time * pitch) + 0.02 * rng.normal(size=len(time))
    return np.round(np.clip(tone, -1, 0.99) * 32768).astype("<i2")


def write_wave(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An export of a small model with a frame classifier."""
    return _export(tmp_path_factory.mktemp("model") / "export", classifier=True)


def _export(folder, *, classifier: bool):
    random.seed(4)  # Keras draws its initial weights by both
    tf.random.set_seed(4)
    acoustic = AcousticEncoder(channels=8, embedding_dim=12, dilations=(2,), scale=2, bottleneck=8)
    text = TextEncoder(NUM_SYMBOLS, embedding_dim=12, units=6, num_layers=1)
    acoustic(tf.random.normal([2, 30, 40]) * 2, tf.constant([30, 21]), training=True)
    text(tf.ones([2, 3], tf.int32), tf.constant([3, 2]))
    heads = {}
    if classifier:
        heads["frame_classifier"] = FrameClassifier(39, 12)
        heads["frame_classifier"](tf.zeros([1, 2, 12]))
    with pytest.MonkeyPatch.context() as patch:  # test_saved_model checks the check
        patch.setattr(saved_model, "verify", lambda folder, *, tolerance: 0.0)
        saved_model.export(acoustic, text, LogMel(), folder, **heads)
    return folder


@pytest.fixture(scope="module")
def speech(source):
    lengths_s = [1.5, 1.2, *np.linspace(0.3, 0.8, 8)]
    clips = [sound(seconds, seed) / np.float32(32768) for seed, seconds in enumerate(lengths_s)]
    return make_speech(source / "acoustic", clips, BLOCKS, real=True, running=RUNNING)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A set of twelve clips of three words."""
    folder = tmp_path_factory.mktemp("clips")
    lines = ["path\ttext\tspeaker\tduration"]
    for number in range(12):
        write_wave(folder / f"{number}.wav", sound(0.5 + 0.02 * number, seed=number))
        lines.append(f"{number}.wav\t{['yes', 'never', 'go'][number % 3]}\tsomeone\t0.5")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_speech_is_cut_into_blocks_and_clips_that_differ(speech):
    assert [len(stretch.log_mel) for stretch in speech.stretches] == [60, 60, 60, 60, 15, 30]
    assert len(speech.clips) == len(speech.features) == 8
    assert all(stretch.ends.max() == len(stretch.log_mel) for stretch in speech.stretches)
    assert speech.running == RUNNING


def test_spans_of_a_block_are_those_of_the_saved_model(source, speech):
    stretch = speech.stretches[0]
    ends, lengths = np.array([31, 44, 60], np.int32), np.array([9, 20], np.int32)
    fixed, free = FixedEncoder(source / "acoustic", BLOCKS), FreeEncoder(source / "acoustic")
    count = np.array([50], np.int32)
    log_mel = stretch.log_mel[np.newaxis]
    told = fixed.listen(log_mel, count, ends)
    short = free.listen(log_mel[:, :50], ends[:2], lengths)
    listen = fixed.loaded.signatures["listen"]
    for place, end in enumerate(ends[:2]):
        for number, length in enumerate(lengths):
            one = listen(
                log_mel=tf.constant(log_mel), lengths=tf.constant(count),
                recordings=tf.constant([0]), starts=tf.constant([end - length]),
                frames=tf.constant([length]),
            )["embedding"][0]  # fmt: skip
            np.testing.assert_allclose(told["embedding"][place, number], one, atol=1e-5)
            np.testing.assert_allclose(short["embedding"][place, number], one, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(told["embedding"], axis=-1), 1, atol=1e-5)
    assert told["phones"].shape == [1, 60, 40]


def test_the_command_exports_and_the_example_detects_what_adml_detects(
    source, clips, tmp_path, capsys, monkeypatch
):
    # A small network of random weights loses more by int8 than a trained one.
    monkeypatch.setitem(runtimes.TOLERANCES, "int8", 0.3)
    code = main(["export", str(source), "--format", "litert,onnx", "--precision", "float32,int8",
                 "--out", str(tmp_path), "--clips", str(clips), "--cache", str(tmp_path / "cache"),
                 "--json"])  # fmt: skip
    captured = capsys.readouterr()
    assert code == 0, captured.err
    told = json.loads(captured.out)
    assert told["source"] == str(source)
    names = [f"{kind}-{bits}" for kind in ("litert", "onnx") for bits in ("float32", "int8")]
    assert [one["folder"] for one in told["files"]] == [str(tmp_path / name) for name in names]
    assert (tmp_path / "onnx-float32" / "text.onnx").is_file()
    spotter = KeywordSpotter.load(source)
    for one in told["files"]:
        assert 0 < one["difference"] <= one["tolerance"] and one["block_ms"] > 0
        assert one["cosine_min"] > 0.98 and one["clips"] == 10 and one["real_clips"]
        if one["precision"] == "float32":
            assert one["difference"] < 1e-4 and one["cosine_min"] > 0.999999
            for name, value in told["saved_model"].items():
                assert one[name] == pytest.approx(value, abs=1e-5)
        else:
            assert 1e-5 < one["score_move_mean"] < one["score_move_largest"] < 0.3
    for name in ("average_precision", "running_average_precision"):
        assert 0 < told["saved_model"][name] <= 100
    _check_examples(spotter, tmp_path)
    samples = sound(0.0625, seed=9)  # nothing ends in less than a tenth of a second
    for name, short in (("litert-float32", 0), ("litert-float32", 1000), ("onnx-float32", 0),
                        ("onnx-float32", 399), ("onnx-float32", 1000)):  # fmt: skip
        write_wave(tmp_path / "short.wav", samples[:short])
        assert not _run_example(tmp_path / name, tmp_path / "kw.json", tmp_path / "short.wav")
    other = (tmp_path / "kw.json").read_text().replace(spotter.model, "0" * 64)
    (tmp_path / "kw.json").write_text(other)
    with pytest.raises(AssertionError, match="Expected: keywords of this model"):
        _run_example(tmp_path / "onnx-float32", tmp_path / "kw.json", tmp_path / "speech.wav")


def test_the_example_detects_where_the_model_tells_no_phones(clips, tmp_path):
    source = _export(tmp_path / "export", classifier=False)
    told = ["--clips", str(clips), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    assert main(["export", str(source), "--format", "litert,onnx", *told]) == 0
    _check_examples(KeywordSpotter.load(source), tmp_path)


def _check_examples(spotter, folder) -> None:
    """Both examples detect what the detector does, in 5.37 s of a sound."""
    keywords, samples = _calibrated(spotter), sound(5.37, seed=9)
    keywords.write(folder / "kw.json")
    write_wave(folder / "speech.wav", samples)
    detector = Detector(spotter, keywords, sample_rate_hz=RATE_HZ)
    expected = sorted([*detector.push(samples / np.float32(32768)), *detector.close()])
    assert len({found.keyword for found in expected}) == 3 < len(expected)
    for name in ("litert-float32", "onnx-float32"):
        found = sorted(_run_example(folder / name, folder / "kw.json", folder / "speech.wav"))
        assert [one[0] for one in found] == [one.keyword for one in expected]
        for one, own in zip(expected, found, strict=True):
            np.testing.assert_allclose(own[1:], one[1:4], atol=0.006)


def _calibrated(spotter) -> KeywordFile:
    """Keywords of three, four and one phone, each above its threshold at a few places."""
    keywords = tuple(enrol(spotter, name, pronunciations=[said], fewest_phones=1)
                     for name, said in WORDS.items())  # fmt: skip
    hearing = spotter.hearing()
    scorer = Scorer(keywords, hearing.places.lengths)
    scores = stream_scores(hearing, scorer, sound(5.37, seed=9) / np.float32(32768)).scores
    thresholds = {keyword.name: (float(np.sort(column)[-8]) - 1e-3, {})
                  for keyword, column in zip(keywords, scores.T, strict=True)}  # fmt: skip
    return KeywordFile(spotter.model, keywords).with_thresholds(thresholds)


def _run_example(folder, keywords, speech) -> list[tuple]:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'adml', 'tf_keras')));"
    run = "sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[2:]; import runpy;"
    run += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", blocked + run, str(folder), str(folder / "detect.py"),
         str(keywords), str(speech)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [(name, float(start), float(end), float(score)) for start, end, score, name in rows]


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_the_example_is_short_and_needs_the_runtime_and_numpy_alone(kind):
    lines = example(kind).splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert not any(line.startswith("#") for line in lines)  # a part that was not filled in
    imports = r"^ *(?:import|from) (.+?)(?: (?:import|as) .*)?$"
    imported = set(re.findall(imports, example(kind), re.MULTILINE))
    runtime = {"litert": "ai_edge_litert.interpreter", "onnx": "onnxruntime"}[kind]
    assert imported == {"json, sys, wave", "pathlib", "numpy", runtime, "phones"}
    beside = Path(phones.__file__).read_text()
    own = set(re.findall(imports, beside, re.MULTILINE))
    assert own == {"__future__", "collections.abc", "numpy"}


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_float16_is_near_and_tells_what_it_loses(kind, source, speech, tmp_path):
    made, (rows, _) = export_runtime(source, tmp_path / "new", kind=kind, precision="float16",
                                blocks=BLOCKS, speech=speech, described={})  # fmt: skip
    assert 1e-6 < made.difference <= made.tolerance == runtimes.TOLERANCES["float16"]
    assert 0.999 < made.cosine_min <= made.cosine_mean <= 1 + 1e-6
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=5e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_int8_of_onnx_wants_speech(source, speech, tmp_path):
    with pytest.raises(UsageError, match="int8 in ONNX needs speech.*--clips"):
        export_runtime(source, tmp_path / "new", kind="onnx", precision="int8", blocks=BLOCKS,
                       speech=speech._replace(real=False), described={})  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_int8_of_onnx_cuts_off_no_log_mel(source, speech, tmp_path, monkeypatch):
    """All convolutions but the first hear numbers of 8 bits."""
    import onnx

    monkeypatch.setitem(runtimes.TOLERANCES, "int8", 0.3)
    export_runtime(source, tmp_path / "new", kind="onnx", precision="int8", blocks=BLOCKS,
                   speech=speech, described={})  # fmt: skip
    nodes = onnx.load(tmp_path / "new" / "acoustic.onnx").graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    inputs = [made_by[node.input[0]] for node in nodes if node.op_type == "Conv"]
    assert inputs[0] != "DequantizeLinear" and len(inputs) > 3
    assert set(inputs[1:]) == {"DequantizeLinear"}


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Exports by a runtime of which the answers are given; the truth is a vector of ones."""

    def run(opened, precision="float32"):
        def convert(source, folder, blocks, precision, speech):
            (folder / "file").write_text("weights")
            ones = {"embedding": tf.ones([1, 4]) / 2}
            asked = [{"x": np.zeros(2, np.float32)}]
            return [Call(name, "file", "s", asked, lambda x: ones, None) for name in (BLOCK, CLIPS)]

        module = SimpleNamespace(REQUIRED={}, OPENED=opened, EXAMPLE={}, ACOUSTIC="file",
                                 convert=convert)  # fmt: skip
        monkeypatch.setitem(runtimes.FORMATS, "pretend", module)
        return export_runtime("", tmp_path / "new", kind="pretend", precision=precision,
                              blocks=BLOCKS, speech=Speech([], [], [], True),
                              described={"a": 1})  # fmt: skip

    return run


def answer(values):
    return f"opened = lambda path, signature: lambda x: {{'embedding': {values}}}\n"


def test_what_is_measured_is_told(pretend, tmp_path):
    made, (rows, _) = pretend(answer("[[0.5, 0.5, 0.5, 0.49]]"), "float16")
    assert made.difference == pytest.approx(0.01) and rows.shape == (1, 4)
    cosine = 0.995 / (3 * 0.25 + 0.49**2) ** 0.5
    assert made.cosine_min == made.cosine_mean == pytest.approx(cosine, abs=1e-7)
    assert made.to_dict()["folder"] == str(tmp_path / "new") and made.clips == 1
    described = json.loads((tmp_path / "new" / "model.json").read_text())
    assert described == {"format": "pretend", "precision": "float16", "a": 1}


@pytest.mark.parametrize(
    ("opened", "error", "told"),
    [
        (answer("[[0.5, 0.5, 0.5, 0.49]]"), NumericError, "of the block.*at most 0.0001.*0.01"),
        (answer("[[0.5, 0.5, 0.5, float('nan')]]"), NumericError, "Received: inf"),
        (answer("[0.5, 0.5, 0.5, 0.5]"), DataError, r"another shape.*\(1, 4\).*\(4,\)"),
        ("raise RuntimeError('no such operation')\n", DataError, "do not run.*no such operation"),
        ("sys = __import__('sys'); sys.modules['tensorflow'] = sys\n" + answer("[[0.5] * 4]"),
         DataError, "need more than their runtime.*tensorflow"),
    ],
)  # fmt: skip
def test_what_does_not_do_the_same_is_not_kept(pretend, tmp_path, opened, error, told):
    with pytest.raises(error, match=told):
        pretend(opened)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_overwritten(pretend, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "old").write_text("kept")
    with pytest.raises(UsageError, match="exists. Expected: a new or empty folder"):
        pretend(answer("[[.5, .5, .5, .5]]"))
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "old"]


def test_lacking_packages_are_named_with_their_extra(monkeypatch):
    for kind in runtimes.FORMATS:
        require_runtime(kind)
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"onnx needs onnx, onnxruntime, tf2onnx.*\[export\]"):
        require_runtime("onnx")


def test_figures_are_those_of_all_pairs_and_stand_in_the_table():
    one = RuntimeExport(Path("a/litert-int8"), "litert", "int8", 0.0123, 0.1, 0.9991, 0.9995, 4,
                        True, 2.08, 4.26)  # fmt: skip
    figures = Figures(50.0, 12.5, 70.0, 0.00123, 0.0456)
    own = Figures(51.25, 12.0, 71.0, 0.0, 0.0)
    made = RuntimeExports((one,), (figures,), own, Path("a"))
    assert made.table().splitlines() == [
        "| files | MB | largest difference | cosine, least | mean | ms a block | AP % | EER % | "
        "running AP % | scores move, mean | largest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| SavedModel |  |  |  |  |  | 51.25 | 12.00 | 71.00 | 0.0000 | 0.0000 |",
        "| litert-int8 | 2.1 | 1.2e-02 | 0.99910 | 0.99950 | 4.3 | 50.00 | 12.50 | "
        "70.00 | 0.0012 | 0.0456 |",
    ]
    assert made.to_dict()["files"][0]["equal_error_rate"] == 12.5
    unsaid = RuntimeExports((one,), (Figures(50, 12, None, 0, 0),), own, Path("a"))
    assert unsaid.table().endswith("| 50.00 | 12.00 |  | 0.0000 | 0.0000 |")
    bare = RuntimeExports((one,), (None,), None, Path("a"))
    assert "AP" not in bare.table() and "SavedModel" not in bare.table()
    assert bare.to_dict()["saved_model"] is None


def test_words_are_looked_for_in_what_is_heard_of_the_recordings(source, tmp_path, monkeypatch):
    write_wave(tmp_path / "all.wav", sound(3.0, seed=5))
    lines = ["path\ttext\tspeaker\tduration", "all.wav\tyes never go yes\tsomeone\t3.0"]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    lines = ["path\tword\tspeaker\tstart\tend\tconfidence\tindex"]
    words = [("yes", 0.1), ("never", 0.8), ("go", 2.0), ("yes", 2.95)]  # the last one is cut off
    lines += [f"all.wav\t{word}\tsomeone\t{start}\t{start + 0.5}\t0\t{place}"
              for place, (word, start) in enumerate(words)]  # fmt: skip
    (tmp_path / "words.tsv").write_text("\n".join(lines) + "\n")
    spotter = KeywordSpotter.load(source)
    spoken = read_spoken(tmp_path, spotter, tmp_path / "cache")
    assert sorted(spoken.words) == ["go", "never", "yes"] == [k.name for k in spoken.keywords]
    assert spoken.said.all() and len(spoken.recordings[0]) == 3 * RATE_HZ
    told = spoken.figures(spoken.embed(3), spoken.scores + np.float32([0.0, 0.25, 0.5]))
    assert told.running_average_precision is None
    assert (told.score_move_mean, told.score_move_largest) == pytest.approx((0.25, 0.5))
    monkeypatch.setattr(runtime_losses, "RUNNING_S", 1.25)
    spoken = read_spoken(tmp_path, spotter, tmp_path / "cache")
    assert spoken.said.tolist() == [[False, True, True]]
    assert [len(samples) for samples in spoken.recordings] == [1.25 * RATE_HZ]
    told = spoken.figures(spoken.embed(3), np.float32([[0.9, 0.5, 0.1]]))
    assert told.running_average_precision == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


def test_unknown_formats_are_refused_and_an_export_is_not_made_twice(source, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(source), "--format", "tflite"])
    expected = "expected some of saved_model, litert, onnx, received 'tflite'"
    assert expected in capsys.readouterr().err
    assert main(["export", str(source), "--format", "litert", "--checkpoint", "7"]) == 2
    assert "exists. Expected: a new or empty folder" in capsys.readouterr().err
