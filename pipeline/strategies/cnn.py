"""A plain convolutional network with batch normalization for 32×32 colour pictures."""

import keras
from keras import layers, ops

from pipeline import training
from pipeline.augmentation import Augmentation
from pipeline.images import ImageSet
from pipeline.layers import normalize
from pipeline.normalization import Statistics
from pipeline.objectives import CrossEntropy
from pipeline.params import Count, Fraction, Mode, NonNegative, Positive, Switch
from pipeline.readout import softmax_reading

SUITES = ("cifar10",)


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Statistics,
    seed: int,
    budget: float,
    normalization: Mode,
    width: Count,
    epochs: Positive,
    batch: Count,
    learning_rate: Positive,
    weight_decay: NonNegative,
    dropout: Fraction,
    label_smoothing: Fraction,
    horizontal_flip: Switch,
    shift_range: NonNegative,
) -> keras.Model:
    """Train on pictures (n, H, W, C) with labels (n, 1) and return a classifier of them.

    Args:
        normalization: the mode applied to the picture.
        width: channels of the first block; the second and third have three and four times as many.
        epochs: passes over the pictures at budget 1.
        batch: pictures a step.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: AdamW's.
        dropout: before the last layer.
        label_smoothing: the share of a target spread over all classes.
        horizontal_flip: mirror half of the training pictures.
        shift_range: pixels, in x and y.
    """

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        x = normalize(pictures, normalizer, normalization)
        x = _convolution(x, width, 3)
        for filters in (width, 3 * width, 4 * width):
            x = layers.MaxPooling2D(2)(_convolution(x, filters, 3, pooled=True))
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Activation("relu")(x)
            x = _convolution(x, filters, 3)
        x = layers.Dropout(dropout, seed=seed)(layers.GlobalMaxPooling2D()(x))
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="cnn")

    network = training.fit(
        build,
        train,
        valid,
        epochs=epochs,
        batch=batch,
        budget=budget,
        seed=seed,
        optimizer=training.adamw(learning_rate, weight_decay),
        objective=CrossEntropy(label_smoothing),
        augment=Augmentation(
            width_shift_range=shift_range,
            height_shift_range=shift_range,
            horizontal_flip=horizontal_flip,
            fill_mode="reflect",
        ),
    )
    return softmax_reading(network)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, pooled: bool = False) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
    if pooled:
        return x
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
