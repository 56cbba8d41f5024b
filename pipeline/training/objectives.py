"""Objectives: the loss of a training, and what it counts as correct."""

from typing import Any, Protocol

import keras
from keras import ops

from pipeline.layers import StringPath
from pipeline.layers.paths import log_sum_exp, string_scores


class Objective(Protocol):
    """Compares the outputs of a network with targets, both tensors of n rows or structures of them."""

    def loss(self, targets: Any, outputs: Any) -> Any:
        """Float (n,) or (n, ...); the fit loop takes the mean."""

    def correct(self, targets: Any, outputs: Any) -> Any:
        """Bool (n,): which pictures are exact matches; a recipe may keep the epoch with the most on valid."""


class CrossEntropy:
    """Cross-entropy of one softmax per slot: logits (n, slots, classes) against labels (n, slots).

    Args:
        smoothing: the share of a target spread evenly over all classes (Szegedy et al. 2016, section 7).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def loss(self, targets, outputs):
        classes = outputs.shape[-1]
        target = ops.one_hot(targets, classes) * (1 - self.smoothing) + self.smoothing / classes
        return keras.losses.categorical_crossentropy(target, outputs, from_logits=True)

    def correct(self, targets, outputs):
        return every_slot(targets, outputs)


class BinaryCrossEntropy:
    """Cross-entropy of one sigmoid per class and slot: logits (n, slots, classes) against one-hot labels (n, slots).

    Accuracy is counted by slots, never by outputs: with eleven classes, all zeros make 90.9 % of the outputs correct.
    """

    def loss(self, targets, outputs):
        return keras.losses.binary_crossentropy(ops.one_hot(targets, outputs.shape[-1]), outputs, from_logits=True)

    def correct(self, targets, outputs):
        return every_slot(targets, outputs)


class DiscriminativeForward:
    """log of the sum over all paths - log of the sum over the paths with the correct digits.

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section VI.D:
    scores (n, T, classes), the last class blank, against labels (n, slots). It is normalized once for the whole string.

    Args:
        gap: positions from one digit to the next, at least.
    """

    def __init__(self, gap: int) -> None:
        self.gap = gap

    def loss(self, targets, outputs):
        blank, slots = outputs.shape[-1] - 1, targets.shape[-1]
        digits = left_aligned(targets, blank)
        count = ops.sum(ops.cast(ops.not_equal(digits, blank), "int32"), -1)
        string, everything = string_scores(outputs[..., :-1] - outputs[..., -1:], digits, slots, self.gap)
        correct = ops.sum(string * ops.one_hot(count, slots + 1, dtype=string.dtype), -1)
        return log_sum_exp(everything) - correct

    def correct(self, targets, outputs):
        blank, slots = outputs.shape[-1] - 1, targets.shape[-1]
        read = StringPath(slots, self.gap)(outputs)["classes"]
        return ops.all(ops.equal(ops.cast(read, "int32"), left_aligned(targets, blank)), -1)


def every_slot(targets, logits):
    """Bool (n,): whether every slot has its highest logit at the true class."""
    read = ops.argmax(logits, axis=-1)
    return ops.all(ops.equal(ops.cast(targets, read.dtype), read), axis=-1)


def left_aligned(labels, blank: int):
    """Labels (n, slots) with the blanks moved behind the digits, int32; the tensor form of `readings.in_order`."""
    labels = ops.cast(labels, "int32")
    slots = labels.shape[1]
    # Unique keys: the sort need not be stable.
    order = ops.argsort(ops.cast(ops.equal(labels, blank), "int32") * slots + ops.arange(slots, dtype="int32"))
    return ops.take_along_axis(labels, order, axis=1)
