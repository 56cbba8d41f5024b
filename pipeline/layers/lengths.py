"""From a distribution over lengths and one over each digit to the most probable whole number."""

import keras
import numpy as np
from keras import ops

from pipeline.layers.normalization import PACKAGE
from pipeline.layers.readout import best


@keras.saving.register_keras_serializable(PACKAGE)
class LengthAndDigits(keras.layers.Layer):
    """The reading of highest joint probability (Goodfellow et al. 2013, section 4).

    Logits of the length, (n, slots + 1), or (n, slots + 2) where the last one is that of more digits than slots; and of
    the digits (n, slots, 10), where digit i counts only if the length is more than i -> `probabilities`
    (n, slots, 11), `classes` (n, slots), `confidence` (n,).

    The length L is the one with the highest log P(L) + sum over i < L of max log P(digit i), the confidence is that
    joint probability, and the probability of a blank in slot i is that of a length of at most i. Where L is more than
    the slots, the digits are the first ones, and the confidence is 0.
    """

    def call(self, length, digits):
        slots, size = digits.shape[1], digits.shape[2]
        lengths, rows = ops.softmax(length), ops.softmax(digits)
        joint = ops.log_softmax(length)
        best_digits = ops.max(ops.log_softmax(digits), -1)
        # Row j of the triangle adds the digits before j.
        before = ops.convert_to_tensor(np.tril(np.ones((length.shape[1], slots), "float32"), -1))
        joint = joint + ops.matmul(best_digits, ops.transpose(before))
        count = best(joint)
        # P(length > i), from the other end of the distribution.
        longer = ops.matmul(lengths, before)[..., None]
        digit = best(rows)
        used = ops.arange(slots) < ops.cast(count, "int32")[:, None]
        return {
            "probabilities": ops.concatenate([longer * rows, 1 - longer], -1),
            "classes": ops.where(used, digit, ops.full_like(digit, size)),
            "confidence": ops.exp(ops.max(joint, -1)) * ops.cast(count <= slots, "float32"),
        }
