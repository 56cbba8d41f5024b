"""LeNet-5 replicated over the strip at its published width: a space displacement network."""

import keras
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe
from pipeline.core.images import SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import StringPath, normalize
from pipeline.networks.blocks import block
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
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
    gap: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on whole strings, strips (n, 28, 140, 1) with labels (n, 5), and return a reader of them.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", sections II, VI and
    VII; Matan, Burges, LeCun, Denker 1992, "Multi-digit recognition using a space displacement neural network". The
    criterion is the paper's discriminative forward one. Batch normalization and the linear score of a blank are not.

    Args:
        gap: positions of 4 pixels from one digit to the next, at least.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        # LeNet-5 sees 32×32 pixels: two more on each side of a digit.
        x = layers.ZeroPadding2D(2)(normalize(strips, normalizer))
        for channels in (6, 16):
            x = block(x, channels, 5, padding="valid", activation="tanh")
            x = layers.AveragePooling2D(2)(x)
        x = block(x, 120, 5, padding="valid", activation="tanh")
        x = layers.Conv2D(84, 1, activation="tanh")(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        scores = layers.Conv2D(len(STRIP_NAMES), 1, dtype="float32", name="scores")(x)
        return keras.Model(strips, ops.squeeze(scores, 1), name="sdnn_lenet5")

    network = loop.fit(
        build,
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
