"""The gradient reversal of adversarial learning."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

__all__ = ["GradientReversal", "reverse_gradient"]


def reverse_gradient(x: tf.Tensor, strength: float | tf.Tensor) -> tf.Tensor:
    """Return `x` unchanged; its gradient is multiplied by -strength on the way back.

    Args:
        x: any floating tensor.
        strength: lambda_adv, a scalar (number, tensor or variable).

    Returns:
        `x`.

    Source:
        paper, Eq. 5: the encoders ascend what the modality classifier descends.
    """
    x = tf.convert_to_tensor(x)
    factor = -tf.cast(strength, x.dtype)

    @tf.custom_gradient
    def identity_with_reversed_gradient(value: tf.Tensor):
        return tf.identity(value), lambda upstream: factor * upstream

    return identity_with_reversed_gradient(x)


class GradientReversal(keras.layers.Layer):
    """`reverse_gradient` as a layer.

    Args:
        strength: lambda_adv >= 0; the paper's 0.1.
    """

    def __init__(self, strength: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if strength < 0:
            raise ValueError(
                f"GradientReversal: strength is out of range. Expected: a number >= 0. "
                f"Received: {strength}. The sign is reversed by the layer itself."
            )
        self.strength = strength

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pass `inputs` through; see `reverse_gradient`."""
        return reverse_gradient(inputs, self.strength)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "strength": self.strength}
