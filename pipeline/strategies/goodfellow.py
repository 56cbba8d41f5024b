"""A deep convolutional trunk with one output for the number of digits and one for each digit."""

from pathlib import Path

import keras
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe
from pipeline.core.images import BLANK, DIGIT_NAMES, SLOTS, STRIP_SHAPE, ImageSet
from pipeline.layers import LengthAndDigits, activated, normalize
from pipeline.networks import blocks, trunks
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
from pipeline.training.objectives import left_aligned
from pipeline.training.reader import sequence_reader

SUITES = ("plain", "blanks", "jitter", "clutter")
POSITIONAL = False
CONTEXT = 64
"""Channels of the convolutions along the strip."""
MARKS = 16
"""Detectors whose running totals every column sees."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    hidden: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and return a reader of them.

    Goodfellow, Bulatov, Ibarz, Arnoud, Shet 2013, "Multi-digit number recognition from street view imagery using deep
    convolutional neural networks". The positions of the digits are not supervised.

    Args:
        features: folder of the trained strategy whose trunk this one begins with.
        hidden: units of the layer that all outputs read.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the outputs.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = trunks.columns(normalize(strips, normalizer), window=3)
        # Which digit is the second depends on what is to its left: running totals of what the columns detect give every
        # column the number of digits before it, and wide convolutions give it its surroundings.
        marks = layers.Dense(MARKS, activation="sigmoid")(x)
        totals = ops.cumsum(ops.cast(marks, "float32"), axis=1) / SLOTS
        x = layers.Concatenate()([x, totals])
        for dilation in (1, 3):
            x = layers.Conv1D(CONTEXT, 9, dilation_rate=dilation, padding="same", use_bias=False)(x)
            x = activated(x)
        x = layers.Dense(hidden, use_bias=False)(layers.Flatten()(x))
        x = activated(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        # 0 to 5, and more. No strip holds more, so training teaches only when not to say so.
        length = layers.Dense(SLOTS + 2, dtype="float32", name="length")(x)
        digits = layers.Dense(SLOTS * len(DIGIT_NAMES), dtype="float32", name="digits")(x)
        digits = ops.reshape(digits, (-1, SLOTS, len(DIGIT_NAMES)))
        return keras.Model(strips, {"length": length, "digits": digits}, name="goodfellow")

    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=_LengthAndDigits(),
        augment=Distortion(**distortion),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    logits = network(images)
    reading = LengthAndDigits(name="reading")(logits["length"], logits["digits"])
    # A difference of two sums of probabilities may be below zero by rounding.
    reading["probabilities"] = ops.relu(reading["probabilities"])
    return sequence_reader(images, reading)


class _LengthAndDigits:
    """-log P(length) - sum of log P(digit i) over the digits there are (section 4 of the paper)."""

    def loss(self, targets, outputs):
        ordered = left_aligned(targets, BLANK)
        used = ops.not_equal(ordered, BLANK)
        digits, there = ops.where(used, ordered, ops.zeros_like(ordered)), ops.cast(used, "float32")
        length = ops.sum(there, -1)
        loss = keras.losses.sparse_categorical_crossentropy(length, outputs["length"], from_logits=True)
        each = keras.losses.sparse_categorical_crossentropy(digits, outputs["digits"], from_logits=True)
        return loss + ops.sum(each * there, -1)

    def correct(self, targets, outputs):
        read = LengthAndDigits()(outputs["length"], outputs["digits"])["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(targets, BLANK)), -1)
