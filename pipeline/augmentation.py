"""Random variants of training pictures, in batches on tf.data, repeatable by seed."""

import math
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """Ranges under the names of Keras's former ImageDataGenerator; 0 or False leaves a thing as it is.

    Attributes:
        rotation_range: degrees; angles are uniform within ± this.
        width_shift_range: fraction of the width if below 1, else whole pixels; uniform within ± this.
        height_shift_range: likewise, of the height.
        shear_range: degrees, uniform within ± this.
        zoom_range: one zoom for both axes, uniform in 1 ± this.
        horizontal_flip: mirror half of the pictures.
        fill_mode: what lies beyond the border: `constant` (zero), `nearest`, `reflect` or `wrap`.
    """

    rotation_range: float = 0.0
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    shear_range: float = 0.0
    zoom_range: float = 0.0
    horizontal_flip: bool = False
    fill_mode: str = "constant"

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vary a batch.

        Args:
            images: uint8 (n, H, W, C).
            labels: (n, slots), returned as they are.
            seed: int (2,); the same seed gives the same variants.

        Returns:
            uint8 (n, H, W, C), by bilinear interpolation, and the labels.
        """
        n = tf.shape(images)[0]
        height, width = images.shape[1], images.shape[2]
        draws = tf.random.stateless_uniform((6, n), seed, -1.0, 1.0)
        angle = draws[0] * math.radians(self.rotation_range)
        shear = draws[1] * math.radians(self.shear_range)
        zoom = 1 + draws[2] * self.zoom_range
        dx = _shift(draws[3], self.width_shift_range, width)
        dy = _shift(draws[4], self.height_shift_range, height)
        mirror = tf.sign(draws[5]) if self.horizontal_flip else tf.ones_like(angle)

        # Output (x, y) about the middle -> input: rotation, then shear along x, then zoom, then shift.
        a = mirror * tf.cos(angle) * zoom
        b = -tf.sin(angle + shear) * zoom
        c = mirror * tf.sin(angle) * zoom
        d = tf.cos(angle + shear) * zoom
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        offset_x = middle_x - a * middle_x - b * middle_y + dx
        offset_y = middle_y - c * middle_x - d * middle_y + dy
        zeros = tf.zeros_like(a)
        varied = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([a, b, offset_x, c, d, offset_y, zeros, zeros], axis=1),
            output_shape=[height, width],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=self.fill_mode.upper(),
        )
        return varied, labels


@dataclass(frozen=True)
class Recomposition:
    """New strips out of a batch of strips: every cell is varied, moved to some slot of some strip, or emptied.

    A strip set shows each head a fixed fifth of the digits; this shows every head all of them.

    Attributes:
        cell: varies the cells.
        slots: cells of a strip, side by side.
        blank: the label of an empty cell.
        blank_rate: the probability that a cell is emptied.
    """

    cell: Augmentation
    slots: int
    blank: int
    blank_rate: float

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """uint8 (n, H, slots * W, C) and (n, slots) -> the same shapes."""
        height, width, channels = images.shape[1:]
        side = width // self.slots
        cells = tf.transpose(tf.reshape(images, (-1, height, self.slots, side, channels)), (0, 2, 1, 3, 4))
        cells = tf.ensure_shape(tf.reshape(cells, (-1, height, side, channels)), (None, height, side, channels))
        cells, classes = self.cell(cells, tf.reshape(labels, (-1, 1)), seed)
        order = tf.argsort(tf.random.stateless_uniform((tf.shape(cells)[0],), seed + 1))
        cells, classes = tf.gather(cells, order), tf.gather(classes, order)
        kept = tf.random.stateless_uniform((tf.shape(cells)[0],), seed + 2) >= self.blank_rate
        cells *= tf.cast(kept, cells.dtype)[:, None, None, None]
        classes = tf.where(kept[:, None], classes, tf.cast(self.blank, classes.dtype))
        strips = tf.transpose(tf.reshape(cells, (-1, self.slots, height, side, channels)), (0, 2, 1, 3, 4))
        return tf.reshape(strips, (-1, height, width, channels)), tf.reshape(classes, (-1, self.slots))


def _shift(draws: tf.Tensor, extent: float, size: int) -> tf.Tensor:
    """Uniform draws in ±1 as shifts in pixels."""
    if extent < 1:
        return draws * extent * size
    # Whole pixels keep a picture as sharp as those that the model will read.
    return tf.clip_by_value(tf.floor((draws + 1) / 2 * (2 * extent + 1)) - extent, -extent, extent)
