"""What a training makes small, and what it counts as read right."""

from typing import Any, Protocol

import keras
from keras import ops


class Objective(Protocol):
    """Compares what a network says with the truth, both as tensors of n rows."""

    def loss(self, truth: Any, said: Any) -> Any:
        """Float (n,) or (n, ...), averaged by the fit loop."""

    def right(self, truth: Any, said: Any) -> Any:
        """Bool (n,): which pictures count as read right; the epoch with the most on valid is kept."""


class CrossEntropy:
    """Of one softmax a slot: logits (n, slots, classes) against labels (n, slots).

    Args:
        smoothing: the share of a target spread evenly over all classes (Szegedy et al. 2016, section 7).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def loss(self, truth, said):
        classes = said.shape[-1]
        target = ops.one_hot(truth, classes) * (1 - self.smoothing) + self.smoothing / classes
        return keras.losses.categorical_crossentropy(target, said, from_logits=True)

    def right(self, truth, said):
        return every_slot(truth, said)


class BinaryCrossEntropy:
    """Of one sigmoid a class and slot: logits (n, slots, classes) against labels (n, slots) as ones among zeros.

    Accuracy is counted by groups, never by single outputs: with eleven classes, all zeros are 90.9 % of those right.
    """

    def loss(self, truth, said):
        return keras.losses.binary_crossentropy(ops.one_hot(truth, said.shape[-1]), said, from_logits=True)

    def right(self, truth, said):
        return every_slot(truth, said)


def every_slot(truth, logits):
    """Bool (n,): whether every slot has its highest logit at the true class."""
    read = ops.argmax(logits, axis=-1)
    return ops.all(ops.equal(ops.cast(truth, read.dtype), read), axis=-1)


def left_aligned(labels, blank: int):
    """Labels (n, slots) with the blanks moved behind the digits, int32; the tensor form of `readings.in_order`."""
    labels = ops.cast(labels, "int32")
    slots = labels.shape[1]
    # Unique keys: the sort need not be stable.
    order = ops.argsort(ops.cast(ops.equal(labels, blank), "int32") * slots + ops.arange(slots, dtype="int32"))
    return ops.take_along_axis(labels, order, axis=1)
