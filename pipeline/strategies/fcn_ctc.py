"""A fully convolutional network over a line of writing, read by connectionist temporal classification."""

from pathlib import Path

import keras
from keras import layers

from pipeline.config.types import Fraction, NonNegative, Recipe
from pipeline.core.images import ImageSet
from pipeline.core.lines import LINE_SHAPE, LINE_SLOTS
from pipeline.layers import BestPath, normalize
from pipeline.networks import lines
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.reader import sequence_reader

SUITES = ("lines", "cheques", "cheques_reviewed")
POSITIONAL = False


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Normalizer,
    seed: int,
    budget: float,
    features: Path | None = None,
    composed: Fraction,
    original: Fraction,
    distortion: NonNegative,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on lines (n, 32, 224, 1) with labels (n, 10) and return a reader of them.

    Graves, Fernández, Gomez, Schmidhuber 2006, "Connectionist temporal classification", without recurrent layers, as
    Xu et al. 2018 read such amounts. One column of scores for every 4 pixels.

    Args:
        features: folder of a second data set, of composed lines.
        composed: share of the second data set among the lines of an epoch.
        original: share of the lines that were not recomposed among those of the first data set.
        distortion: strength of the augmentation; 0 is none, 1 the usual range.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` lines.
        dropout: before the scores.
    """

    def build() -> keras.Model:
        images = keras.Input(LINE_SHAPE, dtype="uint8", name="lines")
        x = lines.columns(normalize(images, normalizer))
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(lines.SCORES, dtype="float32", name="logits")(x)
        return keras.Model(images, logits, name="fcn_ctc")

    train, valid = lines.splits(train, valid, features, composed=composed, original=original)
    network = loop.fit(
        build,
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=lines.Temporal(),
        augment=lines.Distortion(distortion),
    )
    images = keras.Input(LINE_SHAPE, dtype="uint8", name="images")
    return sequence_reader(images, BestPath(LINE_SLOTS, name="reading")(network(images)))
