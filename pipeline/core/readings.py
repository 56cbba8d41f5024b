"""Readings: the outputs of a model for n pictures. Importing this imports NumPy only."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays

OUTPUTS = ("probabilities", "classes", "confidence", "boxes")
"""The outputs a model names; `boxes` only where it localises."""


@dataclass(frozen=True)
class Readings:
    """The readings of n pictures.

    Attributes:
        probabilities: float32 (n, slots, classes), each row sums to 1.
        classes: uint8 (n, slots), what is read; where a best path or a joint score decides it need not be the argmax.
        confidence: float32 (n,), the probability that the whole reading is right.
        boxes: float32 (n, slots, 4) in pixels x0, y0, x1, y1, or None where the model does not localise.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    confidence: np.ndarray
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def of(cls, outputs: dict[str, np.ndarray]) -> "Readings":
        """From a model's outputs by name."""
        boxes = outputs.get("boxes")
        return cls(
            probabilities=np.asarray(outputs["probabilities"], np.float32),
            classes=np.asarray(outputs["classes"]).astype(np.uint8),
            confidence=np.asarray(outputs["confidence"], np.float32),
            boxes=None if boxes is None else np.asarray(boxes, np.float32),
        )

    def take(self, index: np.ndarray | list[int] | slice) -> "Readings":
        """Those of the pictures at `index`."""
        return Readings(
            self.probabilities[index],
            self.classes[index],
            self.confidence[index],
            None if self.boxes is None else self.boxes[index],
        )

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`."""
        write_arrays(path, {name: getattr(self, name) for name in OUTPUTS if getattr(self, name) is not None})

    @classmethod
    def load(cls, path: Path) -> "Readings":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged, or lacks an array.
        """
        arrays = read_arrays(path)
        missing = {"probabilities", "classes", "confidence"} - set(arrays)
        if missing:
            raise DataError(f"{path}: {', '.join(sorted(missing))} missing; it holds {', '.join(sorted(arrays))}")
        return cls.of(arrays)


def left_to_right(readings: Readings, blank: int | None) -> Readings:
    """The same readings with their digits sorted by the centres of their boxes, blanks last; as they are without boxes.

    Anything that compares, draws or writes sequences of a model without positions calls this first: order is decided
    nowhere else. Digits with equal centres keep their order.

    Args:
        readings: of n pictures, with slots in any order.
        blank: the class that is no digit, or None where every class counts.
    """
    if readings.boxes is None:
        return readings
    centre = (readings.boxes[..., 0] + readings.boxes[..., 2]) / 2
    order = np.argsort(np.where(readings.classes == blank, np.inf, centre), axis=1, kind="stable")
    return replace(
        readings,
        probabilities=np.take_along_axis(readings.probabilities, order[..., None], axis=1),
        classes=np.take_along_axis(readings.classes, order, axis=1),
        boxes=np.take_along_axis(readings.boxes, order[..., None], axis=1),
    )


def in_order(classes: np.ndarray, blank: int | None) -> np.ndarray:
    """Each row's classes from left to right with the blanks moved behind the digits, for comparing whole sequences.

    Args:
        classes: uint8 (n, slots).
        blank: the class that is no digit, or None where every class counts.
    """
    if blank is None:
        return classes
    order = np.argsort(classes == blank, axis=1, kind="stable")
    return np.take_along_axis(classes, order, axis=1)
