"""Scores of boxes: which detections are true positives, and COCO's average precision."""

from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.accuracy import blank_of, digits

IOU = 0.5
"""Intersection over union from which a detection matches a target box."""
IOUS = np.linspace(0.5, 0.95, 10)
"""The ten IoUs over which COCO averages."""
RECALLS = np.linspace(0, 1, 101)
"""The recalls at which COCO samples the precision."""


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's average precision, each the mean over the classes that occur in the targets, 0 to 1.

    Attributes:
        ap: mean over the IoUs 0.5, 0.55 to 0.95; COCO's AP@[.5:.95].
        ap50, ap75: at an IoU of 0.5 and of 0.75.
    """

    ap: float
    ap50: float
    ap75: float


def true_positives(readings: Readings, pictures: ImageSet) -> np.ndarray:
    """Bool (n, slots): which slots of the readings detect a target digit, with its class and at an IoU of 0.5.

    Detections are matched as COCO does: by falling score, each takes the target box of its class with the largest IoU
    among those that no detection before it has taken.

    Raises:
        DataError: the readings or the pictures have no boxes, or a box of a reading holds NaN or infinity.
    """
    return _matches(readings, pictures, np.array([IOU]))[0]


def slot_scores(readings: Readings) -> np.ndarray:
    """Float32 (n, slots): the probability of the class in each slot, the score of a detection."""
    return np.take_along_axis(readings.probabilities, readings.classes[..., None].astype(int), axis=2)[..., 0]


def average_precision(readings: Readings, pictures: ImageSet) -> AveragePrecision | None:
    """COCO's AP@[.5:.95], AP50 and AP75 (Lin et al. 2014, as pycocotools computes them; boxes of all areas).

    The average precision of a class at an IoU is the mean of the interpolated precision at 101 recalls, where the
    precision at a recall is the highest one at that or any greater recall. Every slot that is not blank is a detection;
    a reading has fewer than the 100 that COCO allows in a picture. Equal scores stay in the order of the pictures and
    slots, as in pycocotools. A picture with a digit whose box is unknown, all zeros, is left out.

    Returns:
        None where the readings or the pictures have no boxes, or no digits.

    Raises:
        DataError: a box of a reading holds NaN or infinity.
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
    hits = _matches(readings, pictures, IOUS)[:, detected]
    areas = []
    for name in np.unique(true):
        own = np.flatnonzero(classes == name)
        own = own[np.argsort(-scores[own], kind="stable")]
        areas.append(_interpolated(hits[:, own], int(np.sum(true == name))))
    means = np.mean(areas, axis=0)
    return AveragePrecision(ap=float(means.mean()), ap50=float(means[0]), ap75=float(means[5]))


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, float (..., 4) of x0, y0, x1, y1; 0 where both are empty."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = (np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (first, second))
    union = sum(areas) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _matches(readings: Readings, pictures: ImageSet, ious: np.ndarray) -> np.ndarray:
    """Bool (ious, n, slots): which slots are true positives at each IoU; `true_positives` says how they are matched."""
    if readings.boxes is None or pictures.boxes is None:
        raise DataError("no boxes to compare; expected boxes in the readings and in the pictures")
    blank = blank_of(pictures.class_names)
    detected, true = digits(readings.classes, blank), digits(pictures.labels, blank)
    if not np.isfinite(readings.boxes[detected]).all():
        raise DataError("boxes hold NaN or infinity; expected pixels")
    same_class = (readings.classes[:, :, None] == pictures.labels[:, None]) & detected[:, :, None] & true[:, None]
    boxes = np.where(detected[..., None], readings.boxes, 0).astype(np.float64)
    overlap = np.where(same_class, iou(boxes[:, :, None], pictures.boxes[:, None].astype(np.float64)), -1)
    n, slots, targets = overlap.shape
    order = np.argsort(-slot_scores(readings), axis=1, kind="stable")
    free = np.ones((len(ious), n, targets), bool)
    found = np.zeros((len(ious), n, slots), bool)
    for rank in range(slots):
        slot = order[:, rank]
        candidates = np.where(free, overlap[np.arange(n), slot], -1)
        # Of equal overlaps, pycocotools takes the last.
        best = targets - 1 - candidates[..., ::-1].argmax(axis=2)
        matched = np.take_along_axis(candidates, best[..., None], axis=2)[..., 0] >= ious[:, None]
        free &= ~(matched[..., None] & (np.arange(targets) == best[..., None]))
        found[:, np.arange(n), slot] = matched
    return found


def _interpolated(hits: np.ndarray, total: int) -> np.ndarray:
    """Float64 (ious,): one class's mean precision over `RECALLS`.

    Args:
        hits: bool (ious, detections), which detections are true positives, by falling score.
        total: target boxes of the class.
    """
    found = np.cumsum(hits, axis=1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # A recall that no detection reaches has the precision 0.
    best = np.pad(best, ((0, 0), (0, 1)))
    return np.array(
        [row[np.searchsorted(reached, RECALLS)].mean() for row, reached in zip(best, found / total, strict=True)]
    )
