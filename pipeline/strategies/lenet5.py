"""LeNet-5 on single digits, at its published size."""

import keras
from keras import layers, ops

from pipeline.config.types import Recipe
from pipeline.core.images import ImageSet
from pipeline.layers import normalize
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, optimizers
from pipeline.training.reader import softmax_reader

SUITES = ("mnist",)


def train(
    train: ImageSet, valid: ImageSet, *, normalizer: Normalizer, seed: int, budget: float, recipe: Recipe
) -> keras.Model:
    """Train on single digits (n, 28, 28, 1) with labels (n, 1) and return a reader of them.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section II: the
    layers' sizes, the mean pooling and the hyperbolic tangents are the paper's. As is usual today, every map of the
    third layer sees every map of the second, pooling has no weights of its own, the output is a softmax in place of
    radial basis functions, and the optimizer is Adam in place of the paper's diagonal Levenberg-Marquardt.

    Args:
        recipe: of Adam (Kingma and Ba 2015) at a constant rate.
    """

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        # The paper's input has 32×32 pixels, of which a digit takes the middle.
        x = layers.ZeroPadding2D(2, name="padding")(normalize(pictures, normalizer))
        x = layers.Conv2D(6, 5, activation="tanh", name="c1")(x)
        x = layers.AveragePooling2D(2, name="s2")(x)
        x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
        x = layers.AveragePooling2D(2, name="s4")(x)
        x = layers.Conv2D(120, 5, activation="tanh", name="c5")(x)
        x = layers.Dense(84, activation="tanh", name="f6")(layers.Flatten()(x))
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="lenet5")

    network = loop.fit(build, train, valid, recipe=recipe, budget=budget, seed=seed, optimizer=optimizers.adam)
    return softmax_reader(network)
