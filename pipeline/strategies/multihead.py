"""One convolutional trunk over the whole strip, and five softmax heads."""

from pathlib import Path

import keras
from keras import layers

from pipeline.config.types import DistortionOptions, Fraction, Recipe
from pipeline.core.images import BLANK, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import normalize
from pipeline.networks import blocks, trunks
from pipeline.preprocessing.augmentation import Recomposition
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
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
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
    blank_rate: Fraction,
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and return a reader of them.

    Args:
        features: folder of the trained strategy whose trunk this one begins with.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the heads.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for each cell on its own.
        blank_rate: how often a cell is emptied, in strips recomposed from each batch's cells.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = trunks.cells(normalize(strips, normalizer), SLOTS)
        x = layers.Dropout(dropout, seed=seed)(x)
        # Five dense heads at once: (n, slots, features) by (slots, features, classes), one kernel and bias a slot.
        heads = layers.EinsumDense("nsf,sfc->nsc", (SLOTS, len(STRIP_NAMES)), bias_axes="sc", dtype="float32")
        return keras.Model(strips, heads(x), name="multihead")

    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        augment=Recomposition(
            cell=Distortion(**distortion),
            slots=SLOTS,
            blank=BLANK,
            blank_rate=blank_rate,
        ),
    )
    return softmax_reader(network)
