"""How well readings agree with the truth. NumPy and SciPy alone; docs/scores.md gives every formula and its source.

Slots run from left to right, in the truth and in what is read: `readings.left_to_right` sees to it where a strategy
knows boxes and no positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import stats

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, in_order

BINS = 15
"""Equal-width bins of the expected calibration error."""
TARGET = 0.995
"""Share of the readings at or above the coverage threshold that must be right on valid."""
OVERLAP = 0.5
"""Intersection over union from which a box counts as found."""
DIGITS = 6
"""Decimals of a stored score; the threshold is chosen on this grid, so what is stored is what was measured."""


@dataclass(frozen=True)
class Score:
    """One row of the leaderboard: a strategy on one split of one suite. Shares and intervals lie in 0 to 1.

    Attributes:
        strategy, suite, split, origin: what was read by what; `embedded` when model or pictures are of the stand-in.
        n: pictures read.
        digit_accuracy: share of the true digits that were read; None where there are none.
        slot_accuracy: share of the slots that were read right, blanks included; None without positions.
        sequence_accuracy, ci_low, ci_high: share of the pictures read whole, and its 95 % Wilson interval.
        sequence_if_independent: the share that would be, if each digit were read with `digit_accuracy` whatever
            becomes of the others; None where there are no digits.
        count_accuracy: share of the pictures in which as many digits are read as there are; None where no class is
            blank.
        map50: mean average precision at an overlap of 0.5; None where strategy or pictures have no boxes.
        coverage_995, accuracy_at_coverage: share read at the threshold chosen on valid, and how many of those are
            right here; None where no threshold reaches 99.5 % on valid.
        ece: expected calibration error of the confidence.
        parameters, deployable, pretrained: of the model.
    """

    strategy: str
    suite: str
    split: str
    origin: str
    n: int
    digit_accuracy: float | None
    slot_accuracy: float | None
    sequence_accuracy: float
    ci_low: float
    ci_high: float
    sequence_if_independent: float | None
    count_accuracy: float | None
    map50: float | None
    coverage_995: float | None
    accuracy_at_coverage: float | None
    ece: float
    parameters: int
    deployable: bool
    pretrained: str


COLUMNS = tuple(field.name for field in fields(Score))
MEASURED = COLUMNS[COLUMNS.index("origin") : COLUMNS.index("parameters")]
"""The columns that `measure` fills; the others name the strategy, the suite and the split, or describe the model."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in equal-width bins (m-1)/M < confidence <= m/M; the first takes 0 as well.

    Attributes:
        count: int64 (bins,), pictures in each bin.
        confidence: float64 (bins,), their mean confidence, 0 where there are none.
        accuracy: float64 (bins,), the share of them read whole, 0 where there are none.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017, eq. 3): the mean gap, each bin weighted by its pictures."""
        return float(np.sum(self.count * np.abs(self.accuracy - self.confidence)) / self.count.sum())


def blank_of(class_names: Sequence[str]) -> int | None:
    """The class that stands for no digit, or None where every class counts."""
    return list(class_names).index("blank") if "blank" in class_names else None


def sequence_correct(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Bool (n,): whether the digits from left to right, blanks removed, equal the truth, number included.

    Args:
        classes: uint8 (n, slots), as read. Readings of another width than the truth are filled up with blanks.
        labels: uint8 (n, slots), the truth.
        blank: the class that is removed, or None.

    Raises:
        DataError: there is nothing to score, or the widths differ and no class is blank.
    """
    classes, labels = _aligned(classes, labels, blank)
    return np.all(in_order(classes, blank) == in_order(labels, blank), axis=1)


def sequence_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> float:
    """Share of the pictures read whole; with one slot and no blank, the plain accuracy."""
    return float(sequence_correct(classes, labels, blank).mean())


def per_slot_accuracy(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Float64 (slots,): the share read right in each slot, blanks included. For readings that know positions."""
    _expect_pictures(labels)
    return np.mean(classes == labels, axis=0)


def slot_accuracy(classes: np.ndarray, labels: np.ndarray) -> float:
    """Share of all slots read right, position by position, blanks included. For readings that know positions."""
    return float(per_slot_accuracy(classes, labels).mean())


def digit_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None, positional: bool = True) -> float | None:
    """Share of the true digits that were read; None where the truth has no digit.

    With positions, a digit counts when its own slot says it. Without, the digits of the longest common subsequence of
    reading and truth count, so that one digit too many does not cost all that follow.
    """
    classes, labels = _aligned(classes, labels, blank)
    true = _true(labels, blank)
    if not true.any():
        return None
    found = np.sum((classes == labels) & true) if positional else _common(classes, labels, blank).sum()
    return float(found / true.sum())


def sequence_if_independent(digit_accuracy: float | None, labels: np.ndarray, blank: int | None) -> float | None:
    """Mean of `digit_accuracy` to the power of the number of digits in each picture of the truth, uint8 (n, slots).

    So many pictures would be read whole if each digit were missed or misread independently and none read that is not
    there.
    """
    _expect_pictures(labels)
    if digit_accuracy is None:
        return None
    return float(np.mean(digit_accuracy ** _true(labels, blank).sum(axis=1)))


def count_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> float | None:
    """Share of the pictures in which as many digits are read as there are, whichever; None where no class is blank."""
    classes, labels = _aligned(classes, labels, blank)
    if blank is None:
        return None
    return float(np.mean(_true(classes, blank).sum(axis=1) == _true(labels, blank).sum(axis=1)))


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    interval = stats.binomtest(int(correct), int(n)).proportion_ci(confidence_level=0.95, method="wilson")
    # Rounding can leave the point 1e-17 outside where all or none are right.
    return min(float(interval.low), correct / n), max(float(interval.high), correct / n)


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Put float (n,) confidences in 0 to 1 and bool (n,) outcomes into bins."""
    _expect_pictures(correct)
    confidence = confidence.astype(np.float64)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    divisor = np.maximum(count, 1)
    return Reliability(
        count=count,
        confidence=np.bincount(index, confidence, bins) / divisor,
        accuracy=np.bincount(index, correct, bins) / divisor,
    )


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the reading's confidence against whole-sequence correctness."""
    return reliability(confidence, correct, bins).ece


def coverage_threshold(confidence: np.ndarray, correct: np.ndarray, target: float = TARGET) -> float | None:
    """The lowest confidence at and above which at least `target` of the readings are right; None when there is none.

    Choose it on valid (El-Yaniv and Wiener 2010 call what it does selective classification). It lies on a grid of
    1e-6: written down with six decimals it selects the same pictures.
    """
    _expect_pictures(correct)
    confidence = confidence.astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    right_from = np.append(np.cumsum(correct[order][::-1])[::-1], 0)
    grid = np.unique(np.floor(confidence * 10**DIGITS)) / 10**DIGITS
    first = np.searchsorted(confidence[order], grid, side="left")
    read = len(confidence) - first
    # The tolerance is for target * read itself: 0.995 * 200 must not ask for more than 199.
    enough = (read > 0) & (right_from[first] >= target * read - 1e-9)
    return round(float(grid[enough][0]), DIGITS) if enough.any() else None


def coverage(confidence: np.ndarray, correct: np.ndarray, threshold: float | None) -> tuple[float | None, float | None]:
    """The share of the pictures read at `threshold`, and how many of those are right; None where there is neither."""
    _expect_pictures(correct)
    if threshold is None:
        return None, None
    read = confidence.astype(np.float64) >= threshold
    return float(read.mean()), float(correct[read].mean()) if read.any() else None


def confusion(classes: np.ndarray, labels: np.ndarray, size: int) -> np.ndarray:
    """Int64 (size, size): slots whose truth is the row and whose reading is the column. For readings with positions."""
    cells = labels.astype(np.int64).ravel() * size + classes.ravel()
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def found(readings: Readings, pictures: ImageSet) -> np.ndarray:
    """Bool (n, slots): which slots of the readings found a digit of the truth, its class and its box.

    As in PASCAL VOC, the slot belongs to the box of its class that it overlaps most, by at least half of their union,
    and of several slots that belong to one box the surest found it; the others are false alarms.

    Raises:
        DataError: readings or pictures have no boxes, or a box of a reading is no number.
    """
    if readings.boxes is None or pictures.boxes is None:
        raise DataError("no boxes to compare; expected some in the readings and in the pictures")
    blank = blank_of(pictures.class_names)
    said, true = _true(readings.classes, blank), _true(pictures.labels, blank)
    if not np.isfinite(readings.boxes[said]).all():
        raise DataError("boxes hold NaN or infinity; expected pixels")
    alike = (readings.classes[:, :, None] == pictures.labels[:, None]) & said[:, :, None] & true[:, None]
    overlap = np.where(alike, _overlap(readings.boxes[:, :, None], pictures.boxes[:, None]), 0)
    box = np.where(overlap.max(axis=2) >= OVERLAP, overlap.argmax(axis=2), -1)
    order = np.argsort(-scores_of_slots(readings), axis=1, kind="stable")
    box = np.take_along_axis(box, order, axis=1)
    taken = np.tril(box[:, :, None] == box[:, None], -1).any(axis=2)
    first = np.empty_like(taken)
    np.put_along_axis(first, order, (box >= 0) & ~taken, axis=1)
    return first


def scores_of_slots(readings: Readings) -> np.ndarray:
    """Float32 (n, slots): the probability of the class that each slot reads."""
    return np.take_along_axis(readings.probabilities, readings.classes[..., None].astype(int), axis=2)[..., 0]


def map50(readings: Readings, pictures: ImageSet) -> float | None:
    """Mean average precision at an overlap of 0.5; None where readings or pictures have no boxes, or no digits.

    The average precision of a class is the area under its precision and recall curve, with the precision at a recall
    taken as the highest at that or any greater recall (PASCAL VOC from 2010 on, Everingham et al. 2010; COCO calls the
    mean AP50, Lin et al. 2014). The mean goes over the classes that occur in the truth. A slot that is not blank is a
    detection with the probability of its class as its score. Equal scores count together, so that the order of the
    pictures does not matter.
    """
    if readings.boxes is None or pictures.boxes is None:
        return None
    blank = blank_of(pictures.class_names)
    true = pictures.labels[_true(pictures.labels, blank)]
    if not len(true):
        return None
    said = _true(readings.classes, blank)
    classes, scores, hit = readings.classes[said], scores_of_slots(readings)[said], found(readings, pictures)[said]
    areas = [
        _average_precision(scores[classes == name], hit[classes == name], int(np.sum(true == name)))
        for name in np.unique(true)
    ]
    return float(np.mean(areas))


def measure(readings: Readings, pictures: ImageSet, threshold: float | None, positional: bool = True) -> dict[str, Any]:
    """The columns `MEASURED` of a leaderboard row, rounded to six decimals.

    Args:
        readings: what the model said of `pictures`, from left to right.
        pictures: n pictures and their labels.
        threshold: of `coverage_threshold`, chosen on the suite's valid split; None when none was reached.
        positional: whether slot i of a reading stands for slot i of the truth.

    Raises:
        DataError: there are no pictures, not as many readings, or a confidence is no number in 0 to 1.
    """
    if len(readings) != len(pictures):
        raise DataError(f"{len(readings)} readings of {len(pictures)} pictures; expected as many of both")
    blank = blank_of(pictures.class_names)
    correct = correctness(readings, pictures)
    right, n = int(correct.sum()), len(correct)
    low, high = wilson(right, n)
    share, accuracy = coverage(readings.confidence, correct, threshold)
    digits = digit_accuracy(readings.classes, pictures.labels, blank, positional)
    measured = {
        "origin": pictures.origin,
        "n": n,
        "digit_accuracy": digits,
        "slot_accuracy": slot_accuracy(readings.classes, pictures.labels) if positional else None,
        "sequence_accuracy": right / n,
        "ci_low": low,
        "ci_high": high,
        "sequence_if_independent": sequence_if_independent(digits, pictures.labels, blank),
        "count_accuracy": count_accuracy(readings.classes, pictures.labels, blank),
        "map50": map50(readings, pictures),
        "coverage_995": share,
        "accuracy_at_coverage": accuracy,
        "ece": ece(readings.confidence, correct),
    }
    return {name: rounded(value) for name, value in measured.items()}


def evaluation(
    readings: Mapping[str, Mapping[str, Readings]],
    pictures: Mapping[str, Mapping[str, ImageSet]],
    positional: bool = True,
) -> dict[str, Any]:
    """Every score of one strategy.

    Args:
        readings: by suite and split, from left to right; each suite has `valid`, on which its threshold is chosen.
        pictures: what was read, by suite and split.
        positional: whether slot i of a reading stands for slot i of the truth.

    Returns:
        `suites`: by suite and split the columns `MEASURED`, the `threshold`, and `slots`, the accuracy of each (None
        without positions). `coverage`: one `threshold` for all suites together, chosen on their valid splits, and by
        split the `share` read and its `accuracy`; serving uses this one, since it does not know what it will be given.
    """
    suites: dict[str, Any] = {}
    pooled: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for suite, splits in readings.items():
        right = {split: correctness(said, pictures[suite][split]) for split, said in splits.items()}
        threshold = coverage_threshold(splits["valid"].confidence, right["valid"])
        suites[suite] = {}
        for split, said in splits.items():
            truth = pictures[suite][split]
            slots = [rounded(float(a)) for a in per_slot_accuracy(said.classes, truth.labels)] if positional else None
            suites[suite][split] = measure(said, truth, threshold, positional) | {
                "threshold": threshold,
                "slots": slots,
            }
            pooled.setdefault(split, []).append((said.confidence, right[split]))
    joined = {split: [np.concatenate(parts) for parts in zip(*pairs, strict=True)] for split, pairs in pooled.items()}
    threshold = coverage_threshold(*joined["valid"])
    together: dict[str, Any] = {"target": TARGET, "threshold": threshold}
    for split, (confidence, correct) in joined.items():
        share, accuracy = coverage(confidence, correct, threshold)
        together[split] = {"share": rounded(share), "accuracy": rounded(accuracy)}
    return {"suites": suites, "coverage": together}


def correctness(readings: Readings, pictures: ImageSet) -> np.ndarray:
    """Bool (n,): which pictures were read whole.

    Raises:
        DataError: a confidence is no number in 0 to 1.
    """
    if not np.all((readings.confidence >= 0) & (readings.confidence <= 1)):
        raise DataError("confidences outside 0 to 1, or no numbers; expected each reading's probability of being right")
    return sequence_correct(readings.classes, pictures.labels, blank_of(pictures.class_names))


def rounded(value: Any) -> Any:
    """A float with six decimals; anything else as it is."""
    return round(value, DIGITS) if isinstance(value, float) else value


def _aligned(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> tuple[np.ndarray, np.ndarray]:
    _expect_pictures(labels)
    width = max(classes.shape[1], labels.shape[1])
    if classes.shape[1] != labels.shape[1] and blank is None:
        raise DataError(
            f"readings have {classes.shape[1]} slots and the truth {labels.shape[1]}; expected as many of both"
        )

    def fill(rows: np.ndarray) -> np.ndarray:
        missing = width - rows.shape[1]
        return np.pad(rows, ((0, 0), (0, missing)), constant_values=blank) if missing else rows

    return fill(classes), fill(labels)


def _common(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Int (n,): the length of the longest common subsequence of each reading and its truth, blanks left out."""
    n, slots = labels.shape
    longest = np.zeros((slots + 1, slots + 1, n), int)
    for i in range(slots):
        for j in range(slots):
            same = (classes[:, i] == labels[:, j]) & (True if blank is None else labels[:, j] != blank)
            longest[i + 1, j + 1] = np.maximum(longest[i, j] + same, np.maximum(longest[i, j + 1], longest[i + 1, j]))
    return longest[-1, -1]


def _true(labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Bool (n, slots): which slots hold a digit."""
    return np.ones(labels.shape, bool) if blank is None else labels != blank


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) of x0, y0, x1, y1; 0 where both are empty."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = (np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (first, second))
    union = sum(areas) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _average_precision(scores: np.ndarray, hit: np.ndarray, total: int) -> float:
    """The area under one class's curve: (detections,) scores, which of them hit, and how many are to be found."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    hits = np.cumsum(hit[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) / total * best))


def _expect_pictures(rows: np.ndarray) -> None:
    if not len(rows):
        raise DataError("no pictures to score; expected at least one")
