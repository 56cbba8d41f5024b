"""Convolutional columns over the strip, read by connectionist temporal classification."""

from pathlib import Path

import keras
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe, Whole
from pipeline.core.images import BLANK, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import BestPath, normalize
from pipeline.networks import blocks, trunks
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import initial, loop
from pipeline.training.objectives import left_aligned
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
    features: Path | None = None,
    window: Count,
    recurrent: Whole,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on strips (n, 28, 140, 1) with labels (n, 5) and return a reader of them.

    Graves, Fernández, Gomez, Schmidhuber 2006, "Connectionist temporal classification". One column of scores for every
    4 pixels; the loss sums over all ways of writing the digits into the columns, so positions are not supervised.

    Args:
        features: folder of the trained strategy whose trunk this one begins with.
        window: columns of the trunk that one column of scores sees.
        recurrent: units of a bidirectional GRU between columns and scores, each way; 0 for none.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        x = trunks.columns(normalize(strips, normalizer), window)
        if recurrent:
            x = layers.Bidirectional(layers.GRU(recurrent, return_sequences=True, unroll=True))(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(len(STRIP_NAMES), dtype="float32", name="logits")(x)
        return keras.Model(strips, logits, name="ctc")

    network = loop.fit(
        initial.trained(build, features, blocks.TRUNK),
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=_Temporal(),
        augment=Distortion(**distortion),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    return sequence_reader(images, BestPath(SLOTS, name="reading")(network(images)))


class _Temporal:
    """-log of the sum over all paths that collapse to the digits; the strip's own blank class is the path's."""

    def loss(self, targets, outputs):
        digits = left_aligned(targets, BLANK)
        length = ops.sum(ops.cast(ops.not_equal(digits, BLANK), "int32"), -1)
        columns = ops.full_like(length, outputs.shape[1])
        return ops.ctc_loss(digits, outputs, length, columns, mask_index=BLANK)

    def correct(self, targets, outputs):
        read = BestPath(SLOTS)(ops.cast(outputs, "float32"))["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(targets, BLANK)), -1)
