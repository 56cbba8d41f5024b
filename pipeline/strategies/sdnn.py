"""A space displacement network: a digit network over the whole strip, read by dynamic programming."""

from pathlib import Path

import keras
from keras import layers

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe
from pipeline.core.images import SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import StringPath, normalize
from pipeline.networks import blocks, trunks
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
from pipeline.training.objectives import DiscriminativeForward
from pipeline.training.reader import sequence_reader

SUITES = ("plain", "blanks", "jitter", "clutter")
POSITIONAL = False


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    window: Count,
    gap: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on whole strings, strips (n, 28, 140, 1) with labels (n, 5), and return a reader of them.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", sections II, VI and
    VII; Matan, Burges, LeCun, Denker 1992, "Multi-digit recognition using a space displacement neural network". The
    criterion is the paper's discriminative forward one; the network is this project's. `sdnn_lenet5` has the paper's.

    Args:
        features: folder of the trained strategy whose trunk this one begins with.
        window: columns of the trunk that one position sees.
        gap: positions of 4 pixels from one digit to the next, at least.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = trunks.columns(normalize(strips, normalizer), window)
        x = layers.Dropout(dropout, seed=seed)(x)
        scores = layers.Dense(len(STRIP_NAMES), dtype="float32", name="scores")(x)
        return keras.Model(strips, scores, name="sdnn")

    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=DiscriminativeForward(gap),
        augment=Distortion(**distortion),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    return sequence_reader(images, StringPath(SLOTS, gap, name="reading")(network(images)))
