"""LeNet-5 replicated over the strip: a space displacement network, read by dynamic programming."""

import keras
from keras import layers, ops

from pipeline.config.types import Count, Fraction, Mode, NonNegative, Positive
from pipeline.core.images import BLANK, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import StringPath, activated, normalize
from pipeline.layers.paths import log_sum_exp, string_scores
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.normalization import Statistics
from pipeline.training import loop
from pipeline.training.objectives import left_aligned
from pipeline.training.reader import sequence_reading

SUITES = ("plain", "blanks", "jitter", "clutter")
POSITIONAL = False


def train(
    train: ImageSet,
    valid: ImageSet,
    *,
    normalizer: Statistics,
    seed: int,
    budget: float,
    normalization: Mode,
    width: Count,
    gap: Count,
    epochs: Positive,
    batch: Count,
    learning_rate: Positive,
    weight_decay: NonNegative,
    dropout: Fraction,
    shift_range: NonNegative,
    shear_range: NonNegative,
) -> keras.Model:
    """Train on whole strings, strips (n, 28, 140, 1) with labels (n, 5), and return a reader of them.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", sections II, VI and
    VII; Matan, Burges, LeCun, Denker 1992, "Multi-digit recognition using a space displacement neural network". The
    criterion is the paper's discriminative forward one: the log of the sum over the paths with the right digits, less
    that over all paths.

    Args:
        normalization: the mode applied to the strip.
        width: how many times the channels of LeNet-5 (6, 16, 120, 84).
        gap: positions of 4 pixels from one digit to the next, at least.
        epochs: passes over the strips at budget 1.
        batch: strips a step.
        learning_rate: the peak of the one-cycle schedule.
        weight_decay: AdamW's.
        dropout: before the scores.
        shift_range: pixels the whole strip moves, in x and y.
        shear_range: degrees the whole strip is slanted.
    """

    def build() -> keras.Model:
        strips = keras.Input(STRIP_SHAPE, dtype="uint8", name="strips")
        # LeNet-5 sees 32×32 pixels: two more on each side of a digit.
        x = layers.ZeroPadding2D(2)(normalize(strips, normalizer, normalization))
        for channels in (6, 16):
            x = _convolution(x, width * channels)
            x = layers.AveragePooling2D(2)(x)
        x = _convolution(x, width * 120)
        x = layers.Conv2D(width * 84, 1, activation="tanh")(x)
        x = layers.Dropout(dropout, seed=seed)(x)
        scores = layers.Conv2D(len(STRIP_NAMES), 1, dtype="float32", name="scores")(x)
        return keras.Model(strips, ops.squeeze(scores, 1), name="sdnn")

    network = loop.fit(
        build,
        train,
        valid,
        epochs=epochs,
        batch=batch,
        budget=budget,
        seed=seed,
        optimizer=loop.adamw(learning_rate, weight_decay),
        objective=_DiscriminativeForward(gap),
        augment=Augmentation(
            width_shift_range=shift_range,
            height_shift_range=shift_range,
            shear_range=shear_range,
            fill_mode="constant",
        ),
    )
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    return sequence_reading(images, StringPath(SLOTS, gap, name="reading")(network(images)))


def _convolution(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 5, use_bias=False)(x)
    return activated(x, "tanh")


class _DiscriminativeForward:
    """log of the sum over all paths - log of the sum over the paths with the right digits (section VI.D)."""

    def __init__(self, gap: int) -> None:
        self.gap = gap

    def loss(self, truth, said):
        digits = left_aligned(truth, BLANK)
        count = ops.sum(ops.cast(ops.not_equal(digits, BLANK), "int32"), -1)
        string, everything = string_scores(said[..., :-1] - said[..., -1:], digits, SLOTS, self.gap)
        right = ops.sum(string * ops.one_hot(count, SLOTS + 1, dtype=string.dtype), -1)
        return log_sum_exp(everything) - right

    def right(self, truth, said):
        read = StringPath(SLOTS, self.gap)(said)["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(truth, BLANK)), -1)
