"""One seed for every generator that initial values are drawn from."""

from __future__ import annotations

import random

import numpy as np
import tensorflow as tf


def set_seeds(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, so that layers made next have the same initial values.

    Not `keras.utils.set_random_seed`, whose own generator fails with Python 3.12: it asks for an
    integer between floats.

    Args:
        seed: 0 or more.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    tf.random.set_seed(seed)
