"""Does an exported file do what the model did? Asked in a fresh process with TensorFlow alone.

The reference inputs go in as one padded batch and one by one, so that a file whose result depends
on padding or on batch neighbours fails as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.errors import DataError, NumericError
from adml.layers.spans import Spans

TOLERANCE = 1e-5
CLIP_SAMPLES = (16000, 11234, 24300, 250)
TEXT_LENGTHS = (6, 1, 11, 3)

# Runs without adml: it is the user's position. Differences count relative to the largest reference
# value where that is above 1; embeddings and scores never are.
PROGRAM = """
import json, os, sys
import numpy as np
import tensorflow as tf
folder = sys.argv[1]
reference = dict(np.load(os.path.join(folder, "reference.npz")))
acoustic = tf.saved_model.load(os.path.join(folder, "acoustic"))
text = tf.saved_model.load(os.path.join(folder, "text"))
strangers = sorted({"adml", "tf_keras"} & set(sys.modules))
differences = {}

def compare(name, value, expected):
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    if value.shape != expected.shape:
        sys.exit("%s has shape %s and not %s" % (name, value.shape, expected.shape))
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(value - expected).max()) / scale
    difference = difference if difference == difference else 1e9
    differences[name] = max(differences.get(name, 0.0), difference)

def check(model, signature, inputs, wide):
    run = model.signatures[signature]
    expected = {key[len(signature) + 1:]: value for key, value in reference.items()
                if key.startswith(signature + ".")}
    constant = {"keywords"}
    for name, value in run(**{k: tf.constant(v) for k, v in inputs.items()}).items():
        compare(signature + "." + name, value, expected[name])
    for row, length in enumerate(inputs["lengths"]):
        one = {k: v if k in constant else v[row:row + 1] for k, v in inputs.items()}
        one[wide] = one[wide][:, :length]
        for name, value in run(**{k: tf.constant(v) for k, v in one.items()}).items():
            whole = expected[name][row:row + 1]
            if value.shape.rank == 3:
                whole = whole[:, :value.shape[1]]
            compare(signature + "." + name + " (alone)", value, whole)

sound = {"waveform": reference["waveform"], "lengths": reference["waveform_lengths"]}
check(acoustic, "embed_audio", sound, "waveform")
scored = dict(sound, keywords=reference["embed_text.embedding"])
check(acoustic, "score", scored, "waveform")
mel = acoustic.signatures["log_mel"](waveform=tf.constant(reference["waveform"]))["log_mel"]
compare("log_mel", mel, reference["log_mel"])
names = ("lengths", "recordings", "starts", "frames")
spans = {name: tf.constant(reference["listen_" + name]) for name in names}
heard = acoustic.signatures["listen"](log_mel=tf.constant(reference["log_mel"]), **spans)
for name, value in heard.items():
    compare("listen." + name, value, reference["listen." + name])
symbols = {"phonemes": reference["phonemes"], "lengths": reference["phoneme_lengths"]}
check(text, "embed_text", symbols, "phonemes")
sys.stdout.write("\\n" + json.dumps({"differences": differences, "strangers": strangers}))
"""


def make_reference(
    path: Path,
    acoustic: Callable,
    text: Callable,
    log_mel: Callable,
    num_symbols: int,
    clips: Sequence[np.ndarray] | None = None,
    frame_classifier: Callable | None = None,
) -> None:
    """Write inputs and the outputs that the model gives for them, computed eagerly on the CPU.

    Args:
        path: .npz file to write.
        acoustic, text, log_mel: the model, as for `adml.export.saved_model.export`.
        num_symbols: number of phoneme symbols, without padding.
        clips: float32 [T] waveforms; by default made ones of several lengths.
        frame_classifier: as there.
    """
    generator = np.random.default_rng(0)
    waveform, waveform_lengths = _pad(clips or made_clips(generator), np.float32)
    rows = [generator.integers(1, num_symbols + 1, length) for length in TEXT_LENGTHS]
    phonemes, phoneme_lengths = _pad(rows, np.int32)
    with tf.device("CPU:0"), _full_precision():
        features, frame_lengths = log_mel(tf.constant(waveform), tf.constant(waveform_lengths))
        frames, audio = acoustic(features, frame_lengths, training=False)
        symbols, counts = tf.constant(phonemes), tf.constant(phoneme_lengths)
        embedded, keywords = text(symbols, counts, training=False)
        heard = _heard(acoustic, log_mel, frame_classifier, waveform, waveform_lengths)
    audio, keywords = _unit_length(audio), _unit_length(keywords)
    np.savez(
        path,
        **{
            "waveform": waveform,
            "waveform_lengths": waveform_lengths,
            "phonemes": phonemes,
            "phoneme_lengths": phoneme_lengths,
            "embed_audio.embedding": audio,
            "embed_audio.frames": tf.cast(frames, tf.float32).numpy(),
            "embed_audio.frame_lengths": frame_lengths.numpy(),
            "embed_text.embedding": keywords,
            "embed_text.phonemes": tf.cast(embedded, tf.float32).numpy(),
            "score.scores": audio @ keywords.T,
            **heard,
        },
    )


def _heard(acoustic, log_mel, frame_classifier, waveform, lengths) -> dict[str, np.ndarray]:
    """Inputs and outputs of `listen`: spans of the middle and of all of each clip."""
    raw = type(log_mel).from_config(log_mel.get_config() | {"mean_normalise": False})
    features, _ = raw(waveform, np.full(len(waveform), waveform.shape[1], np.int32))
    normalised, counts = log_mel(waveform, lengths)
    counts = counts.numpy()
    recordings = np.repeat(np.arange(len(counts), dtype=np.int32), 2)
    starts = np.stack([counts // 3, 0 * counts], axis=1).ravel()
    frames = np.stack([np.maximum(counts // 2, 1), counts], axis=1).ravel()
    hidden, utterance = acoustic(
        normalised, counts, training=False, spans=Spans(recordings, starts, frames)
    )
    heard = {
        "log_mel": features.numpy(),
        "listen_lengths": counts,
        "listen_recordings": recordings,
        "listen_starts": starts.astype(np.int32),
        "listen_frames": frames.astype(np.int32),
        "listen.embedding": _unit_length(utterance),
    }
    if frame_classifier is not None:
        hidden, _ = acoustic(normalised, counts, training=False)
        heard["listen.phones"] = tf.nn.log_softmax(frame_classifier(hidden)).numpy()
    return heard


def made_clips(generator: np.random.Generator) -> list[np.ndarray]:
    """Tones that wander over a little noise, one clip shorter than a window of the front end.

    Args:
        generator: source of chance.

    Returns:
        float32 arrays of `CLIP_SAMPLES` samples.
    """
    clips = []
    for samples in CLIP_SAMPLES:
        time = np.arange(samples) / 16000.0
        pitch_hz, sweep_hz, wobble_hz = generator.uniform([100, 300, 2], [300, 2500, 8])
        clip = 0.2 * np.sin(2 * np.pi * pitch_hz * time)
        clip += 0.1 * np.sin(2 * np.pi * sweep_hz * time * (1 + 0.5 * time))
        clip *= 1 + np.sin(2 * np.pi * wobble_hz * time)
        clips.append((clip + 0.01 * generator.standard_normal(samples)).astype(np.float32))
    return clips


def verify(folder: str | Path, *, tolerance: float = TOLERANCE) -> float:
    """Run an export folder's files in a fresh process that imports TensorFlow alone, and compare.

    Args:
        folder: an export folder with its `reference.npz`.
        tolerance: largest difference allowed, relative to the largest reference value where that
            is above 1.

    Returns:
        The largest difference over all outputs, in a batch and one by one.

    Raises:
        DataError: the files do not load or run.
        NumericError: an output differs by more than the tolerance.
    """
    folder = Path(folder).resolve()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(
            f"The export in {folder} does not run in a fresh process. Expected: it loads with "
            f"TensorFlow alone. Received: {last} Export again; if it stays, report it."
        )
    result = json.loads(done.stdout.splitlines()[-1])
    if result["strangers"]:
        raise DataError(
            f"The export in {folder} needs more than TensorFlow. Expected: no other package. "
            f"Received: {', '.join(result['strangers'])} came along."
        )
    name, worst = max(result["differences"].items(), key=lambda item: item[1])
    if not worst <= tolerance:
        raise NumericError(
            f"The export in {folder} differs from the model in {name}. Expected: at most "
            f"{tolerance:g}. Received: {worst:.3g}. Do not use it."
        )
    return worst


def _pad(rows: Sequence[np.ndarray], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different lengths to one zero-padded array and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), lengths.max()), dtype)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded, lengths


def _unit_length(vectors: tf.Tensor) -> np.ndarray:
    vectors = tf.cast(vectors, tf.float32).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Switch grappler's bfloat16 rewriting off: a fresh process does not have it either."""
    name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})
