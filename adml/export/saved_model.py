"""Both encoders as SavedModels that need TensorFlow alone, checked before they get their name.

An export folder holds

    acoustic/      embed_audio(waveform, lengths), score(waveform, lengths, keywords), and for
                   running audio log_mel(waveform), listen(log_mel, lengths, spans)
    text/          embed_text(phonemes, lengths)
    reference.npz  inputs and the outputs the model gave here; `verify` feeds them again

There are two SavedModels because they are used apart: keywords are embedded once, where phonemes
are known, and a device that listens needs the acoustic one and those vectors only. So `score`
takes keyword embeddings and stands beside the acoustic encoder. The front end is in the graph: its
input is the waveform. `acoustic/assets/front_end.json` tells the front end's settings and
`text/assets/phonemes.txt` the symbols, id 1 on the first line; 0 is padding.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.errors import UsageError
from adml.export.listening import listening
from adml.export.verification import TOLERANCE, make_reference, verify
from adml.text.phonemes import SYMBOLS

__all__ = ["ACOUSTIC", "FRONT_END", "PHONEMES", "TEXT", "Exported", "export", "verify"]

ACOUSTIC = "acoustic"
TEXT = "text"
FRONT_END = "front_end.json"
PHONEMES = "phonemes.txt"
REFERENCE = "reference.npz"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """Where the exported files are, and how far their outputs are from the model's."""

    acoustic: Path
    text: Path
    reference: Path
    max_difference: float

    def to_dict(self) -> dict[str, str | float]:
        """Return the paths and the difference as plain values."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }


class ExportedAcoustic(tf.Module):
    """Waveform in, embeddings and scores out.

    The Keras objects are not tracked, only their variables: the file then carries no Keras metadata
    and loads without Keras.

    Args:
        encoder: callable (features [B, F, M], lengths [B], training=False) -> (frames [B, F, D],
            utterance [B, D]), with `variables`.
        log_mel: callable (waveform [B, T], lengths [B]) -> (features, frame lengths), with
            `settings`.
        front_end: file with the front end's settings, copied into the SavedModel.
        frame_classifier: callable (frames [B, F, D]) -> logits [B, F, V + 1], with `variables`;
            None where the model has none.
    """

    def __init__(
        self,
        encoder: Callable,
        log_mel: Callable,
        front_end: str,
        frame_classifier: Callable | None = None,
    ) -> None:
        super().__init__(name="acoustic")
        self.held = [*encoder.variables, *log_mel.variables]
        self.held += frame_classifier.variables if frame_classifier else []
        self.front_end = tf.saved_model.Asset(front_end)
        waveform = tf.TensorSpec([None, None], tf.float32, name="waveform")
        lengths = tf.TensorSpec([None], tf.int32, name="lengths")

        @tf.function(input_signature=[waveform, lengths])
        def embed_audio(waveform: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
            features, frame_lengths = log_mel(waveform, lengths)
            frames, utterance = encoder(features, frame_lengths, training=False)
            return {
                "embedding": unit_length(utterance),
                "frames": tf.cast(frames, tf.float32),
                "frame_lengths": frame_lengths,
            }

        @tf.function(
            input_signature=[
                waveform,
                lengths,
                tf.TensorSpec([None, None], tf.float32, name="keywords"),
            ]
        )
        def score(waveform: tf.Tensor, lengths: tf.Tensor, keywords: tf.Tensor) -> dict:
            embedding = embed_audio(waveform, lengths)["embedding"]
            return {"scores": tf.matmul(embedding, unit_length(keywords), transpose_b=True)}

        self.embed_audio, self.score = embed_audio, score
        self.log_mel, self.listen = listening(encoder, log_mel, frame_classifier)


class ExportedText(tf.Module):
    """Phonemes in, embeddings out; see `ExportedAcoustic`.

    Args:
        encoder: callable (phonemes [B, L], lengths [B], training=False) -> (phonemes [B, L, D],
            utterance [B, D]), with `variables`.
        phonemes: file with the symbols, copied into the SavedModel.
    """

    def __init__(self, encoder: Callable, phonemes: str) -> None:
        super().__init__(name="text")
        self.held = list(encoder.variables)
        self.phonemes = tf.saved_model.Asset(phonemes)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.int32, name="phonemes"),
                tf.TensorSpec([None], tf.int32, name="lengths"),
            ]
        )
        def embed_text(phonemes: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
            embedded, utterance = encoder(phonemes, lengths, training=False)
            return {"embedding": unit_length(utterance), "phonemes": tf.cast(embedded, tf.float32)}

        self.embed_text = embed_text


def unit_length(vectors: tf.Tensor) -> tf.Tensor:
    """Scale rows to unit length in float32, so that a dot product is a cosine.

    Args:
        vectors: [N, D].

    Returns:
        float32 [N, D].
    """
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)


def export(
    acoustic: Callable,
    text: Callable,
    log_mel: Callable,
    folder: str | Path,
    *,
    symbols: Sequence[str] = SYMBOLS,
    frame_classifier: Callable | None = None,
    clips: Sequence[np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Export both encoders, run the files in a fresh process, and only then name the folder.

    Args:
        acoustic: `AcousticEncoder` that has been called once.
        text: `TextEncoder` that has been called once.
        log_mel: `LogMel`, the front end the encoder was trained with.
        folder: new folder to write; its parents are made.
        symbols: phoneme symbols in the order of their ids; the first has id 1.
        frame_classifier: `FrameClassifier` of the frames, where the model has one.
        clips: float32 [T] waveforms for the check; by default made ones of several lengths.
        tolerance: largest difference between the exported file's outputs and the model's.

    Returns:
        The paths and the largest difference.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be written.
        DataError: the exported file does not run in a fresh process.
        NumericError: it differs by more than the tolerance. No folder is left in these two cases.
    """
    folder = Path(folder)
    with written_aside(folder) as aside:
        make_reference(
            aside / REFERENCE, acoustic, text, log_mel, len(symbols), clips, frame_classifier
        )
        _save(acoustic, text, log_mel, symbols, aside, frame_classifier)
        difference = verify(aside, tolerance=tolerance)
    logger.info("exported to %s, largest difference %.1e", folder, difference)
    return Exported(folder / ACOUSTIC, folder / TEXT, folder / REFERENCE, difference)


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to write in that gets its name at the end; where anything fails, none is left.

    Args:
        folder: where an export is to go.

    Raises:
        UsageError: it is there already, or cannot be written.
    """
    require_free(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        aside.mkdir(parents=True)
        yield aside
        aside.rename(folder)
    except OSError as error:
        raise UsageError(
            f"Cannot write the export folder {folder}: {error.strerror or error}. "
            "Expected: a folder that can be made. Choose another one."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def require_free(folder: Path) -> None:
    """Refuse a folder that holds something, so that no export is ever overwritten.

    Args:
        folder: where an export is to go.

    Raises:
        UsageError: it exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"The export folder {folder} exists. Expected: a new or empty folder. "
            "Choose another one, or move the old export away."
        )


def _save(
    acoustic: Callable,
    text: Callable,
    log_mel: Callable,
    symbols: Sequence[str],
    folder: Path,
    frame_classifier: Callable | None,
) -> None:
    """Write the two SavedModels with their assets."""
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        front_end, phonemes = Path(scratch, FRONT_END), Path(scratch, PHONEMES)
        front_end.write_text(json.dumps(log_mel.settings, indent=1) + "\n", encoding="utf-8")
        phonemes.write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
        listener = ExportedAcoustic(acoustic, log_mel, str(front_end), frame_classifier)
        names = ("embed_audio", "score", "log_mel", "listen")
        signatures = {name: getattr(listener, name) for name in names}
        tf.saved_model.save(listener, str(folder / ACOUSTIC), signatures=signatures)
        reader = ExportedText(text, str(phonemes))
        tf.saved_model.save(
            reader, str(folder / TEXT), signatures={"embed_text": reader.embed_text}
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the names of some hundred inputs that saving logs."""
    talkers = [logging.getLogger("absl"), tf.get_logger()]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)
