"""A detector for lines of writing: a heat map of the digits' centres, and at each centre the class and the box."""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from pipeline.config.types import Count, Fraction, NonNegative, Recipe
from pipeline.core.images import BLANK, ImageSet
from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_SLOTS
from pipeline.layers import Peaks, normalize
from pipeline.networks import lines
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.reader import sequence_reader

SUITES = ("lines", "cheques", "cheques_reviewed")
POSITIONAL = False
STEPS = 2
"""Positions of the heat map for each column of the trunk."""
STRIDE = lines.STRIDE // STEPS
"""Pixels from one position to the next."""
SPREAD, NARROWEST, WIDEST = 0.12, 1.2, 3.0
"""Standard deviation of a digit's peak as a share of its width, and its bounds in pixels."""
NEAR = 0.4
"""Where the heat is above this, the class and the box are supervised."""
CLASS_WEIGHT, BOX_WEIGHT = 2.0, 0.05
"""Of the losses of class and box (in pixels) against that of the heat."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    composed: Fraction,
    original: Fraction,
    distortion: NonNegative,
    threshold: Fraction,
    reach: Count,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on lines (n, 32, 224, 1) with labels (n, 10) and boxes (n, 10, 4), and return a reader of them.

    Zhou, Wang, Krähenbühl 2019, "Objects as points", along one axis: the digits of a line have an order from left to
    right, so one heat map gives their places, and a softmax their classes. The map is trained with the penalty-reduced
    focal loss (equation 1 there, alpha 2, beta 4).

    Args:
        features: folder of a second data set, of composed lines.
        composed: share of the second data set among the lines of an epoch.
        original: share of the lines that were not recomposed among those of the first data set.
        distortion: strength of the augmentation; 0 is none, 1 the usual range.
        threshold: heat from which a peak is a digit.
        reach: positions, of 2 pixels, on either side within which two peaks are one digit.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` lines.
        dropout: before the scores.
    """

    def build() -> keras.Model:
        images = keras.Input(LINE_SHAPE, dtype="uint8", name="lines")
        x = lines.columns(normalize(images, normalizer))
        x = layers.Dropout(dropout, seed=seed)(x)
        length = LINE_SHAPE[1] // STRIDE

        def head(name: str, size: int) -> keras.KerasTensor:
            return ops.reshape(layers.Dense(STEPS * size, dtype="float32", name=name)(x), (-1, length, size))

        heat, classes, boxes = head("heat", 1), head("classes", BLANK), head("boxes", 4)
        # The log odds of each digit against blank: of the heat, shared out by the softmax of the classes.
        odds = heat - float(np.log(threshold / (1 - threshold))) + ops.log_softmax(classes)
        logits = ops.concatenate([odds, ops.zeros_like(heat)], axis=-1)
        outputs = {"heat": heat[..., 0], "classes": classes, "offsets": boxes * (LINE_HEIGHT / 2), "logits": logits}
        return keras.Model(images, outputs, name="centernet")

    peaks = Peaks(LINE_SLOTS, reach, STRIDE, LINE_HEIGHT, name="reading")
    train, valid = lines.splits(train, valid, features, composed=composed, original=original)
    network = loop.fit(
        build,
        loop.Examples((train.images,), {"labels": train.labels, "boxes": train.boxes}),
        loop.Examples((valid.images,), {"labels": valid.labels, "boxes": valid.boxes}),
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=_Centres(peaks),
        augment=lines.Distortion(distortion),
    )
    images = keras.Input(LINE_SHAPE, dtype="uint8", name="images")
    outputs = network(images)
    return sequence_reader(images, peaks(outputs["logits"], outputs["offsets"]))


class _Centres:
    """Focal loss of the heat, cross-entropy of the class and Huber's loss of the box where the heat is high."""

    def __init__(self, peaks: Peaks) -> None:
        self.peaks = peaks

    def loss(self, targets, outputs):
        labels, boxes = targets["labels"], ops.cast(targets["boxes"], "float32")
        digit = ops.cast(ops.not_equal(labels, BLANK), "float32")
        position = STRIDE * (np.arange(LINE_SHAPE[1] // STRIDE, dtype="float32") + 0.5)
        centre, width = (boxes[..., 0] + boxes[..., 2]) / 2, boxes[..., 2] - boxes[..., 0]
        spread = ops.clip(width * SPREAD, NARROWEST, WIDEST)[..., None]
        distance = position - centre[..., None]
        each = ops.exp(-ops.square(distance / spread) / 2) * digit[..., None]
        wanted, own = ops.max(each, axis=1), ops.argmax(each, axis=1)
        count = ops.maximum(ops.sum(digit, axis=1), 1.0)
        # The position nearest to a centre is its peak.
        peak = ops.max(ops.cast(ops.abs(distance) <= STRIDE / 2, "float32") * digit[..., None], axis=1)
        log_yes, log_no = ops.log_sigmoid(outputs["heat"]), ops.log_sigmoid(-outputs["heat"])
        found = ops.exp(log_yes)
        yes = peak * ops.square(1 - found) * log_yes
        no = (1 - peak) * (1 - wanted) ** 4 * ops.square(found) * log_no
        heat = -ops.sum(yes + no, axis=1) / count
        near = ops.where(wanted > NEAR, wanted, 0.0)
        weight = near / ops.maximum(ops.sum(near, axis=1, keepdims=True), 1.0)
        which = ops.minimum(ops.take_along_axis(ops.cast(labels, "int32"), own, axis=1), BLANK - 1)
        classes = keras.losses.sparse_categorical_crossentropy(which, outputs["classes"], from_logits=True)
        origin = np.stack([position, np.full_like(position, LINE_HEIGHT / 2)] * 2, axis=-1)
        box = ops.take_along_axis(boxes, ops.repeat(own[..., None], 4, axis=-1), axis=1) - origin
        off = keras.losses.huber(box, outputs["offsets"])
        # A line whose boxes are unknown, or not all of them, is not supervised.
        known = ops.cast(ops.all(ops.logical_or(width > 0, digit < 1), axis=1), "float32")
        return known * (heat + ops.sum((CLASS_WEIGHT * classes + BOX_WEIGHT * off) * weight, axis=1))

    def correct(self, targets, outputs):
        read = self.peaks(outputs["logits"], outputs["offsets"])["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), ops.cast(targets["labels"], "int32")), -1)
