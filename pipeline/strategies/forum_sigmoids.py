"""The forum's network with 55 sigmoids and binary cross-entropy, literally: the baseline of `multilabel`."""

import keras
from keras import layers, ops

from pipeline.config.types import Recipe
from pipeline.core.images import SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import normalize
from pipeline.networks import forum
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, optimizers
from pipeline.training.objectives import BinaryCrossEntropy
from pipeline.training.reader import softmax_reader

SUITES = ("plain", "blanks", "jitter", "clutter")


def train(
    train: ImageSet, valid: ImageSet, *, normalizer: Normalizer, seed: int, budget: float, recipe: Recipe
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and return a reader of them.

    The sigmoids are read as in `multilabel`: a softmax over each group of eleven.

    Args:
        recipe: of Adadelta (Zeiler 2012) at a constant rate; the answer's is 1.0, for 8 epochs.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = forum.trunk(normalize(strips, normalizer), seed)
        logits = layers.Dense(SLOTS * len(STRIP_NAMES), dtype="float32", name="logits")(x)
        return keras.Model(strips, ops.reshape(logits, (-1, SLOTS, len(STRIP_NAMES))), name="forum_sigmoids")

    network = loop.fit(
        build,
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        optimizer=optimizers.adadelta,
        objective=BinaryCrossEntropy(),
    )
    return softmax_reader(network)
