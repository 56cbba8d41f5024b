"""The convolutional trunk that strategies for digits share, over a cell or over a whole strip."""

import keras
from keras import layers

CHANNELS = 128


def trunk(images: keras.KerasTensor) -> keras.KerasTensor:
    """Normalized float (n, H, W, C) -> features (n, H / 4, W / 4, 128).

    The first layer has stride 2: on a CPU the time goes into full-resolution layers.
    """
    x = _block(images, 32, 5, strides=2)
    x = _block(x, 64, 3)
    x = _block(x, 64, 3)
    x = layers.MaxPooling2D(2)(x)
    x = _block(x, CHANNELS, 3)
    return _block(x, CHANNELS, 3)


def _block(x: keras.KerasTensor, filters: int, kernel: int, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.Activation("relu")(x)
