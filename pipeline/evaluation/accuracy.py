"""Accuracies of readings against their targets, in NumPy and SciPy; docs/scores.md has every formula and its source.

Slots run from left to right, in targets and in readings: `core.readings.left_to_right` sorts the readings of a strategy
that knows boxes and no positions.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
from scipy import stats

from pipeline.core.errors import DataError
from pipeline.core.readings import in_order

DECIMALS = 6
"""Decimals of a stored score."""

Value = TypeVar("Value")


def blank_of(class_names: Sequence[str]) -> int | None:
    """The class of a slot without a digit; None where every class counts."""
    return list(class_names).index("blank") if "blank" in class_names else None


def sequence_correct(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Exact matches, bool (n,): the digits from left to right, without blanks, equal the target's, number included.

    Args:
        classes: uint8 (n, slots), the readings. Where they are narrower or wider than the targets, blanks fill the
            missing slots.
        labels: uint8 (n, slots), the targets.
        blank: the class that is removed, or None.

    Raises:
        DataError: there are no pictures, or the widths differ and no class is blank.
    """
    classes, labels = _aligned(classes, labels, blank)
    return np.all(in_order(classes, blank) == in_order(labels, blank), axis=1)


def sequence_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> float:
    """Share of exact matches (Goodfellow et al. 2013); with one slot and no blank, the plain accuracy."""
    return float(sequence_correct(classes, labels, blank).mean())


def per_slot_accuracy(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of correct readings of each slot, float64 (slots,), blanks included. For readings with positions."""
    expect_pictures(labels)
    return np.mean(classes == labels, axis=0)


def slot_accuracy(classes: np.ndarray, labels: np.ndarray) -> float:
    """Share of all slots that are read correctly, blanks included. For readings with positions."""
    return float(per_slot_accuracy(classes, labels).mean())


def digit_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None, positional: bool = True) -> float | None:
    """Share of the target digits that were read; None where the targets have no digit.

    With positions, a digit counts when the reading has it in the same slot. Without, the digits of the longest common
    subsequence of reading and target count, so that one digit too many does not cost all digits after it.
    """
    classes, labels = _aligned(classes, labels, blank)
    true = digits(labels, blank)
    if not true.any():
        return None
    found = np.sum((classes == labels) & true) if positional else _common(classes, labels, blank).sum()
    return float(found / true.sum())


def accuracy_power_n(digit_accuracy: float | None, labels: np.ndarray, blank: int | None) -> float | None:
    """The sequence accuracy if errors were independent: mean of `digit_accuracy` ** (number of digits in a picture).

    Args:
        digit_accuracy: of `digit_accuracy`; None gives None.
        labels: uint8 (n, slots), the targets.
        blank: the class that is no digit, or None.
    """
    expect_pictures(labels)
    if digit_accuracy is None:
        return None
    return float(np.mean(digit_accuracy ** digits(labels, blank).sum(axis=1)))


def count_accuracy(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> float | None:
    """Share of the pictures with the correct number of digits, whichever they are; None where no class is blank."""
    classes, labels = _aligned(classes, labels, blank)
    if blank is None:
        return None
    return float(np.mean(digits(classes, blank).sum(axis=1) == digits(labels, blank).sum(axis=1)))


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of `correct` out of `n` (Wilson 1927)."""
    interval = stats.binomtest(int(correct), int(n)).proportion_ci(confidence_level=0.95, method="wilson")
    # Rounding can leave the share 1e-17 outside where all or none are correct.
    return min(float(interval.low), correct / n), max(float(interval.high), correct / n)


def digits(labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Bool (n, slots): which slots hold a digit."""
    return np.ones(labels.shape, bool) if blank is None else labels != blank


def rounded(value: Value) -> Value:
    """A float with `DECIMALS` decimals; any other value unchanged."""
    return cast("Value", round(value, DECIMALS)) if isinstance(value, float) else value


def expect_pictures(rows: np.ndarray) -> None:
    """Raise a DataError where an array has no rows."""
    if not len(rows):
        raise DataError("no pictures to score; expected at least one")


def _aligned(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> tuple[np.ndarray, np.ndarray]:
    expect_pictures(labels)
    width = max(classes.shape[1], labels.shape[1])
    if classes.shape[1] != labels.shape[1] and blank is None:
        raise DataError(f"readings have {classes.shape[1]} slots and the targets {labels.shape[1]}; expected the same")

    def fill(rows: np.ndarray) -> np.ndarray:
        missing = width - rows.shape[1]
        return rows if blank is None else np.pad(rows, ((0, 0), (0, missing)), constant_values=blank)

    return fill(classes), fill(labels)


def _common(classes: np.ndarray, labels: np.ndarray, blank: int | None) -> np.ndarray:
    """Int (n,): the length of the longest common subsequence of each reading and its target, blanks left out."""
    n, slots = labels.shape
    longest = np.zeros((slots + 1, slots + 1, n), int)
    for i in range(slots):
        for j in range(slots):
            same = (classes[:, i] == labels[:, j]) & (True if blank is None else labels[:, j] != blank)
            longest[i + 1, j + 1] = np.maximum(longest[i, j] + same, np.maximum(longest[i, j + 1], longest[i + 1, j]))
    return longest[-1, -1]
