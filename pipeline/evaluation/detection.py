"""Scores of boxes: which detections are true positives, and the mean average precision at an IoU of 0.5."""

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.accuracy import blank_of, digits

IOU = 0.5
"""Intersection over union from which a detection matches a target box."""


def true_positives(readings: Readings, pictures: ImageSet) -> np.ndarray:
    """Bool (n, slots): which slots of the readings detect a target digit, with its class and its box.

    As in PASCAL VOC, a detection belongs to the target box of its class with the largest IoU, if that is at least 0.5.
    Of several detections of one box the one with the highest score is the true positive; the others are false ones.

    Raises:
        DataError: the readings or the pictures have no boxes, or a box of a reading holds NaN or infinity.
    """
    if readings.boxes is None or pictures.boxes is None:
        raise DataError("no boxes to compare; expected boxes in the readings and in the pictures")
    blank = blank_of(pictures.class_names)
    detected, true = digits(readings.classes, blank), digits(pictures.labels, blank)
    if not np.isfinite(readings.boxes[detected]).all():
        raise DataError("boxes hold NaN or infinity; expected pixels")
    same_class = (readings.classes[:, :, None] == pictures.labels[:, None]) & detected[:, :, None] & true[:, None]
    overlap = np.where(same_class, iou(readings.boxes[:, :, None], pictures.boxes[:, None]), 0)
    box = np.where(overlap.max(axis=2) >= IOU, overlap.argmax(axis=2), -1)
    order = np.argsort(-slot_scores(readings), axis=1, kind="stable")
    box = np.take_along_axis(box, order, axis=1)
    taken = np.tril(box[:, :, None] == box[:, None], -1).any(axis=2)
    first = np.empty_like(taken)
    np.put_along_axis(first, order, (box >= 0) & ~taken, axis=1)
    return first


def slot_scores(readings: Readings) -> np.ndarray:
    """Float32 (n, slots): the probability of the class in each slot, the score of a detection."""
    return np.take_along_axis(readings.probabilities, readings.classes[..., None].astype(int), axis=2)[..., 0]


def map50(readings: Readings, pictures: ImageSet) -> float | None:
    """Mean average precision at an IoU of 0.5; None where the readings or the pictures have no boxes, or no digits.

    The average precision of a class is the area under its precision and recall curve, where the precision at a recall
    is the highest one at that or any greater recall (PASCAL VOC from 2010 on, Everingham et al. 2010; COCO calls the
    mean AP50, Lin et al. 2014). The mean is over the classes that occur in the targets. Every slot that is not blank is
    a detection. Equal scores count together, so that the order of the pictures does not matter. A picture with a digit
    whose box is unknown, all zeros, is left out.
    """
    if readings.boxes is None or pictures.boxes is None:
        return None
    blank = blank_of(pictures.class_names)
    known = (pictures.boxes.any(axis=2) | ~digits(pictures.labels, blank)).all(axis=1)
    if not known.all():
        rows = np.flatnonzero(known)
        readings, pictures = readings.take(rows), pictures.take(rows)
    true = pictures.labels[digits(pictures.labels, blank)]
    if not len(true):
        return None
    detected = digits(readings.classes, blank)
    classes, scores = readings.classes[detected], slot_scores(readings)[detected]
    hit = true_positives(readings, pictures)[detected]
    areas = [
        _average_precision(scores[classes == name], hit[classes == name], int(np.sum(true == name)))
        for name in np.unique(true)
    ]
    return float(np.mean(areas))


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, float (..., 4) of x0, y0, x1, y1; 0 where both are empty."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = (np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (first, second))
    union = sum(areas) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _average_precision(scores: np.ndarray, hit: np.ndarray, total: int) -> float:
    """The area under one class's curve: (detections,) scores, which of them are true positives, and target boxes."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    hits = np.cumsum(hit[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) / total * best))
