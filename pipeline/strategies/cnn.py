"""A plain convolutional network for 32×32 colour pictures, with batch normalization where it is asked for."""

from typing import Literal

import keras
from keras import layers, ops

from pipeline.config.types import AugmentationOptions, Count, Fraction, Recipe, Switch
from pipeline.core.images import ImageSet
from pipeline.layers import FusedBatchNormalization, normalize
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.objectives import CrossEntropy
from pipeline.training.reader import softmax_reader

SUITES = ("cifar10",)


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    augmentation: AugmentationOptions,
    batch_norm: Switch,
    batch_norm_place: Literal["before_activation", "after_activation"],
    batch_norm_dense: Switch,
    width: Count,
    recipe: Recipe,
    dropout: Fraction,
    label_smoothing: Fraction,
) -> keras.Model:
    """Train on pictures (n, H, W, C) with labels (n, 1) and return a classifier of them.

    Args:
        augmentation: options of `pipeline.preprocessing.augmentation.Augmentation` for the training pictures.
        batch_norm: normalize each channel over the batch (Ioffe and Szegedy 2015) at every convolution.
        batch_norm_place: the paper's, between a convolution and its activation, or behind the activation.
        batch_norm_dense: normalize the features before the dense layer as well.
        width: channels of the first block; the second and third have three and four times as many.
        recipe: of one-cycle training; a step takes `batch` pictures.
        dropout: before the last layer.
        label_smoothing: the share of a target spread over all classes.
    """

    def convolution(x: keras.KerasTensor, filters: int, pooled: bool = False) -> keras.KerasTensor:
        # A batch normalization that follows at once takes the bias away again.
        biased = not (batch_norm and batch_norm_place == "before_activation")
        x = layers.Conv2D(filters, 3, padding="same", use_bias=biased)(x)
        if pooled:
            x = layers.MaxPooling2D(2)(x)
        if batch_norm and batch_norm_place == "before_activation":
            x = FusedBatchNormalization()(x)
        x = layers.Activation("relu")(x)
        if batch_norm and batch_norm_place == "after_activation":
            x = FusedBatchNormalization()(x)
        return x

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        x = convolution(normalize(pictures, normalizer), width)
        for filters in (width, 3 * width, 4 * width):
            x = convolution(convolution(x, filters, pooled=True), filters)
        x = layers.GlobalMaxPooling2D()(x)
        if batch_norm_dense:
            x = FusedBatchNormalization()(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="cnn")

    network = loop.fit(
        build,
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=CrossEntropy(label_smoothing),
        augment=Augmentation(**augmentation),
    )
    return softmax_reader(network)
