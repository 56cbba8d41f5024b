"""What strategies for strips put on the trunk: features of each slot, or of each column."""

import keras
from keras import layers, ops

from pipeline.layers import activated
from pipeline.networks.blocks import CHANNELS, trunk


def cells(images: keras.KerasTensor, slots: int) -> keras.KerasTensor:
    """Normalized float (n, H, W, C) -> (n, slots, 128): the features of each slot's own columns."""
    x = trunk(images)
    height, width, channels = x.shape[1:]
    x = ops.reshape(x, (-1, height, slots, width // slots, channels))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3, 4)), (-1, height, width // slots, channels))
    # One dense layer for all slots: the look of a digit does not depend on its slot.
    x = layers.Dense(CHANNELS, use_bias=False)(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    x = activated(x)
    return ops.reshape(x, (-1, slots, CHANNELS))


def columns(images: keras.KerasTensor, window: int) -> keras.KerasTensor:
    """Normalized float (n, H, W, C) -> (n, W / 4, 128): each column sees all rows and `window` columns of the trunk."""
    x = trunk(images)
    side = window // 2
    x = layers.ZeroPadding2D(((0, 0), (side, window - 1 - side)))(x)
    x = layers.Conv2D(CHANNELS, (x.shape[1], window), use_bias=False)(x)
    x = activated(x)
    return ops.squeeze(x, 1)
