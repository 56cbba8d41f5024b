"""Cut the strip into five cells and classify each with one single-digit network."""

from pathlib import Path

import keras
from keras import layers, ops

from pipeline.config.types import DistortionOptions, Fraction, Recipe
from pipeline.core.images import DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import normalize
from pipeline.networks import blocks
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.cells import with_blanks, with_cells_of
from pipeline.training.reader import softmax_reader

SUITES = ("plain", "blanks", "jitter", "clutter")


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    cut_out: Fraction = 0.0,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on single digits (n, 28, 28, 1) and return a reader of strips (n, 28, 140, 1).

    Args:
        features: folder of a second data set, of strips with training and valid split, whose cells join the digits.
        cut_out: share of those cells among the training pictures; they come in one pass.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` digits.
        dropout: before the last layer.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for every digit of a batch.
    """

    def build() -> keras.Model:
        cells = keras.Input((DIGIT, DIGIT, 1), dtype="uint8", name="cells")
        x = blocks.trunk(normalize(cells, normalizer))
        x = layers.Flatten()(layers.MaxPooling2D(2)(x))
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(len(STRIP_NAMES), dtype="float32", name="logits")(x)
        return keras.Model(cells, ops.reshape(logits, (-1, 1, len(STRIP_NAMES))), name="digit_net")

    seen, unseen = with_blanks(train), with_blanks(valid)
    if features is not None and cut_out:
        seen = with_cells_of(ImageSet.load(features / "train.npz"), seen, cut_out)
        unseen = with_cells_of(ImageSet.load(features / "valid.npz"), unseen, cut_out)
    digit = loop.fit(
        build,
        seen,
        unseen,
        recipe=recipe,
        budget=budget,
        seed=seed,
        augment=Distortion(**distortion),
    )
    return softmax_reader(_over_strips(digit))


def _over_strips(digit: keras.Model) -> keras.Model:
    strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
    cells = ops.transpose(ops.reshape(strips, (-1, DIGIT, SLOTS, DIGIT, 1)), (0, 2, 1, 3, 4))
    logits = digit(ops.reshape(cells, (-1, DIGIT, DIGIT, 1)))
    return keras.Model(strips, ops.reshape(logits, (-1, SLOTS, len(STRIP_NAMES))), name="slice")
