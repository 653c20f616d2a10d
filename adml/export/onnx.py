"""Both encoders as ONNX files, by tf2onnx."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.errors import UsageError
from adml.export.blocks import Blocks, FreeEncoder
from adml.export.fresh import BLOCK, CLIPS, RUNNING, Call, Speech

ACOUSTIC = "acoustic.onnx"
TEXT = "text.onnx"
OPSET = 17
REQUIRED = {"onnx": "onnx", "onnxruntime": "onnxruntime", "tf2onnx": "tf2onnx"}

OPENED = """
import onnxruntime

def opened(path, signature):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs)))
"""
"""How a file is opened by the runtime alone."""

EXAMPLE = {
    "#IMPORT": "import onnxruntime",
    "#OPEN": """\
samples = np.pad(samples, (0, max(0, len(model["taper"]) - len(samples))))  # a window at least
windows = np.lib.stride_tricks.sliding_window_view(samples, len(model["taper"]))[:: model["shift"]]
power = np.abs(np.fft.rfft(windows * model["taper"], model["fft_size"])) ** 2
log_mel = np.log(power @ np.array(model["mel"]) + model["floor"]).astype(np.float32)
encoder = onnxruntime.InferenceSession(folder / "acoustic.onnx")
names = [output.name for output in encoder.get_outputs()]""",
    "#HEAR": """\
    given = {"log_mel": log_mel[np.newaxis, first:now], "ends": ends - first, "frames": lengths}
    heard = dict(zip(names, encoder.run(names, given)))
    spans, phones = heard["embedding"], heard.get("phones", np.zeros((1, now, 0)))[0]""",
}
"""The parts of the example that know the runtime."""


def convert(
    source: Path, folder: Path, blocks: Blocks, precision: str, speech: Speech
) -> list[Call]:
    """Write acoustic.onnx, whose input is log-mel, and in float32 text.onnx.

    In float16 inputs and outputs stay float32. In int8 the ranges of the convolutions' inputs are
    those of speech; the few matrix products scale theirs as they come, since ranges set
    beforehand cost them most.

    Args:
        source: export folder with the SavedModels of the encoders.
        folder: where the files go.
        blocks: tells the lengths of spans.
        precision: "float32", "float16" or "int8".
        speech: what the files are run on.

    Returns:
        What the files are to be asked, and the functions that know the answers.

    Raises:
        UsageError: int8 without real speech.
    """
    if precision == "int8" and not speech.real:
        raise UsageError(
            "int8 in ONNX needs speech, by which the ranges of the convolutions are set. Expected: "
            "a set of clips. Received: none. Give one by --clips, or choose another precision."
        )
    encoder = FreeEncoder(source / "acoustic")
    lengths = np.array(blocks.lengths, np.int32)
    heard, running = (
        [{"log_mel": one.log_mel[np.newaxis], "ends": one.ends, "frames": lengths} for one in some]
        for some in (speech.stretches, speech.running)
    )
    clips = []
    for features in speech.features:
        whole = np.array([len(features)], np.int32)
        clips.append({"log_mel": features[np.newaxis], "ends": whole, "frames": whole})
    calls = [
        Call(BLOCK, ACOUSTIC, "listen", heard, encoder.listen, encoder),
        Call(RUNNING, ACOUSTIC, "listen", running, encoder.listen, encoder),
        Call(CLIPS, ACOUSTIC, "listen", clips, encoder.listen, encoder),
    ]
    _write(encoder, folder / ACOUSTIC, precision, heard)
    if precision == "float32":
        calls.append(_write_text(source / "text", folder / TEXT))
    return calls


def _write(encoder: FreeEncoder, path: Path, precision: str, heard: list[dict]) -> None:
    import onnx

    model = _converted(encoder.listen, encoder.signature)
    if precision == "float16":
        model = _halved(model)
    onnx.save(model, path)
    if precision == "int8":
        _quantise(path, heard)


def _halved(model):
    """The model in float16, without the casts that are made again for each use of a constant."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(model, keep_io_types=True)
    made: set[str] = set()
    for node in list(model.graph.node):
        if made.issuperset(node.output):
            model.graph.node.remove(node)
        made.update(node.output)
    return model


def _write_text(text: Path, path: Path) -> Call:
    """Write embed_text(phonemes [1, L]) of one keyword."""
    import onnx

    loaded = tf.saved_model.load(str(text))
    reader = loaded.signatures["embed_text"]
    signature = [tf.TensorSpec([1, None], tf.int32, name="phonemes")]

    @tf.function(input_signature=signature)
    def embed_text(phonemes) -> dict[str, tf.Tensor]:
        lengths = tf.reshape(tf.shape(phonemes)[1], [1])
        return {"embedding": reader(phonemes=phonemes, lengths=lengths)["embedding"]}

    onnx.save(_converted(embed_text, signature), path)
    rows = [np.arange(1, count + 1, dtype=np.int32)[np.newaxis] for count in (1, 5, 17)]
    asked = [{"phonemes": row} for row in rows]
    return Call("text", path.name, "embed_text", asked, embed_text, loaded)


def _converted(function, signature: list):
    """The function as an ONNX model whose outputs have the names of its results."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for node in model.graph.node:
        if node.op_type == "Conv":
            _pad_in_numbers(node)
    return model


def _pad_in_numbers(node) -> None:
    """Say by how many frames a convolution pads: ONNX Runtime refuses "same" where it dilates."""
    from onnx.helper import make_attribute

    given = {attribute.name: attribute for attribute in node.attribute}
    if "auto_pad" not in given or not given["auto_pad"].s.startswith(b"SAME"):
        return
    kernel = given["kernel_shape"].ints
    dilations = given["dilations"].ints if "dilations" in given else [1] * len(kernel)
    total = [(size - 1) * dilation for size, dilation in zip(kernel, dilations, strict=True)]
    for name in {"auto_pad", "pads"} & set(given):
        node.attribute.remove(given[name])
    padded = [size // 2 for size in total] + [size - size // 2 for size in total]
    node.attribute.append(make_attribute("pads", padded))


def _quantise(path: Path, speech: Sequence[dict[str, np.ndarray]]) -> None:
    """Quantise a file in its place, but for the first convolution.

    That one hears the log-mel less its mean, which in a block of silence and a word goes far beyond
    its range in the running speech here, and would be cut off there.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        quantize_dynamic,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        """Speech, input by input."""

        def __init__(self) -> None:
            self.rest = iter(speech)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next input; None behind the last."""
            return next(self.rest, None)

    convolutions = [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory() as scratch:
        between = Path(scratch, "between.onnx")
        quantize_dynamic(path, between, op_types_to_quantize=["MatMul"], per_channel=True)
        quantize_static(
            between, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=["Conv"], nodes_to_exclude=convolutions[:1],
        )  # fmt: skip
