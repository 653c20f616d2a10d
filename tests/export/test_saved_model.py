import json
import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf

from adml.audio.features import LogMel
from adml.errors import DataError, NumericError, UsageError
from adml.export import saved_model
from adml.export.saved_model import export, require_free, unit_length
from adml.export.verification import PROGRAM, made_clips, make_reference, verify
from adml.models.acoustic import AcousticEncoder
from adml.models.ctc import FrameClassifier
from adml.models.text import TextEncoder
from adml.text.phonemes import NUM_SYMBOLS, SYMBOLS


@pytest.fixture(scope="module")
def model():
    """Both encoders, narrow and shallow, with uneven moving averages, and the front end."""
    tf.random.set_seed(1)
    acoustic = AcousticEncoder(channels=8, embedding_dim=12, dilations=(2,), scale=2, bottleneck=8)
    text = TextEncoder(NUM_SYMBOLS, embedding_dim=12, units=6, num_layers=1)
    acoustic(tf.random.normal([2, 9, 40]), tf.constant([9, 5]), training=True)
    text(tf.ones([2, 3], tf.int32), tf.constant([3, 2]))
    return acoustic, text, LogMel()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export(*model, tmp_path_factory.mktemp("exported") / "deep" / "export")


def test_export_is_checked_and_reports_its_difference(exported):
    assert 0 < exported.max_difference <= 1e-5
    assert exported.acoustic.is_dir() and exported.text.is_dir() and exported.reference.is_file()
    assert json.loads(json.dumps(exported.to_dict()))["acoustic"] == str(exported.acoustic)
    left = sorted(path.name for path in exported.acoustic.parent.iterdir())
    assert left == ["acoustic", "reference.npz", "text"]
    assert [path.name for path in exported.acoustic.parents[1].iterdir()] == ["export"]


def test_phones_are_told_where_there_is_a_classifier(model, tmp_path):
    acoustic, text, log_mel = model
    classifier = FrameClassifier(5, 12)
    classifier(tf.zeros([1, 2, 12]))
    exported = export(acoustic, text, log_mel, tmp_path / "export", frame_classifier=classifier)
    loaded = tf.saved_model.load(str(exported.acoustic))
    outputs = loaded.signatures["listen"].structured_outputs
    assert set(outputs) == {"embedding", "phones"}
    samples = np.random.default_rng(0).normal(0, 0.1, [1, 4000]).astype(np.float32)
    mel = loaded.signatures["log_mel"](waveform=tf.constant(samples))["log_mel"]
    spans = {"lengths": [mel.shape[1]], "recordings": [0], "starts": [3], "frames": [7]}
    heard = loaded.signatures["listen"](
        log_mel=mel, **{name: tf.constant(value) for name, value in spans.items()}
    )
    np.testing.assert_allclose(np.exp(heard["phones"]).sum(-1), 1, atol=1e-5)
    features, lengths = log_mel(samples, np.array([4000]))
    frames, _ = acoustic(features, lengths)
    expected = tf.nn.log_softmax(classifier(frames))
    np.testing.assert_allclose(heard["phones"], expected, atol=1e-4)


def test_assets_tell_the_phonemes_and_the_front_end(exported, model):
    symbols = (exported.text / "assets" / "phonemes.txt").read_text().split()
    assert tuple(symbols) == SYMBOLS
    settings = json.loads((exported.acoustic / "assets" / "front_end.json").read_text())
    assert settings == model[2].settings and settings["sample_rate_hz"] == 16000


def test_signatures_have_named_inputs_and_outputs(exported):
    acoustic = tf.saved_model.load(str(exported.acoustic))
    text = tf.saved_model.load(str(exported.text))
    assert set(acoustic.signatures) == {"embed_audio", "score", "log_mel", "listen"}
    assert set(text.signatures) == {"embed_text"}
    audio = acoustic.signatures["embed_audio"].structured_input_signature[1]
    assert audio == {
        "waveform": tf.TensorSpec([None, None], tf.float32, name="waveform"),
        "lengths": tf.TensorSpec([None], tf.int32, name="lengths"),
    }
    assert set(acoustic.signatures["embed_audio"].structured_outputs) == {
        "embedding",
        "frames",
        "frame_lengths",
    }
    assert set(text.signatures["embed_text"].structured_outputs) == {"embedding", "phonemes"}


def test_outputs_equal_the_model(exported, model):
    acoustic, text, log_mel = model
    rng = np.random.default_rng(3)
    waveform = tf.constant(0.1 * rng.standard_normal([3, 5000]), tf.float32)
    lengths = tf.constant([5000, 4100, 100])
    heard = tf.saved_model.load(str(exported.acoustic))
    got = heard.signatures["embed_audio"](waveform=waveform, lengths=lengths)
    frames, utterance = acoustic(*log_mel(waveform, lengths))
    np.testing.assert_allclose(got["frames"], frames, atol=1e-5)
    np.testing.assert_allclose(got["embedding"], unit_length(utterance), atol=1e-5)
    read = tf.saved_model.load(str(exported.text))
    ids, counts = tf.constant([[5, 9, 69], [1, 0, 0]]), tf.constant([3, 1])
    keywords = read.signatures["embed_text"](phonemes=ids, lengths=counts)["embedding"]
    np.testing.assert_allclose(keywords, unit_length(text(ids, counts)[1]), atol=1e-5)
    # The keywords' length does not matter: a score is a cosine.
    scores = heard.signatures["score"](waveform=waveform, lengths=lengths, keywords=3 * keywords)
    cosine = got["embedding"].numpy() @ keywords.numpy().T
    np.testing.assert_allclose(scores["scores"], cosine, atol=1e-5)
    assert scores["scores"].shape == [3, 2]


def test_damaged_weights_are_noticed(exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported.acoustic.parent, folder)
    weights = next((folder / "acoustic" / "variables").glob("*.data*"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(DataError, match="does not run in a fresh process"):
        verify(folder)


def test_a_difference_is_noticed_and_named(exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported.acoustic.parent, folder)
    reference = dict(np.load(folder / "reference.npz"))
    reference["embed_text.embedding"][0, 0] += 2e-5
    np.savez(folder / "reference.npz", **reference)
    with pytest.raises(NumericError, match=r"embed_text.embedding.*Expected: at most 1e-05"):
        verify(folder)


def test_export_above_tolerance_raises_and_leaves_nothing(model, tmp_path, monkeypatch):
    def differ(folder, *, tolerance):
        raise NumericError("differs")

    monkeypatch.setattr(saved_model, "_save", lambda *_: None)
    monkeypatch.setattr(saved_model, "verify", differ)
    with pytest.raises(NumericError, match="differs"):
        export(*model, tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="exists. Expected: a new or empty folder"):
        export(*model, tmp_path)
    with pytest.raises(UsageError, match="exists"):
        require_free(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    require_free(tmp_path / "new")


def test_unwritable_place_is_one_message(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Cannot write the export folder"):
        export(*model, tmp_path / "file" / "export")


def test_the_check_uses_tensorflow_alone():
    imports = [line for line in PROGRAM.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import json, os, sys", "import numpy as np", "import tensorflow as tf"]
    compile(PROGRAM, "check", "exec")


def test_reference_does_not_depend_on_bfloat16_rewriting(model, tmp_path):
    name = "auto_mixed_precision_onednn_bfloat16"
    make_reference(tmp_path / "plain.npz", *model, len(SYMBOLS))
    tf.config.optimizer.set_experimental_options({name: True})
    try:
        make_reference(tmp_path / "rewritten.npz", *model, len(SYMBOLS))
        assert tf.config.optimizer.get_experimental_options()[name] is True
    finally:
        tf.config.optimizer.set_experimental_options({name: False})
    plain, rewritten = np.load(tmp_path / "plain.npz"), np.load(tmp_path / "rewritten.npz")
    for key in plain.files:
        np.testing.assert_allclose(plain[key], rewritten[key], atol=1e-6)


def test_made_clips_differ_in_length_and_hold_sound():
    clips = made_clips(np.random.default_rng(0))
    assert len({len(clip) for clip in clips}) == len(clips)
    assert min(len(clip) for clip in clips) < 400
    assert all(0.01 < np.abs(clip).max() < 1 and clip.dtype == np.float32 for clip in clips)


def test_saving_is_quiet_and_restores_the_loggers():
    before = logging.getLogger("absl").level
    with saved_model._quiet():
        assert logging.getLogger("absl").level == logging.WARNING
    assert logging.getLogger("absl").level == before
