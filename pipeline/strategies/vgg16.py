"""VGG16 as a frozen base with a small head of one's own: transfer from ImageNet."""

from pathlib import Path
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

from pipeline.config.types import AugmentationOptions, Fraction, InputSize, Recipe, Switch, VGG16Layers, Weights
from pipeline.core.images import ImageSet
from pipeline.layers import FusedBatchNormalization
from pipeline.networks import pretrained
from pipeline.networks.features import Features, varying
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, optimizers
from pipeline.training.reader import softmax_reader

SUITES = ("cifar10",)
HIDDEN = 256


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    weights: Weights,
    input_size: InputSize,
    freeze_until: VGG16Layers,
    activation: Literal["relu", "sigmoid"] = "relu",
    dropout: Fraction = 0.5,
    batch_norm: Switch = False,
    recipe: Recipe,
    momentum: Fraction = 0.9,
    augmentation: AugmentationOptions,
) -> keras.Model:
    """Train on pictures (n, H, W, 3) with labels (n, 1) and return a classifier of them.

    The network's own preprocessing is part of the model; `normalizer` is not used. `features` is the folder that
    `stages.features` wrote for these settings; without it, every step passes through the frozen layers.

    Args:
        weights: `imagenet`, `none` (random), or `{file, sha256}`.
        input_size: height and width in pixels that pictures are scaled to; VGG16 takes 32 and more.
        freeze_until: `base.layers[:freeze_until]` do not train: 19 freezes all, 15 leaves block 5 to be trained.
        activation: of the hidden layer.
        dropout: before the last layer.
        batch_norm: normalize the features before the hidden layer, so that a learning rate suits weights of any scale.
        recipe: of gradient descent at a constant rate; 1e-4 is usual for weights of ImageNet.
        momentum: of gradient descent.
        augmentation: options of `pipeline.preprocessing.augmentation.Augmentation`; where one varies the pictures, no
            features can be kept.
    """
    kept = None
    if features is not None:
        kept = Features.load(features)
        kept.require(
            train,
            valid,
            weights=weights,
            input_size=input_size,
            freeze_until=freeze_until,
            augmentation=augmentation,
        )
        if kept.base.pretrained == "missing":
            pretrained.warn_missing("they were missing when the features were made")
    base = kept.base if kept else pretrained.base(keras.applications.VGG16, weights, size=input_size, seed=seed)
    return transfer(
        base,
        train,
        valid,
        kept=(kept.train, kept.valid) if kept and kept.train is not None else None,
        seed=seed,
        budget=budget,
        freeze_until=freeze_until,
        activation=activation,
        dropout=dropout,
        batch_norm=batch_norm,
        recipe=recipe,
        optimizer=optimizers.sgd(momentum),
        augment=Augmentation(**augmentation) if varying(augmentation) else None,
    )


def transfer(
    base: pretrained.Base,
    train: ImageSet,
    valid: ImageSet,
    *,
    kept: tuple[np.ndarray, np.ndarray] | None,
    seed: int,
    budget: float,
    freeze_until: int,
    activation: str,
    dropout: float,
    batch_norm: bool,
    recipe: Recipe,
    optimizer: optimizers.Optimizer,
    augment: loop.Augment | None = None,
) -> keras.Model:
    """Put a head on a network, keep its first layers as they are, and train the rest.

    Args:
        base: the network; any chain of layers.
        train: pictures uint8 (n, H, W, 3) with labels (n, 1).
        valid: likewise.
        kept: what the frozen layers make of both, float32 (n, h, w, c), or None: then every step asks them anew. The
            order of the pictures, the weights at the start and what is dropped are the same either way.
        seed: of the head's weights, the order and what is dropped.
        budget: scales the epochs of the recipe.
        freeze_until: as in `train`, like all that follow.
    """
    loop.report(pretrained=base.pretrained)

    def parts() -> tuple[keras.Model, keras.Model]:
        """The frozen part, and the trained part: float (n, h, w, c) -> logits (n, 1, classes)."""
        frozen, rest = pretrained.split(base.network(), freeze_until)
        shown = keras.Input(frozen.output_shape[1:], name="features")
        x = shown
        for layer in rest:
            x = layer(x)
        x = layers.Flatten()(x)
        if batch_norm:
            x = FusedBatchNormalization()(x)
        # With seeds of their own: the global ones depend on how many layers were built before.
        x = layers.Dense(HIDDEN, activation, kernel_initializer=keras.initializers.GlorotUniform(seed))(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        initializer = keras.initializers.GlorotUniform(seed + 1)
        logits = layers.Dense(train.classes, dtype="float32", kernel_initializer=initializer, name="logits")(x)
        return frozen, keras.Model(shown, ops.reshape(logits, (-1, 1, train.classes)), name="trained")

    def whole(frozen: keras.Model, trained: keras.Model) -> keras.Model:
        pictures = keras.Input(train.shape, dtype="uint8", name="pictures")
        return keras.Model(pictures, trained(frozen(base.prepared(pictures), training=False)), name="transfer")

    network = loop.fit(
        (lambda: whole(*parts())) if kept is None else (lambda: parts()[1]),
        train if kept is None else loop.Examples((kept[0],), train.labels),
        valid if kept is None else loop.Examples((kept[1],), valid.labels),
        recipe=recipe,
        budget=budget,
        seed=seed,
        optimizer=optimizer,
        augment=augment,
    )
    return softmax_reader(network if kept is None else whole(parts()[0], network))
