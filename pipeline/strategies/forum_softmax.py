"""The forum's network with five softmax heads on its flattened features, literally: the baseline of `multihead`."""

import keras
from keras import layers, ops

from pipeline.config.types import Recipe
from pipeline.core.images import SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import normalize
from pipeline.networks import forum
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, optimizers
from pipeline.training.reader import softmax_reader

SUITES = ("plain", "blanks", "jitter", "clutter")


def train(
    train: ImageSet, valid: ImageSet, *, normalizer: Normalizer, seed: int, budget: float, recipe: Recipe
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and return a reader of them.

    Args:
        recipe: of Adam (Kingma and Ba 2015) at a constant rate; its usual one is 0.001.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = forum.trunk(normalize(strips, normalizer), seed)
        heads = [layers.Dense(len(STRIP_NAMES), dtype="float32", name=f"head{slot}")(x) for slot in range(SLOTS)]
        return keras.Model(strips, ops.stack(heads, axis=1), name="forum_softmax")

    network = loop.fit(build, train, valid, recipe=recipe, budget=budget, seed=seed, optimizer=optimizers.adam)
    return softmax_reader(network)
