"""The acoustic encoder of a SavedModel as functions of the shapes that small runtimes want."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from adml.errors import UsageError


class Blocks(NamedTuple):
    """Sizes of what is heard at once, in frames of the front end.

    `frames` of a block; `ends` of spans told at once; `lengths` of the spans that end there.
    """

    frames: int
    ends: int
    lengths: tuple[int, ...]


class FixedEncoder(tf.Module):
    """For a runtime that is fast where shapes are fixed: one stream, blocks of one length.

    listen(log_mel [1, frames, M], lengths [1], ends [E]): embedding [E, lengths, D] of the spans of
    every length that end there, and phones [1, frames, V + 1] where the model tells them.
    embed(log_mel [1, F, M]): embedding [1, D] of all of it. Features are those of `log_mel`, not
    normalised. A span that would begin before the block begins with it, and is of no use.

    Args:
        acoustic: SavedModel with the signatures of `adml.export.saved_model`.
        blocks: the shapes.

    Raises:
        UsageError: the SavedModel is older than running audio.
    """

    def __init__(self, acoustic: str | Path, blocks: Blocks) -> None:
        super().__init__(name="fixed")
        self.loaded, hear, bins = _load(acoustic)

        @tf.function(
            input_signature=[
                tf.TensorSpec([1, blocks.frames, bins], tf.float32, name="log_mel"),
                tf.TensorSpec([1], tf.int32, name="lengths"),
                tf.TensorSpec([blocks.ends], tf.int32, name="ends"),
            ]
        )
        def listen(log_mel, lengths, ends) -> dict[str, tf.Tensor]:
            return hear(log_mel, lengths, ends, tf.constant(blocks.lengths, tf.int32))

        @tf.function(input_signature=[tf.TensorSpec([1, None, bins], tf.float32, name="log_mel")])
        def embed(log_mel) -> dict[str, tf.Tensor]:
            frames = tf.reshape(tf.shape(log_mel)[1], [1])
            return {"embedding": hear(log_mel, frames, frames, frames)["embedding"][0]}

        self.listen, self.embed = listen, embed


class FreeEncoder(tf.Module):
    """For a runtime that takes any shape: listen(log_mel [1, F, M], ends [E], frames [N]).

    It gives embedding [E, N, D] of the spans of all these lengths that end there, and phones
    [1, F, V + 1]; `ends` and `frames` of [F] make the embedding of all of it.

    Args, Raises: as for `FixedEncoder`.
    """

    def __init__(self, acoustic: str | Path) -> None:
        super().__init__(name="free")
        self.loaded, hear, bins = _load(acoustic)
        self.signature = [
            tf.TensorSpec([1, None, bins], tf.float32, name="log_mel"),
            tf.TensorSpec([None], tf.int32, name="ends"),
            tf.TensorSpec([None], tf.int32, name="frames"),
        ]

        @tf.function(input_signature=self.signature)
        def listen(log_mel, ends, frames) -> dict[str, tf.Tensor]:
            return hear(log_mel, tf.reshape(tf.shape(log_mel)[1], [1]), ends, frames)

        self.listen = listen


class FrontEnd(tf.Module):
    """log_mel(waveform [1, T]) of a SavedModel, for one stream."""

    def __init__(self, acoustic: str | Path) -> None:
        super().__init__(name="front_end")
        self.loaded, _, _ = _load(acoustic)
        made = self.loaded.signatures["log_mel"]

        @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="waveform")])
        def log_mel(waveform) -> dict[str, tf.Tensor]:
            return {"log_mel": made(waveform=waveform)["log_mel"]}

        self.log_mel = log_mel


def _load(acoustic: str | Path) -> tuple:
    """The SavedModel, its `listen` for spans by their ends, and the number of mel bins."""
    loaded = tf.saved_model.load(str(acoustic))
    if "listen" not in loaded.signatures:
        raise UsageError(
            f"The export in {acoustic} cannot hear running audio. Expected: signatures log_mel and "
            "listen. Export the run again with this version."
        )
    listen = loaded.signatures["listen"]

    def hear(log_mel, lengths, ends, frames) -> dict[str, tf.Tensor]:
        shape = tf.concat([tf.shape(ends), tf.shape(frames), [-1]], axis=0)
        longs = tf.tile(frames, tf.shape(ends))
        ends = tf.reshape(tf.repeat(tf.expand_dims(ends, 1), tf.shape(frames)[0], axis=1), [-1])
        starts = tf.maximum(ends - longs, 0)
        spans = {"recordings": tf.zeros_like(starts), "starts": starts, "frames": longs}
        heard = dict(listen(log_mel=log_mel, lengths=lengths, **spans))
        return heard | {"embedding": tf.reshape(heard["embedding"], shape)}

    return loaded, hear, listen.structured_input_signature[1]["log_mel"].shape[-1]
