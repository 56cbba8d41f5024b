"""Statistics of a picture, as tensor operations that ONNX has: what a picture looks like, whatever it shows."""

from itertools import pairwise

import keras
import numpy as np
from keras import ops

LEVELS = (0.004, 0.1, 0.25, 0.5, 0.75, 0.9, 0.998)
"""Grey levels, 0 to 1; the first tells black from almost black, the last white from almost white."""
BORDER = 2
"""Rows and columns along each side that count as its border."""


def picture_statistics(images: keras.KerasTensor) -> keras.KerasTensor:
    """uint8 (n, H, W, C) -> float32 (n, k); k is 36 for grey pictures and 44 for colour.

    Of the mean over the channels, on the scale 0 to 1: mean, deviation and extremes; the share of pixels above each of
    `LEVELS`; differences of neighbours, first and second, along rows and columns; what grey dilation, erosion, closing
    and opening change (Serra 1982), which tells noise and the thickness of strokes; means along the four borders and
    extremes of the profiles of rows and columns; centre, spread and slant of the brightness. Of each colour also mean
    and deviation, and how far two colours are apart.
    """
    pictures = ops.cast(images, "float32") / 255
    grey = ops.mean(pictures, axis=-1, keepdims=True)
    columns = [
        *_levels(grey),
        *_differences(grey),
        *_morphology(grey),
        *_profiles(grey),
        *_moments(grey),
        *(_colours(pictures) if images.shape[-1] > 1 else []),
    ]
    return ops.stack(columns, axis=-1)


def _mean(values: keras.KerasTensor) -> keras.KerasTensor:
    return ops.mean(values, axis=(1, 2, 3))


def _deviation(values: keras.KerasTensor) -> keras.KerasTensor:
    centred = values - ops.mean(values, axis=(1, 2, 3), keepdims=True)
    return ops.sqrt(_mean(ops.square(centred)) + 1e-8)


def _levels(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    above = [_mean(ops.cast(grey > level, "float32")) for level in LEVELS]
    return [_mean(grey), _deviation(grey), ops.max(grey, axis=(1, 2, 3)), ops.min(grey, axis=(1, 2, 3)), *above]


def _differences(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    across, down = grey[:, :, 1:] - grey[:, :, :-1], grey[:, 1:] - grey[:, :-1]
    curved = (across[:, :, 1:] - across[:, :, :-1], down[:, 1:] - down[:, :-1])
    first = [_mean(ops.abs(each)) for each in (across, down, *curved)]
    return [*first, ops.sqrt(_mean(ops.square(across)) + 1e-8), ops.sqrt(_mean(ops.square(down)) + 1e-8)]


def _morphology(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    found = []
    for size in (3, 5):
        dilated, eroded = _dilated(grey, size), _eroded(grey, size)
        if size == 3:
            found += [_mean(dilated - grey), _mean(grey - eroded)]
        found += [_mean(_eroded(dilated, size) - grey), _mean(grey - _dilated(eroded, size))]
    return found


def _dilated(grey: keras.KerasTensor, size: int) -> keras.KerasTensor:
    return ops.max_pool(grey, size, strides=1, padding="same")


def _eroded(grey: keras.KerasTensor, size: int) -> keras.KerasTensor:
    return 1 - _dilated(1 - grey, size)


def _profiles(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    rows, columns = ops.mean(grey, axis=(2, 3)), ops.mean(grey, axis=(1, 3))
    borders = [rows[:, :BORDER], rows[:, -BORDER:], columns[:, :BORDER], columns[:, -BORDER:]]
    spread = [ops.sqrt(ops.var(profile, axis=-1) + 1e-8) for profile in (rows, columns)]
    return [*(ops.mean(border, axis=-1) for border in borders), ops.max(rows, -1), ops.max(columns, -1), *spread]


def _moments(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    height, width = grey.shape[1:3]
    y = np.linspace(-1, 1, height, dtype=np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    weights = ops.squeeze(grey / (ops.sum(grey, axis=(1, 2, 3), keepdims=True) + 1e-3), -1)
    by_row, by_column = ops.sum(weights, axis=2), ops.sum(weights, axis=1)
    middle_y, middle_x = ops.sum(by_row * y, -1), ops.sum(by_column * x, -1)
    spread_y = ops.sum(by_row * np.square(y), -1) - ops.square(middle_y)
    spread_x = ops.sum(by_column * np.square(x), -1) - ops.square(middle_x)
    slant = ops.sum(ops.matmul(weights, x[:, None])[..., 0] * y, -1) - middle_y * middle_x
    return [middle_y, middle_x, spread_y, spread_x, slant]


def _colours(pictures: keras.KerasTensor) -> list[keras.KerasTensor]:
    channels = [pictures[..., index : index + 1] for index in range(pictures.shape[-1])]
    apart = [ops.abs(one - other) for one, other in pairwise(channels)]
    return [*map(_mean, channels), *map(_deviation, channels), *map(_mean, apart)]
