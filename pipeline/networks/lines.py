"""What the strategies for lines share: their examples, the augmentation of ink, and the convolutional trunk."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet
from pipeline.core.lines import LINE_HEIGHT, LINE_SLOTS
from pipeline.layers import BestPath, activated
from pipeline.networks.blocks import block

STRIDE = 4
"""Pixels of a line per column of the trunk's features."""
CHANNELS = 256
MOST_COPIES = 50
"""How often a line appears in an epoch at most."""
PAIR_GAP = 8
"""Pixels between two lines in one picture."""
SCORES = len(STRIP_NAMES)
"""Classes of a column: ten digits, and blank."""


def splits(
    train: ImageSet, valid: ImageSet, features: Path | None, *, composed: float, original: float
) -> tuple[ImageSet, ImageSet]:
    """Put together what a strategy trains on and what chooses its epoch.

    Args:
        train: the training split. Its own lines come first; lines recomposed of their digits may follow.
        valid: the validation split.
        features: the folder of a second data set, of composed lines; None adds nothing.
        composed: share of the second data set among the lines of an epoch.
        original: share of the own lines among those of `train`. They are few, and repeated to reach it.

    Returns:
        Both splits, each of both data sets.
    """
    own = _originals(train)
    others = len(train) - own
    if own and others:
        times = min(MOST_COPIES, max(1, round(others * original / (1 - original) / own)))
        train = train.take(np.concatenate([np.tile(np.arange(own), times), np.arange(own, len(train))]))
    if features is None:
        return train, valid
    second, second_valid = (ImageSet.load(features / f"{split}.npz") for split in ("train", "valid"))
    wanted = round(len(train) * composed / (1 - composed))
    return _joined(train, second.take(np.arange(wanted) % len(second))), _joined(valid, second_valid)


def _originals(lines: ImageSet) -> int:
    """How many lines at the beginning were made of one picture each, another one for every line."""
    if lines.sources is None:
        return len(lines)
    seen: set[int] = set()
    for row, sources in enumerate(lines.sources):
        made_of = np.unique(sources[sources >= 0])
        if len(made_of) != 1 or int(made_of[0]) in seen:
            return row
        seen.add(int(made_of[0]))
    return len(lines)


def _joined(first: ImageSet, second: ImageSet) -> ImageSet:
    boxes = None
    if first.boxes is not None and second.boxes is not None:
        boxes = np.concatenate([first.boxes, second.boxes])
    return ImageSet(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.class_names,
        first.origin,
        boxes=boxes,
    )


class Distortion:
    """Random variants of lines of ink: other proportions, slants, strokes and strengths.

    A line is stretched, slanted, tilted and moved; its strokes become thicker or thinner by up to a pixel; its levels
    change by a power, and noise is added. What leaves the picture at the right is lost, which `LINE_WIDTH` leaves room
    for in all but the longest lines.

    Args:
        strength: 0 leaves lines as they are; 1 is the usual range.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, images: tf.Tensor, targets: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Put short lines side by side (`paired`), then distort.

        Args:
            images: uint8 (n, H, W, 1).
            targets: labels (n, slots), or a mapping with `labels` and `boxes` float32 (n, slots, 4) in pixels.
            seed: int (2,).

        Returns:
            Both, of at most n lines.
        """
        images, targets = paired(images, targets)
        if not self.strength:
            return images, targets
        shape = tf.shape(images)
        draws = tf.random.stateless_uniform((10, shape[0]), seed, -1.0, 1.0) * self.strength
        height, width = draws[0] * 0.15 - 0.03 * self.strength, draws[1] * 0.14
        slant, tilt, down, right = draws[2] * 0.3, draws[3] * 0.05, draws[4] * 2.5, (draws[5] + self.strength) * 2.0
        middle = (LINE_HEIGHT - 1) / 2
        zoom_y = 1 + height
        zoom_x = zoom_y * (1 + width)
        # From a place in the new picture to that in the old one: x' = a x + b y + c, y' = d x + e y + f.
        a, b = 1 / zoom_x, slant / zoom_x
        d, e = -tilt / zoom_y, 1 / zoom_y
        c = -(right / zoom_x) - b * (middle + down)
        f = middle - e * (middle + down)
        zero = tf.zeros_like(a)
        x = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(images, tf.float32),
            transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
            output_shape=shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        x = self._strokes(x, draws[6], draws[7])
        power, noise = _each(tf.exp(draws[8] * 0.4)), _each(tf.abs(draws[9]) * 8)
        x = 255 * tf.pow(tf.clip_by_value(x / 255, 1e-3, 1), power)
        x += noise * tf.random.stateless_normal(tf.shape(x), seed + 1)
        if isinstance(targets, dict) and "boxes" in targets:
            targets = {**targets, "boxes": _moved(targets["boxes"], a, b, c, d, e, f)}
        x = tf.ensure_shape(tf.round(tf.clip_by_value(x, 0, 255)), images.shape)
        return tf.cast(x, tf.uint8), targets

    def _strokes(self, x: tf.Tensor, which: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
        """Half of the lines keep their strokes; the others are dilated or eroded partly."""
        share = _each(tf.where(which < 0, 0.0, 0.6 * amount + 0.1 * self.strength))
        thick, thin = tf.nn.max_pool2d(x, 3, 1, "SAME"), -tf.nn.max_pool2d(-x, 3, 1, "SAME")
        return x + tf.where(share > 0, (thick - x) * share, (x - thin) * share)


def _each(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _moved(boxes: tf.Tensor, a, b, c, d, e, f) -> tf.Tensor:
    """Boxes in the new picture. Slants are undone at each box's middle, so that a box keeps its proportions."""
    a, b, c, d, e, f = (value[:, None] for value in (a, b, c, d, e, f))
    x, y = (boxes[..., 0] + boxes[..., 2]) / 2 - 0.5, (boxes[..., 1] + boxes[..., 3]) / 2 - 0.5
    determinant = a * e - b * d
    new_x = (e * (x - c) - b * (y - f)) / determinant + 0.5
    new_y = (a * (y - f) - d * (x - c)) / determinant + 0.5
    half_width, half_height = (boxes[..., 2] - boxes[..., 0]) / (2 * a), (boxes[..., 3] - boxes[..., 1]) / (2 * e)
    return tf.stack([new_x - half_width, new_y - half_height, new_x + half_width, new_y + half_height], axis=-1)


def paired(images: tf.Tensor, targets: Any) -> tuple[tf.Tensor, Any]:
    """Put two lines into one picture wherever both fit, so that a step does not compute empty paper.

    Lines of about the same width are paired. Where the two are too wide, or hold more digits together
    than a line has slots, each keeps a picture of its own.

    Args:
        images: uint8 (n, H, W, 1), ink at the left.
        targets: labels (n, slots), digits first; or a mapping of `labels` and `boxes`, float32 (n, slots, 4) in pixels.

    Returns:
        Both, of n / 2 to n lines.
    """
    boxed = isinstance(targets, dict)
    labels = tf.cast(targets["labels"] if boxed else targets, tf.int32)
    width, slots = images.shape[2], labels.shape[1]
    place = tf.range(1, width + 1)
    ends = tf.reduce_max(tf.where(tf.reduce_any(images[..., 0] > 0, axis=1), place, 0), axis=1) + PAIR_GAP
    counts = tf.reduce_sum(tf.cast(labels != BLANK, tf.int32), axis=1)
    order = tf.argsort(ends, stable=True)
    half = tf.size(order) // 2
    narrow, wide = order[: 2 * half : 2], order[1 : 2 * half : 2]
    shift, before = tf.gather(ends, wide), tf.gather(counts, wide)
    fits = (shift + tf.gather(ends, narrow) - PAIR_GAP <= width) & (before + tf.gather(counts, narrow) <= slots)
    first, second = tf.boolean_mask(wide, fits), tf.boolean_mask(narrow, fits)
    shift, before = tf.boolean_mask(shift, fits), tf.boolean_mask(before, fits)
    alone = tf.concat([tf.boolean_mask(wide, ~fits), tf.boolean_mask(narrow, ~fits), order[2 * half :]], 0)

    def behind(values: tf.Tensor, offset: tf.Tensor, axis: int, empty: int) -> tf.Tensor:
        """The values of the second line, moved along an axis."""
        index = tf.range(values.shape[axis]) - offset[:, None]
        moved = tf.gather(tf.gather(values, second), tf.maximum(index, 0), axis=axis, batch_dims=1)
        inside = tf.reshape(
            index >= 0, [-1, *(values.shape[axis] if d == axis else 1 for d in range(1, len(values.shape)))]
        )
        return tf.where(inside, moved, tf.cast(empty, values.dtype))

    def joined(values: tf.Tensor, offset: tf.Tensor, axis: int, empty: int, own: tf.Tensor) -> tf.Tensor:
        both = tf.where(own, tf.gather(values, first), behind(values, offset, axis, empty))
        return tf.concat([both, tf.gather(values, alone)], 0)

    is_first = tf.range(slots) < before[:, None]
    pictures = joined(images, shift, 2, 0, (place <= shift[:, None])[:, None, :, None])
    digits = joined(labels, before, 1, BLANK, is_first)
    if not boxed:
        return pictures, digits
    moved = targets["boxes"]
    right = tf.cast(shift, tf.float32)[:, None, None] * tf.constant([1.0, 0.0, 1.0, 0.0])
    both = tf.where(is_first[..., None], tf.gather(moved, first), behind(moved, before, 1, 0) + right)
    return pictures, {"labels": digits, "boxes": tf.concat([both, tf.gather(moved, alone)], 0)}


def columns(images: keras.KerasTensor) -> keras.KerasTensor:
    """Normalized float (n, 32, W, 1) -> (n, W / 4, 256); each column sees all rows and about 100 pixels of the width.

    The first layers are strided: on a CPU the time goes into full-resolution layers.
    """
    x = block(images, 32, 5, strides=2)
    x = block(x, 64, 3)
    x = block(x, 64, 3, strides=2)
    x = block(x, 128, 3)
    x = block(x, 128, 3)
    x = layers.MaxPooling2D((2, 1))(x)
    x = block(x, 192, 3)
    x = layers.ZeroPadding2D(((0, 0), (3, 3)))(x)
    x = layers.Conv2D(CHANNELS, (x.shape[1], 7), use_bias=False)(x)
    x = ops.squeeze(activated(x), 1)
    x = layers.Conv1D(CHANNELS, 5, padding="same", use_bias=False)(x)
    return activated(x)


class Temporal:
    """-log of the sum over all paths that collapse to the digits (Graves et al. 2006), and whether all are read.

    Labels int (n, slots) have the digits first; blank is the last class.
    """

    def loss(self, targets, outputs):
        digits = ops.cast(targets, "int32")
        length = ops.sum(ops.cast(ops.not_equal(digits, BLANK), "int32"), -1)
        columns = ops.full_like(length, outputs.shape[1])
        return ops.ctc_loss(digits, outputs, length, columns, mask_index=BLANK)

    def correct(self, targets, outputs):
        read = BestPath(LINE_SLOTS)(ops.cast(outputs, "float32"))["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), ops.cast(targets, "int32")), -1)
