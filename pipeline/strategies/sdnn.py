"""LeNet-5 replicated over the strip: a space displacement network, read by dynamic programming."""

import keras
from keras import layers, ops

from pipeline.config.types import Count, DistortionOptions, Fraction, Recipe
from pipeline.core.images import BLANK, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import StringPath, normalize
from pipeline.layers.paths import log_sum_exp, string_scores
from pipeline.networks.blocks import block
from pipeline.preprocessing.distortion import Distortion
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop
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
    width: Count,
    gap: Count,
    recipe: Recipe,
    dropout: Fraction,
    distortion: DistortionOptions,
) -> keras.Model:
    """Train on whole strings, strips (n, 28, 140, 1) with labels (n, 5), and return a reader of them.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", sections II, VI and
    VII; Matan, Burges, LeCun, Denker 1992, "Multi-digit recognition using a space displacement neural network". The
    criterion is the paper's discriminative forward one: the log of the sum over the paths with the correct digits, less
    that over all paths.

    Args:
        width: how many times the channels of LeNet-5 (6, 16, 120, 84).
        gap: positions of 4 pixels from one digit to the next, at least.
        recipe: of AdamW under a one-cycle schedule; a step takes `batch` strips.
        dropout: before the scores.
        distortion: options of `pipeline.preprocessing.distortion.Distortion`, for the whole strip.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        # LeNet-5 sees 32×32 pixels: two more on each side of a digit.
        x = layers.ZeroPadding2D(2)(normalize(strips, normalizer))
        for channels in (6, 16):
            x = block(x, width * channels, 5, padding="valid", activation="tanh")
            x = layers.AveragePooling2D(2)(x)
        x = block(x, width * 120, 5, padding="valid", activation="tanh")
        x = layers.Conv2D(width * 84, 1, activation="tanh")(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        scores = layers.Conv2D(len(STRIP_NAMES), 1, dtype="float32", name="scores")(x)
        return keras.Model(strips, ops.squeeze(scores, 1), name="sdnn")

    network = loop.fit(
        build,
        train,
        valid,
        recipe=recipe,
        budget=budget,
        seed=seed,
        objective=_DiscriminativeForward(gap),
        augment=Distortion(**distortion),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    return sequence_reader(images, StringPath(SLOTS, gap, name="reading")(network(images)))


class _DiscriminativeForward:
    """log of the sum over all paths - log of the sum over the paths with the correct digits (section VI.D)."""

    def __init__(self, gap: int) -> None:
        self.gap = gap

    def loss(self, targets, outputs):
        digits = left_aligned(targets, BLANK)
        count = ops.sum(ops.cast(ops.not_equal(digits, BLANK), "int32"), -1)
        string, everything = string_scores(outputs[..., :-1] - outputs[..., -1:], digits, SLOTS, self.gap)
        correct = ops.sum(string * ops.one_hot(count, SLOTS + 1, dtype=string.dtype), -1)
        return log_sum_exp(everything) - correct

    def correct(self, targets, outputs):
        read = StringPath(SLOTS, self.gap)(outputs)["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(targets, BLANK)), -1)
