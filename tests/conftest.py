"""Shared by all tests: quiet logs, two CPU devices, real and miniature speech, a tiny run."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import soundfile
import tensorflow as tf

SPEECH_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "speech"


def _split_cpu() -> None:
    """Make two logical CPU devices; this only works before the TensorFlow runtime starts."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)


_split_cpu()


SLOW_FILES = (
    "test_notebooks.py", "test_quickstart.py", "test_step.py", "test_smoke.py", "test_workers.py",
    "test_campaign.py", "test_cohort.py", "test_cli.py", "test_saved_model.py", "test_runtimes.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list) -> None:
    """What takes longest comes first, so that two processes end together."""
    items.sort(key=lambda item: item.path.name not in SLOW_FILES)


@pytest.fixture(autouse=True)
def keep_logging():
    """The command line sets the root logger up; put it back, also after wide fixtures."""
    _reset_logging()
    yield
    _reset_logging()


def _reset_logging() -> None:
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if type(one) is not logging.StreamHandler]
    root.setLevel(logging.WARNING)
    for name in ("matplotlib", "absl", "tensorflow", "h5py", "PIL", "urllib3", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def speech_root() -> Path:
    """Real speech: ADML_SPEECH, or shared/speech beside the repository; skips without."""
    root = Path(os.environ.get("ADML_SPEECH", SPEECH_FOLDER))
    if not root.is_dir():
        pytest.skip(f"no real speech at {root}; set ADML_SPEECH to a folder that holds it")
    return root


SAMPLE_RATE_HZ = 16000
SENTENCES = ("yes no left right green", "house music water river stone")
FIRST_SECONDS, WORD_SECONDS, STEP_SECONDS = 0.2, 0.55, 0.6


def make_speech_set(folder: Path, speakers: int = 4) -> Path:
    """Tones for words, as a set of aligned speech: each half of the speakers says one sentence.

    The recordings of the first half of the speakers are in audio/train, the others in audio/test.
    Also has mfa_words.tsv, a second alignment that equals words.tsv.
    """
    rng = np.random.default_rng(3)
    manifest = ["path\ttext\tspeaker\tduration"]
    words = ["path\tword\tspeaker\tstart\tend\tindex"]
    for part in ("train", "test"):
        (folder / "audio" / part).mkdir(parents=True)
    for number in range(speakers * len(SENTENCES)):
        speaker, spoken = f"speaker{number // 2}", SENTENCES[number % 2].split()
        path = f"audio/{'train' if number < speakers else 'test'}/{number}.wav"
        seconds = FIRST_SECONDS + STEP_SECONDS * len(spoken) + 0.2
        samples = 1e-3 * rng.standard_normal(int(seconds * SAMPLE_RATE_HZ))
        for place, word in enumerate(spoken):
            start = FIRST_SECONDS + place * STEP_SECONDS
            span = slice(int(start * SAMPLE_RATE_HZ), int((start + WORD_SECONDS) * SAMPLE_RATE_HZ))
            pitch_hz = 200 + 37 * (sum(map(ord, word)) % 60) + 5 * number
            time = np.arange(span.stop - span.start) / SAMPLE_RATE_HZ
            samples[span] += 0.3 * np.sin(2 * np.pi * pitch_hz * time)
            words.append(
                f"{path}\t{word}\t{speaker}\t{start:.2f}\t{start + WORD_SECONDS:.2f}\t{place}"
            )
        soundfile.write(folder / path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        manifest.append(f"{path}\t{' '.join(spoken)}\t{speaker}\t{seconds:.3f}")
    (folder / "manifest.tsv").write_text("\n".join(manifest) + "\n", encoding="utf-8")
    for name in ("words.tsv", "mfa_words.tsv"):
        (folder / name).write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def speech_set() -> Callable[..., Path]:
    """Makes miniature sets."""
    return make_speech_set


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory) -> Path:
    """Miniature sets train, test and noise; read only."""
    root = tmp_path_factory.mktemp("speech")
    for name in ("train", "test", "noise"):
        make_speech_set(root / name)
    (root / "noise" / "words.tsv").unlink()
    return root


@contextmanager
def thin() -> Iterator[None]:
    """ADML with a thin acoustic encoder, which is traced, saved and run in a fraction of the time.

    The encoder of full size has tests of its own; every experiment file runs a step with it.
    """
    import adml.models.adml as module

    with pytest.MonkeyPatch.context() as patch:
        encoder = functools.partial(
            module.AcousticEncoder, channels=16, dilations=(2,), scale=4, bottleneck=8
        )
        patch.setattr(module, "AcousticEncoder", encoder)
        yield


@contextmanager
def run_eagerly() -> Iterator[None]:
    """Functions run as plain Python: a few steps are done before their graph would be traced."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions")
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def eagerly() -> Callable:
    """The context in which functions run as plain Python."""
    return run_eagerly


@pytest.fixture(scope="module")
def thin_encoders() -> Iterator[None]:
    """The tests of a module see thin encoders."""
    with thin():
        yield


@pytest.fixture(scope="session")
def tiny_overrides(speech_folder) -> list[str]:
    """Overrides that make an experiment tiny; its data are `speech_folder`."""
    trials = [
        "{name: words, folder: test, min_seconds: 0.2, negatives: 3}",
        "{name: choice, kind: choice, folder: test, min_seconds: 0.2, choices: 4}",
    ]
    return [
        f"data.root={speech_folder}",
        "data.max_words=2",
        "batches.keywords=4",
        "batches.keyword_classes=6",
        "model.text_units=8",
        "optimizer.learning_rate=1e-3",
        "training.steps=5",
        "training.log_every_steps=2",
        "training.checkpoint_every_steps=2",
        "training.gradient_norms_every_steps=4",
        "evaluation.resamples=20",
        f"evaluation.trials=[{', '.join(trials)}]",
    ]


@pytest.fixture(scope="session")
def speech_cache(tmp_path_factory) -> Path:
    """Folder for decoded speech."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_overrides, speech_cache) -> Path:
    """A run folder of five steps; read only but for records, trials and exports."""
    from adml.config import load_config
    from adml.experiment import train

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    with thin(), run_eagerly():
        return train(load_config(None, tiny_overrides), folder, cache=speech_cache)


@pytest.fixture(scope="session")
def tiny_export(tmp_path_factory) -> Path:
    """A run folder with an exported model, too small to be any good."""
    from adml.audio.features import LogMel
    from adml.export import saved_model
    from adml.models.acoustic import AcousticEncoder
    from adml.models.ctc import FrameClassifier
    from adml.models.text import TextEncoder
    from adml.text.phonemes import NUM_PHONES, SYMBOLS

    tf.random.set_seed(2)
    acoustic = AcousticEncoder(channels=8, embedding_dim=12, dilations=(2,), scale=2, bottleneck=8)
    text = TextEncoder(len(SYMBOLS) + 1, embedding_dim=12, units=6, num_layers=1)
    acoustic(tf.random.normal([2, 9, 40]), tf.constant([9, 5]), training=True)
    text(tf.ones([2, 3], tf.int32), tf.constant([3, 2]))
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text("seed: 1\n")
    heads = {"frame_classifier": FrameClassifier(NUM_PHONES, 12)}
    with pytest.MonkeyPatch.context() as patch:  # tests/export checks the check
        patch.setattr(saved_model, "verify", lambda folder, *, tolerance: 0.0)
        saved_model.export(acoustic, text, LogMel(), folder / "export", **heads)
    return folder
