"""A small convolutional network on distorted single digits: the most accurate one here for its training time."""

import keras
from keras import layers, ops

from pipeline.config.types import DistortionOptions, Fraction, Recipe
from pipeline.core.images import ImageSet
from pipeline.layers import normalize
from pipeline.networks.blocks import block
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.reader import softmax_reader

SUITES = ("mnist",)


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on single digits (n, 28, 28, 1) with labels (n, 1) and return a reader of them.

    Four convolutions, three of them followed by pooling. Most of its accuracy comes from the distorted digits (Simard,
    Steinkraus, Platt 2003, "Best practices for convolutional neural networks applied to visual document analysis").

    Args:
        recipe: of one-cycle training; a step takes `batch` digits.
        dropout: before the last layer.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for every digit of a batch.
    """

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        x = block(normalize(pictures, normalizer), 32, 5, pooled=True)
        x = block(x, 64, 3, pooled=True)
        x = block(block(x, 128, 3), 128, 3, pooled=True)
        x = layers.Dropout(dropout, seed=seed)(layers.Flatten()(x))
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="convnet")

    network = loop.fit(build, train, valid, recipe=recipe, budget=budget, seed=seed, augment=Distortion(**distortion))
    return softmax_reader(network)
