"""Random variants of handwriting: how it is placed, slanted, bent and inked. Batches on tf.data, repeatable by seed."""

import math
from typing import Any

import tensorflow as tf

GRID = 7
"""Pixels between two points at which the elastic displacement is drawn; it is smooth between them."""


class Distortion:
    """Bend single-channel pictures of light ink as a hand might have: affine, elastic, and in the width of strokes.

    Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual document
    analysis", where a random displacement of every pixel is smoothed by a Gaussian. Here it is drawn on a coarse grid
    and interpolated by cubics, which is as smooth and takes a fraction of the time. Beyond the border there is no ink.

    Args:
        rotation_range: degrees, uniform within ± this; so is what follows.
        shear_range: degrees by which the vertical axis leans.
        shift_range: pixels, in x and y.
        zoom_range: a share below 1; the axes draw apart.
        elastic: standard deviation of the displacement, in pixels, at each point of the grid.
        stroke: half of the pictures are mixed with what has strokes one pixel wider or narrower all around; this is
            the largest share of that mixture, at most 1.
    """

    def __init__(
        self,
        *,
        rotation_range: float = 0.0,
        shear_range: float = 0.0,
        shift_range: float = 0.0,
        zoom_range: float = 0.0,
        elastic: float = 0.0,
        stroke: float = 0.0,
    ) -> None:
        self.rotation, self.shear = math.radians(rotation_range), math.radians(shear_range)
        self.shift, self.zoom, self.elastic, self.stroke = shift_range, zoom_range, elastic, stroke

    def __call__(self, images: tf.Tensor, targets: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Vary a batch.

        Args:
            images: uint8 (n, H, W, 1).
            targets: returned as they are: boxes among them are off by what moves a digit.
            seed: int (2,); the same seed gives the same variants.

        Returns:
            uint8 (n, H, W, 1) and the targets.
        """
        draws = tf.random.stateless_uniform((8, tf.shape(images)[0]), seed, -1.0, 1.0)
        x = tf.cast(images, tf.float32)
        if any((self.rotation, self.shear, self.shift, self.zoom, self.elastic)):
            x = _sampled(x, *self._places(images.shape, draws, seed))
        if self.stroke:
            share = tf.where(draws[6] < 0, 0.0, draws[7] * self.stroke)[:, None, None, None]
            wide, narrow = tf.nn.max_pool2d(x, 3, 1, "SAME"), -tf.nn.max_pool2d(-x, 3, 1, "SAME")
            x += tf.where(share > 0, (wide - x) * share, (x - narrow) * share)
        return tf.ensure_shape(tf.cast(tf.clip_by_value(x + 0.5, 0, 255), tf.uint8), images.shape), targets

    def _places(self, shape: tf.TensorShape, draws: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The places x and y in the old pictures, float (n, H, W), that the pixels of the new ones show."""
        height, width = shape[1:3]
        angle, lean = draws[0] * self.rotation, draws[1] * self.shear
        zoom_x, zoom_y = 1 + draws[2] * self.zoom, 1 + draws[3] * self.zoom
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        across = tf.range(width, dtype=tf.float32)[None, None] - middle_x
        down = tf.range(height, dtype=tf.float32)[None, :, None] - middle_y
        a, b = _each(tf.cos(angle) * zoom_x), _each(-tf.sin(angle + lean) * zoom_y)
        c, d = _each(tf.sin(angle) * zoom_x), _each(tf.cos(angle + lean) * zoom_y)
        x = a * across + b * down + middle_x + _each(draws[4] * self.shift)
        y = c * across + d * down + middle_y + _each(draws[5] * self.shift)
        if self.elastic:
            grid = (tf.shape(draws)[1], max(2, round(height / GRID)), max(2, round(width / GRID)), 2)
            field = tf.random.stateless_normal(grid, seed + 1, stddev=self.elastic)
            field = tf.image.resize(field, (height, width), method="bicubic")
            x, y = x + field[..., 0], y + field[..., 1]
        return x, y


def _each(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None]


def _sampled(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Bilinear interpolation of float (n, H, W, 1) at places (n, H, W); zero beyond the border."""
    n, (height, width) = tf.shape(images)[0], images.shape[1:3]
    # A frame of zeros lets the ink fade out at the border, and holds what lies beyond it.
    row = width + 3
    flat = tf.reshape(tf.pad(images[..., 0], ((0, 0), (1, 2), (1, 2))), (n, -1))
    x, y = tf.clip_by_value(x + 1, 0, width + 1), tf.clip_by_value(y + 1, 0, height + 1)
    left, top = tf.floor(x), tf.floor(y)
    right, low = tf.reshape(x - left, (n, -1)), tf.reshape(y - top, (n, -1))
    corner = tf.reshape(tf.cast(top, tf.int32) * row + tf.cast(left, tf.int32), (n, -1))

    def at(offset: int) -> tf.Tensor:
        return tf.gather(flat, corner + offset, axis=1, batch_dims=1)

    upper = at(0) * (1 - right) + at(1) * right
    lower = at(row) * (1 - right) + at(row + 1) * right
    return tf.reshape(upper * (1 - low) + lower * low, tf.shape(images))
