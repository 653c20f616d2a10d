"""The acoustic encoder as files of LiteRT, which was TensorFlow Lite."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.export.blocks import Blocks, FixedEncoder, FrontEnd
from adml.export.fresh import BLOCK, CLIPS, RUNNING, Call, Speech, Stretch

ACOUSTIC = "acoustic.tflite"
FRONT_END = "front_end.tflite"
REQUIRED = {"ai_edge_litert": "ai-edge-litert"}

OPENED = """
from ai_edge_litert.interpreter import Interpreter

def opened(path, signature):
    return Interpreter(path, num_threads=1).get_signature_runner(signature)
"""
"""How a file is opened by the runtime alone."""

EXAMPLE = {
    "#IMPORT": "from ai_edge_litert.interpreter import Interpreter",
    "#OPEN": """\
front_end = Interpreter(str(folder / "front_end.tflite")).get_signature_runner("log_mel")
encoder = Interpreter(str(folder / "acoustic.tflite"), num_threads=1).get_signature_runner("listen")
log_mel = front_end(waveform=samples[np.newaxis])["log_mel"][0]""",
    "#HEAR": """\
    block = np.resize(log_mel[first:now], [1, model["block"], log_mel.shape[1]])  # of fixed shape
    given = {"log_mel": block, "lengths": np.array([now - first], "i4")}
    calls = np.resize(ends - first, [-(-len(ends) // model["ends"]), model["ends"]])  # as well
    heard = [encoder(**given, ends=call) for call in calls]
    spans = np.concatenate([part["embedding"] for part in heard])[: len(ends)]
    phones = heard[0].get("phones", np.zeros((1, now, 0)))[0]""",
}
"""The parts of the example that know the runtime."""


def convert(
    source: Path, folder: Path, blocks: Blocks, precision: str, speech: Speech
) -> list[Call]:
    """Write acoustic.tflite (signatures listen and embed) and front_end.tflite (log_mel).

    Both signatures share their weights. int8 is of the weights; activations are scaled as they
    come, so no speech is needed: with ranges set beforehand the sums and squares of the pooling
    were coarse, and embeddings of a trained model turned by up to 50 degrees. The front end is
    float32 always: it is small, and its filters are the first to suffer.

    Args:
        source: export folder with the SavedModel of the encoder.
        folder: where the files go.
        blocks: shapes of `listen`.
        precision: "float32", "float16" or "int8".
        speech: what the files are run on.

    Returns:
        What the files are to be asked, and the functions that know the answers.
    """
    encoder, front_end = FixedEncoder(source / "acoustic", blocks), FrontEnd(source / "acoustic")
    signatures = {"listen": encoder.listen, "embed": encoder.embed}
    (folder / ACOUSTIC).write_bytes(_converted(encoder, signatures, precision))
    content = _converted(front_end, {"log_mel": front_end.log_mel}, "float32")
    (folder / FRONT_END).write_bytes(content)
    clips = [{"log_mel": features[np.newaxis]} for features in speech.features]
    waves = [{"waveform": clip[np.newaxis]} for clip in speech.clips]
    return [
        *(
            Call(name, ACOUSTIC, "listen", [_given(one, blocks) for one in heard],
                 encoder.listen, encoder)
            for name, heard in ((BLOCK, speech.stretches), (RUNNING, speech.running))
        ),
        Call(CLIPS, ACOUSTIC, "embed", clips, encoder.embed, encoder),
        Call("front end", FRONT_END, "log_mel", waves, front_end.log_mel, front_end),
    ]


def _given(stretch: Stretch, blocks: Blocks) -> dict[str, np.ndarray]:
    """What `listen` takes."""
    count = len(stretch.log_mel)
    padded = np.pad(stretch.log_mel, [(0, blocks.frames - count), (0, 0)])
    lengths = np.array([count], np.int32)
    return {"log_mel": padded[np.newaxis], "lengths": lengths, "ends": stretch.ends}


def _converted(module: tf.Module, signatures: dict, precision: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, scratch, signatures=signatures, options=options)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            scratch, signature_keys=list(signatures)
        )
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
