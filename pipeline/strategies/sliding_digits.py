"""A network trained on single digits only, slid over the strip; the windows' scores averaged, and their peaks read."""

import keras
import numpy as np
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe, Whole
from pipeline.core.errors import ConfigurationError
from pipeline.core.images import DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import Peaks
from pipeline.networks.blocks import block
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.cells import with_blanks
from pipeline.training.reader import sequence_reader

SUITES = ("plain", "blanks", "jitter", "clutter")
POSITIONAL = False
STRIDE = 2
"""Pixels from one window to the next."""
MARGIN = DIGIT // 2 - STRIDE // 2
"""Pixels by which the first window begins left of the strip, so that its middle is at half of `STRIDE`."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    average: Whole,
    reach: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on single digits (n, 28, 28, 1) and return a reader of strips (n, 28, 140, 1).

    No strip is seen in training. The network has no padding, so that over a wider picture it computes what it would for
    each window of 28 columns (Sermanet et al. 2014, "OverFeat"): here for every second column, in two passes.

    Args:
        average: windows on either side over which the probabilities are averaged.
        reach: windows on either side within which two peaks are one digit.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` digits.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for every digit of a batch.

    Raises:
        ConfigurationError: the normalization is not the same for every pixel.
    """
    scale = _scale(normalizer)

    def build() -> keras.Model:
        pictures = keras.Input((DIGIT, None, 1), dtype="uint8", name="pictures")
        x = layers.Rescaling(scale, name="scale")(pictures)
        x = block(x, 32, 5, padding="valid", pooled=True)
        x = block(x, 64, 5, padding="valid", pooled=True)
        x = block(x, 128, 4, padding="valid")
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Conv2D(len(STRIP_NAMES), 1, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.squeeze(logits, 1), name="digit_net")

    digit = loop.fit(
        build,
        with_blanks(train),
        with_blanks(valid),
        recipe=recipe,
        budget=budget,
        seed=seed,
        augment=Distortion(**distortion),
    )
    strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    logits = averaged(windows(digit, strips), average)
    boxes = ops.zeros_like(logits[..., :4]) + np.array([-1, -1, 1, 1], np.float32) * (DIGIT / 2)
    return sequence_reader(strips, Peaks(SLOTS, reach, STRIDE, DIGIT, name="reading")(logits, boxes))


def _scale(normalizer: Normalizer) -> float:
    """What every pixel is multiplied by: a window's pixels have no place of their own in the wider picture."""
    steps = normalizer.steps((DIGIT, DIGIT, 1))
    if steps.samplewise_center or steps.featurewise_center or steps.zca_epsilon is not None:
        raise ConfigurationError("sliding_digits: normalization: expected rescale or none, the same for every pixel")
    return 1 / 255 if steps.rescale else 1.0


def windows(digit: keras.Model, strips: keras.KerasTensor) -> keras.KerasTensor:
    """The scores of a digit network for every window: uint8 (n, 28, 140, 1) -> float32 (n, 70, 11).

    The network's own windows are 4 pixels apart; a second pass, moved by 2, computes those between.
    """
    wide = ops.pad(strips, ((0, 0), (0, 0), (MARGIN, MARGIN), (0, 0)))
    width = STRIP_SHAPE[1] + 2 * MARGIN - STRIDE
    passes = [digit(wide[:, :, shift : shift + width]) for shift in (0, STRIDE)]
    return ops.reshape(ops.stack(passes, axis=2), (-1, 2 * passes[0].shape[1], len(STRIP_NAMES)))


def averaged(logits: keras.KerasTensor, reach: int) -> keras.KerasTensor:
    """Average the probabilities over neighbouring windows, and take what is left over for blank.

    A network of single digits was never shown half of one digit beside half of another, and calls that a digit, too:
    another one a few pixels further on. On the average over such windows, no digit is probable. So a window's
    probability of a digit is that of its most probable one.

    Args:
        logits: float (n, T, 11).
        reach: windows on either side.

    Returns:
        float32 (n, T, 11), logits again.
    """
    rows = ops.average_pool(ops.softmax(logits), 2 * reach + 1, strides=1, padding="same")
    digits = rows[..., :-1]
    ranked = ops.top_k(digits, digits.shape[-1])[0]
    most = ranked[..., :1]
    # Not one minus the most: near one, rounding would decide which of two windows is surer.
    rest = rows[..., -1:] + ops.sum(ranked[..., 1:], axis=-1, keepdims=True)
    share = digits / ops.maximum(ops.sum(digits, axis=-1, keepdims=True), keras.config.epsilon())
    return ops.log(ops.concatenate([most * share, rest], axis=-1) + keras.config.epsilon())
