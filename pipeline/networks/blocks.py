"""The convolution block that every network here is built of, and the trunk that readers of digits share."""

import keras
from keras import layers

from pipeline.layers import activated

CHANNELS = 128
"""Of the trunk's features."""
TRUNK = "trunk"
"""How the names of the trunk's layers begin; they are the same in every strategy, so that weights can be passed on."""
STRIDE = 4
"""Pixels per row and column of the trunk's features."""


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


def trunk(images: keras.KerasTensor) -> keras.KerasTensor:
    """Normalized float (n, H, W, C) -> features (n, H / 4, W / 4, 128).

    The first two layers have stride 2: on a CPU the time goes into full-resolution layers.
    """
    x = block(images, 32, 5, strides=2, name=f"{TRUNK}1")
    x = block(x, 64, 3, strides=2, name=f"{TRUNK}2")
    x = block(x, CHANNELS, 3, name=f"{TRUNK}3")
    return block(x, CHANNELS, 3, name=f"{TRUNK}4")
