"""Automatic bfloat16 of the matrix products and convolutions in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

_OPTION = "auto_mixed_precision_onednn_bfloat16"
KINDS = ("none", "bfloat16")


@contextmanager
def autocast(kind: str) -> Iterator[None]:
    """Graphs first run inside compute their matrix products and convolutions in a lower precision.

    Variables, gradients' sums, exponentials and reductions stay float32; the products of the
    losses' cosines are lowered too, for the graph's rewriting knows no part of the model. It pays
    on processors with bfloat16 instructions (AVX512_BF16, AMX); on others it changes little.

    Args:
        kind: "none" or "bfloat16".

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown autocast. Expected: one of {KINDS}. Received: {kind!r}.")
    if kind == "none":
        yield
        return
    before = bool(tf.config.optimizer.get_experimental_options().get(_OPTION, False))
    tf.config.optimizer.set_experimental_options({_OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_OPTION: before})
