"""Evidence for a reading, from the outputs of the model that read it, as tensor operations that ONNX has."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

LEAST = 1e-7
"""What is added to a probability before its logarithm: below it float32 probabilities are rounding."""
RAW = 0
"""The column of the log odds of the model's own confidence."""
NEAR = 1e-6
"""How far a confidence may be from the product of the slots, to be taken for it."""


def reading_evidence(outputs: Mapping[str, keras.KerasTensor], blank: int | None) -> keras.KerasTensor:
    """The outputs of a model, by the names of the contract -> float32 (n, k); k depends on slots, classes and boxes.

    The log odds of the model's own confidence; the log odds of the classes read, least and mean over the slots; the
    margin to the next class and the entropy; the mean probability of each class. Where a class is blank: the number of
    digits, and the least log odds among digits and among blanks. With boxes: their mean sides, how these vary, and how
    near the middles of two come.

    Args:
        outputs: `probabilities` float32 (n, slots, classes), `classes` int32 (n, slots), `confidence` float32 (n,) and
            possibly `boxes` float32 (n, slots, 4) in pixels.
        blank: the class that is no digit, or None.
    """
    probabilities, classes, confidence = outputs["probabilities"], outputs["classes"], outputs["confidence"]
    slots, size = probabilities.shape[1:]
    chosen = ops.one_hot(classes, size, dtype="float32")
    # The others are added up: one minus a probability near one is rounding.
    others = ops.sum(probabilities * (1 - chosen), -1)
    odds = _log(ops.sum(probabilities * chosen, -1)) - _log(others)
    best = ops.top_k(probabilities, 2)[0]
    margin = _log(best[..., 0]) - _log(best[..., 1])
    entropy = -ops.sum(probabilities * _log(probabilities), -1)
    columns = [
        _log(confidence) - ops.log(_wrong(confidence, others) + 1e-4),
        ops.min(odds, -1),
        ops.mean(odds, -1),
        ops.min(margin, -1),
        ops.max(entropy, -1),
        ops.mean(entropy, -1),
    ]
    found = [ops.stack(columns, -1), ops.mean(probabilities, 1)]
    if blank is not None and slots > 1:
        found.append(_of_blanks(odds, ops.cast(ops.equal(classes, blank), "float32")))
    if "boxes" in outputs:
        found.append(_of_boxes(outputs["boxes"]))
    return ops.concatenate(found, -1)


def _wrong(confidence: keras.KerasTensor, others: keras.KerasTensor) -> keras.KerasTensor:
    """One minus the confidence, float32 (n,), without rounding where the confidence is the product of the slots.

    Args:
        confidence: float32 (n,).
        others: float32 (n, slots), the probability of all classes that are not read.
    """
    wrong = others[:, 0]
    for slot in range(1, others.shape[1]):
        wrong = wrong + others[:, slot] - wrong * others[:, slot]
    rounded = 1 - confidence
    return ops.where(ops.abs(rounded - wrong) < NEAR, wrong, rounded)


def _log(values: keras.KerasTensor) -> keras.KerasTensor:
    return ops.log(values + LEAST)


def _of_blanks(odds: keras.KerasTensor, blanks: keras.KerasTensor) -> keras.KerasTensor:
    """The number of digits, and the least log odds of a digit and of a blank; 20 where there is none."""
    least_digit = ops.min(odds + 20 * blanks, -1)
    least_blank = ops.min(odds + 20 * (1 - blanks), -1)
    return ops.stack([ops.sum(1 - blanks, -1), least_digit, least_blank], -1)


def _of_boxes(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Mean width and height, their deviations, and the least distance of two middles; sides in pixels."""
    sides = boxes[..., 2:] - boxes[..., :2]
    used = ops.cast(ops.max(sides, -1) > 0, "float32")
    count = ops.maximum(ops.sum(used, -1), 1.0)
    columns = []
    for side in (sides[..., 0], sides[..., 1]):
        mean = ops.sum(side * used, -1) / count
        varies = ops.sum(ops.square(side - ops.expand_dims(mean, -1)) * used, -1) / count
        columns += [mean, ops.sqrt(varies + 1e-6)]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    apart = ops.max(ops.abs(ops.expand_dims(middle, 1) - ops.expand_dims(middle, 2)), -1)
    # A constant of NumPy's: what Keras makes here would become an input of the exported graph.
    others = 1 - np.eye(boxes.shape[1], dtype=np.float32)
    both = ops.expand_dims(used, 1) * ops.expand_dims(used, 2) * others
    nearest = ops.min(ops.where(both > 0.5, apart, 100.0), axis=(1, 2))
    return ops.concatenate([ops.stack(columns, -1), ops.expand_dims(nearest, -1)], -1)
