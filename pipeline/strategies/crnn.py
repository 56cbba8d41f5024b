"""A convolutional recurrent network (CRNN, Shi, Bai, Yao 2015) over a line of writing."""

from pathlib import Path

import keras
from keras import layers, ops

from pipeline.config.types import Count, Fraction, NonNegative, Positive, Recipe, Whole
from pipeline.core.images import ImageSet
from pipeline.core.lines import LINE_SHAPE, LINE_SLOTS
from pipeline.layers import BestPath, activated, normalize
from pipeline.networks import lines
from pipeline.networks.blocks import block
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
from pipeline.training.reader import sequence_reader

SUITES = ("lines", "cheques", "cheques_reviewed")
POSITIONAL = False
CHANNELS = 16
"""The numbers of channels are multiples of this, which is what the processor computes fast."""


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
    width: Positive,
    units: Count,
    recurrent: Whole,
    recipe: Recipe,
    dropout: Fraction,
) -> keras.Model:
    """Train on lines (n, 32, 224, 1) with labels (n, 10) and return a reader of them.

    Shi, Bai, Yao 2015, "An end-to-end trainable neural network for image-based sequence recognition", table 1: seven
    convolutions of 64 to 512 channels with pooling, then bidirectional LSTMs over the columns, trained by connectionist
    temporal classification. Every convolution is followed by batch normalization here, in the paper three are.

    Args:
        features: folder of a second data set, of composed lines.
        composed: share of the second data set among the lines of an epoch.
        original: share of the lines that were not recomposed among those of the first data set.
        distortion: strength of the augmentation; 0 is none, 1 the usual range.
        width: times the paper's channels.
        units: of an LSTM, each way; 256 in the paper.
        recurrent: bidirectional LSTMs, one on top of the other; 2 in the paper.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` lines.
        dropout: before the scores.
    """

    def channels(number: int) -> int:
        return max(1, round(number * width / CHANNELS)) * CHANNELS

    def build() -> keras.Model:
        images = keras.Input(LINE_SHAPE, dtype="uint8", name="lines")
        x = block(normalize(images, normalizer), channels(64), 3)
        x = block(layers.MaxPooling2D(2)(x), channels(128), 3)
        x = block(layers.MaxPooling2D(2)(x), channels(256), 3)
        x = block(x, channels(256), 3)
        x = block(layers.MaxPooling2D((2, 1))(x), channels(512), 3)
        x = block(x, channels(512), 3)
        x = layers.MaxPooling2D((2, 1))(x)
        x = activated(layers.Conv2D(channels(512), 2, use_bias=False)(x))
        x = ops.squeeze(x, 1)
        for _ in range(recurrent):
            x = layers.Bidirectional(layers.LSTM(units, return_sequences=True, unroll=False))(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        logits = layers.Dense(lines.SCORES, dtype="float32", name="logits")(x)
        return keras.Model(images, logits, name="crnn")

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
