"""A narrow residual network of nine layers behind a whitened first layer, for 32×32 colour pictures."""

import keras
import numpy as np
from keras import layers, ops

from pipeline.config.types import AugmentationOptions, Count, Fraction, PatchSide, Recipe, Switch
from pipeline.core.images import ImageSet
from pipeline.layers import normalize
from pipeline.networks.blocks import block
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.objectives import CrossEntropy
from pipeline.training.reader import softmax_reader

SUITES = ("cifar10",)
_FITTED_ON = 5000
"""Pictures that suffice for the covariance of patches: each has a thousand of them."""
_FLOOR = 5e-4
"""Added to the eigenvalues, as a share of the largest: the smallest are those of noise, which is not to be blown up."""


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    augmentation: AugmentationOptions,
    patch: PatchSide,
    width: Count,
    recipe: Recipe,
    dropout: Fraction,
    label_smoothing: Fraction,
    flip_average: Switch,
) -> keras.Model:
    """Train on pictures (n, H, W, C) with labels (n, 1) and return a classifier of them.

    Residual blocks are He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition"; this arrangement of
    nine layers is Page 2018, "How to train your ResNet"; the frozen first layer, which whitens patches, and reading a
    picture and its mirror image are those of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU".

    Args:
        augmentation: options of `pipeline.preprocessing.augmentation.Augmentation` for the training pictures.
        patch: pixels of a side of the patches that the first layer whitens.
        width: half the channels of the first stage; the second and third have four and eight times as many.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` pictures.
        dropout: before the last layer.
        label_smoothing: the share of a target spread over all classes.
        flip_average: read each picture and its mirror image, and take the mean of the logits.
    """
    weights = whitening(normalizer.apply(train.images[:_FITTED_ON]), patch)

    def build() -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        x = normalize(pictures, normalizer)
        whitened = layers.Conv2D(
            weights[0].shape[-1], patch, padding="same", activation="relu", trainable=False, name="whitened"
        )
        x = _residual(block(whitened(x), 2 * width, 3, pooled=True), 2 * width)
        x = block(x, 4 * width, 3, pooled=True)
        x = _residual(block(x, 8 * width, 3, pooled=True), 8 * width)
        x = layers.Dropout(dropout, seed=seed)(layers.GlobalMaxPooling2D()(x))
        logits = layers.Dense(train.classes, dtype="float32", name="logits")(x)
        whitened.set_weights(weights)
        return keras.Model(pictures, ops.reshape(logits, (-1, 1, train.classes)), name="resnet")

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
    return softmax_reader(_with_mirror_image(network) if flip_average else network)


def whitening(pictures: np.ndarray, patch: int) -> list[np.ndarray]:
    """The kernel and bias of a convolution whose outputs are uncorrelated and equally strong over these pictures.

    Args:
        pictures: float (n, H, W, C), normalized as the network sees them.
        patch: pixels of a side.

    Returns:
        float32 (patch, patch, C, 2 * patch * patch * C) and (2 * patch * patch * C,): the directions of the principal
        components, each divided by the standard deviation along it, and their negatives, since the ReLU behind them
        lets one sign through.
    """
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (patch, patch), axis=(1, 2))
    channels = pictures.shape[-1]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, patch * patch * channels).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    directions = vectors / np.sqrt(values + _FLOOR * values.max())
    kernel = np.concatenate([directions, -directions], axis=1)
    bias = -patches.mean(axis=0) @ kernel
    return [kernel.reshape(patch, patch, channels, -1).astype(np.float32), bias.astype(np.float32)]


def _residual(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    return layers.Add()([x, block(block(x, filters, 3), filters, 3)])


def _with_mirror_image(network: keras.Model) -> keras.Model:
    pictures = keras.Input(network.input_shape[1:], dtype="uint8", name="pictures")
    # Not `ops.flip`: ONNX has no operator that reverses an axis, but one that picks columns.
    columns = np.arange(pictures.shape[2])[::-1].copy()
    mirrored = ops.take(pictures, columns, axis=2)
    return keras.Model(pictures, (network(pictures) + network(mirrored)) / 2, name="both_ways")
