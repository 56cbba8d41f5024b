"""The convolution block that every network here is built of."""

import keras
from keras import layers

from pipeline.layers import activated


def block(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    *,
    strides: int = 1,
    padding: str = "same",
    pooled: bool = False,
    activation: str = "relu",
    name: str | None = None,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalization (Ioffe and Szegedy 2015), activation.

    Args:
        x: float (n, H, W, C).
        filters: channels of the result.
        kernel: side of the square kernel.
        strides: of the convolution, along both sides.
        padding: `same` or `valid`.
        pooled: take the maximum of every 2×2 window before the normalization.
        activation: by its Keras name.
        name: of the convolution; the batch normalization gets `_norm` behind it.
    """
    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False, name=name)(x)
    if pooled:
        x = layers.MaxPooling2D(2)(x)
    return activated(x, activation, name and f"{name}_norm")
