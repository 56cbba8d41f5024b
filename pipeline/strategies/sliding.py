"""The single-digit network made fully convolutional, slid over the strip; its scores aggregated into a reading."""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe
from pipeline.core.images import BLANK, DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import Peaks, normalize
from pipeline.networks import blocks, trunks
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
from pipeline.training.objectives import left_aligned
from pipeline.training.reader import sequence_reader

SUITES = ("plain", "blanks", "jitter", "clutter")
POSITIONAL = False
NEAR = 4
"""A window whose middle is within this many pixels of a digit's is supervised with the digit."""
FAR = 8
"""A window at least this far from every digit is supervised with blank; between the two it is not supervised."""
BOX_WEIGHT = 0.1
"""Of the boxes' loss, in pixels, against that of the classes."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    window: Count,
    reach: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and boxes (n, 5, 4), and return a reader of them.

    Every window, one for every 4 pixels, is one example: its class, and the box of its digit. All of a strip's windows
    share one pass of the convolutions.

    Args:
        features: folder of the trained strategy whose trunk this one begins with.
        window: columns of the trunk that one window sees.
        reach: windows on either side within which two peaks are one digit.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip. Boxes and the
            windows' classes stay as they are, so that only what moves digits by less than a pixel is of use.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = trunks.columns(normalize(strips, normalizer), window)
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(len(STRIP_NAMES), dtype="float32", name="logits")(x)
        offsets = layers.Dense(4, dtype="float32", name="offsets")(x)
        outputs = {"logits": logits, "offsets": layers.Rescaling(DIGIT / 2, dtype="float32")(offsets)}
        return keras.Model(strips, outputs, name="sliding")

    peaks = Peaks(SLOTS, reach, blocks.STRIDE, DIGIT, name="reading")
    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        loop.Examples((train.images,), {"labels": train.labels, "windows": windows(train)}),
        loop.Examples((valid.images,), {"labels": valid.labels, "windows": windows(valid)}),
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=_Windows(peaks),
        augment=Distortion(**distortion),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    outputs = network(images)
    return sequence_reader(images, peaks(outputs["logits"], outputs["offsets"]))


def windows(strips: ImageSet) -> np.ndarray:
    """The targets of every window of every strip.

    Returns:
        float32 (n, T, 6): 1 where the window is supervised, its class, and the sides of its digit's box in pixels
        from the window's middle.
    """
    n, width = len(strips), strips.shape[1]
    middle = blocks.STRIDE * (np.arange(width // blocks.STRIDE) + 0.5)
    centre = strips.boxes[..., [0, 2]].mean(axis=-1)
    distance = np.abs(middle[:, None] - centre[:, None, :])
    distance = np.where((strips.labels != BLANK)[:, None, :], distance, np.inf)
    nearest = distance.argmin(axis=-1)
    least = distance.min(axis=-1)
    rows = np.arange(n)[:, None]
    targets = np.zeros((n, len(middle), 6), np.float32)
    targets[..., 0] = (least <= NEAR) | (least >= FAR)
    targets[..., 1] = np.where(least <= NEAR, strips.labels[rows, nearest], BLANK)
    origin = np.stack([middle, np.full_like(middle, DIGIT / 2)] * 2, -1)
    targets[..., 2:] = np.where((least <= NEAR)[..., None], strips.boxes[rows, nearest] - origin, 0)
    return targets


class _Windows:
    """Cross-entropy of each window's class, and Huber's loss of the box where there is a digit (as Girshick 2015)."""

    def __init__(self, peaks: Peaks) -> None:
        self.peaks = peaks

    def loss(self, targets, outputs):
        windows = targets["windows"]
        supervised, classes, boxes = windows[..., 0], windows[..., 1], windows[..., 2:]
        digit = ops.cast(ops.not_equal(classes, BLANK), "float32")
        each = keras.losses.sparse_categorical_crossentropy(classes, outputs["logits"], from_logits=True)
        off = keras.losses.huber(boxes, outputs["offsets"]) * digit
        return ops.mean(each * supervised, -1) + BOX_WEIGHT * ops.mean(off, -1)

    def correct(self, targets, outputs):
        read = self.peaks(outputs["logits"], outputs["offsets"])["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(targets["labels"], BLANK)), -1)
