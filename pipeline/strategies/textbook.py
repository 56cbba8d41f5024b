"""The convolutional network of Keras's MNIST example, with the learning rate that it was written for."""

from typing import Literal

import keras
from keras import layers, ops

from pipeline.config.types import Fraction, Recipe
from pipeline.core.images import ImageSet
from pipeline.layers import normalize
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, optimizers
from pipeline.training.reader import softmax_reader

SUITES = ("mnist",)
POOLING = {"max": layers.MaxPooling2D, "avg": layers.AveragePooling2D}


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    pooling: Literal["max", "avg"],
    data_format: Literal["channels_last", "channels_first"],
    recipe: Recipe,
    dropout: Fraction,
    dense_dropout: Fraction,
) -> keras.Model:
    """Train on single digits (n, 28, 28, 1) with labels (n, 1) and return a reader of them.

    The network and its training are those of `mnist_cnn` in Keras's examples (Chollet et al. 2015); the optimizer is
    Adadelta (Zeiler 2012). Its default learning rate became 0.001 with TensorFlow 2, at which the network hardly
    learns: the example was written for 1.0.

    Args:
        pooling: `max` keeps the largest value of every 2×2 window, `avg` their mean.
        data_format: the order of feature maps between the layers, (n, H, W, C) or (n, C, H, W). Pictures are
            (n, H, W, C) either way, and the weights mean the same, so that they can be moved from one to the other.
        recipe: of Adadelta at a constant rate; the example makes 12 epochs.
        dropout: after pooling.
        dense_dropout: before the last layer.
    """

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        x = normalize(pictures, normalizer)
        if data_format == "channels_first":
            x = layers.Permute((3, 1, 2))(x)
        x = _convolution(x, 32, data_format, "conv1")
        x = _convolution(x, 64, data_format, "conv2")
        x = POOLING[pooling](2, data_format=data_format, name="pool")(x)
        x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
        # Flatten puts channels last whatever the format: the dense layer's weights do not depend on it.
        x = layers.Dense(128, activation="relu", name="dense")(layers.Flatten(data_format=data_format)(x))
        x = layers.Dropout(dense_dropout, seed=seed, name="dense_dropout")(x)
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="textbook")

    network = loop.fit(
        build,
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        optimizer=optimizers.adadelta,
    )
    return softmax_reader(network)


def _convolution(x: keras.KerasTensor, filters: int, data_format: str, name: str) -> keras.KerasTensor:
    """3×3, ReLU, on maps in either order.

    TensorFlow convolves (n, C, H, W) on a CPU only where oneDNN is on, which depends on processor and system; elsewhere
    "the Conv2D op currently only supports the NHWC tensor format". So the maps are turned around each convolution, as
    Keras does around pooling: a model saved here reads on any CPU. With oneDNN that is also the faster way.
    """
    convolution = layers.Conv2D(filters, 3, activation="relu", data_format="channels_last", name=name)
    if data_format == "channels_last":
        return convolution(x)
    return layers.Permute((3, 1, 2))(convolution(layers.Permute((2, 3, 1))(x)))
