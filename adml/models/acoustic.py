"""The acoustic encoder: ECAPA-TDNN without subsampling, with a frame and an utterance embedding."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from adml.layers.convolution import TimeConvolution
from adml.layers.layout import PackedFrames, PaddedFrames
from adml.layers.normalisation import MaskedBatchNorm
from adml.layers.pooling import ContextStatisticsPooling
from adml.layers.res2 import ConvolutionUnit, SERes2Block
from adml.layers.spans import Spans, cut_spans


class AcousticEncoder(keras.Model):
    """ECAPA-TDNN of 256 filters (paper, sections 3.2 and 4.1): 1,766,880 trainable parameters.

    Stem of 5 frames, three SE-Res2 blocks, aggregation of their outputs, a linear layer (the
    frame embeddings), channel- and context-dependent statistics pooling, batch normalisation and
    a dense layer (the utterance embedding). Padded frames take part in nothing.

    Args:
        mel_bins: Width M of the features.
        channels: Filters of the stem and blocks.
        embedding_dim: Width D of both outputs.
        dilations: Dilation of each block.
        scale: Channel groups of a block.
        bottleneck: Width of the squeeze-excitation and of the pooling's attention.
        fast: True: in training, packed frames (no work is spent on padding); in inference,
            rank-4 tensors and native dilated convolutions. False: Keras' Conv1D. The weights
            have the same names, shapes and order, the values are equal.
    """

    def __init__(self, mel_bins: int = 40, channels: int = 256, embedding_dim: int = 256, *,
                 dilations: tuple[int, ...] = (2, 3, 4), scale: int = 8, bottleneck: int = 128,
                 fast: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.mel_bins, self.channels, self.embedding_dim = mel_bins, channels, embedding_dim
        self.dilations, self.scale, self.bottleneck = tuple(dilations), scale, bottleneck
        self.fast = fast
        policy = self.dtype_policy
        self.stem = ConvolutionUnit(channels, 5, dtype=policy, name="stem")
        self.blocks = [SERes2Block(channels, dilation_rate=dilation, scale=scale,
                                   bottleneck=bottleneck, dtype=policy, name=f"block_{index}")
                       for index, dilation in enumerate(self.dilations)]
        self.aggregation = ConvolutionUnit(channels * len(self.dilations), dtype=policy,
                                           name="aggregation")
        self.frame_projection = TimeConvolution(embedding_dim, dtype=policy, name="frames")
        self.pooling = ContextStatisticsPooling(bottleneck, dtype=policy, name="pooling")
        self.pooled_norm = MaskedBatchNorm(dtype=policy, name="pooled_norm")
        self.utterance_projection = keras.layers.Dense(embedding_dim, dtype=policy,
                                                       name="utterance")

    def call(self, features: tf.Tensor, lengths: tf.Tensor,
             training: bool = False, spans: Spans | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes.

        Args:
            features: `[B, F, M]` log-mel features; what stands on padded frames is ignored.
            lengths: int `[B]` valid frames.
            training: Whether batch statistics are used.
            spans: S stretches of the recordings (not in the paper). The frames are made of the
                whole recordings; then each span is pooled alone, and stands for an utterance in
                what is returned: S in the place of B.

        Returns:
            Frame embeddings `[B, F, D]`, 0 on padding, and utterance embeddings `[B, D]`.
        """
        features = tf.cast(features, self.compute_dtype)
        if self.fast and training:
            return self._encode_packed(features, lengths, spans)
        hidden = tf.expand_dims(features, 1) if self.fast else features
        layout = PaddedFrames(lengths, hidden)
        hidden = tf.where(layout.valid > 0, hidden, tf.zeros([], hidden.dtype))
        frames, utterance, _ = self._encode(hidden, layout, training, spans)
        return (tf.squeeze(frames, 1) if self.fast else frames), utterance

    def pool(self, frames: tf.Tensor, spans: Spans) -> tf.Tensor:
        """Makes utterance embeddings of spans of frames that were made before; for inference.

        Args:
            frames: `[B, F, D]`, as `call` returns them.
            spans: S stretches of them.

        Returns:
            `[S, D]`, what `call` returns for these spans.
        """
        recordings, count = tf.shape(frames)[0], tf.shape(frames)[1]
        layout = PackedFrames(tf.fill([recordings], count), count)
        packed = tf.reshape(tf.cast(frames, self.compute_dtype), [-1, self.embedding_dim])
        pooled = self.pooled_norm(self.pooling(packed, layout, spans))
        return self.utterance_projection(pooled)

    def _encode_packed(self, features, lengths, spans) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes in training without spending work on padding."""
        layout = PackedFrames(lengths, tf.shape(features)[1])
        packed = layout.pack(features)
        frames, utterance, layout = self._encode(packed, layout, True, spans)
        return layout.unpack(frames), utterance

    def _encode(self, hidden, layout, training: bool, spans: Spans | None):
        """Returns frame embeddings, utterance embeddings and the layout of the first."""
        hidden = self.stem(hidden, layout, training=training)
        outputs = []
        for block in self.blocks:
            hidden = block(hidden, layout, training=training)
            outputs.append(hidden)
        hidden = self.aggregation(tf.concat(outputs, axis=-1), layout, training=training)
        frames = layout.masked(self.frame_projection(hidden, layout))
        if spans is not None:
            frames, layout = cut_spans(frames, layout, spans)
        pooled = self.pooled_norm(self.pooling(frames, layout), training=training)
        return frames, self.utterance_projection(pooled), layout

    def get_config(self) -> dict:
        """Returns the arguments that make an equal model."""
        return {"name": self.name, "mel_bins": self.mel_bins, "channels": self.channels,
                "embedding_dim": self.embedding_dim, "dilations": list(self.dilations),
                "scale": self.scale, "bottleneck": self.bottleneck, "fast": self.fast}
