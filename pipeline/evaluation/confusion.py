"""Which class is taken for which."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from pipeline.core.readings import in_order
from pipeline.evaluation.evaluated import Evaluated

COLUMNS = ("task", "strategy", "target", "prediction", "count")
"""Of a confusion matrix as CSV."""


@dataclass(frozen=True)
class Confusion:
    """Counts of slots or digits by target and reading.

    Attributes:
        names: of the classes.
        counts: int64 (classes, classes), targets in the rows and readings in the columns.
        pictures: how many pictures were counted.
    """

    names: tuple[str, ...]
    counts: np.ndarray
    pictures: int

    @classmethod
    def of(cls, evaluated: Evaluated) -> "Confusion":
        """Count the readings of one split.

        With positions, slot is compared with slot. Without, digits are compared from left to right in those pictures
        whose number of digits was read correctly; blanks are left out.
        """
        readings, pictures = evaluated.readings, evaluated.pictures
        if evaluated.positional:
            size = max(pictures.classes, readings.probabilities.shape[-1])
            names = (*pictures.class_names, *(f"class {index}" for index in range(pictures.classes, size)))
            return cls(names, counts(readings.classes, pictures.labels, size), len(pictures))
        blank = evaluated.blank
        slots = min(readings.classes.shape[1], pictures.slots)
        predicted, actual = (in_order(rows, blank) for rows in (readings.classes, pictures.labels))
        complete = np.sum(predicted != blank, axis=1) == np.sum(actual != blank, axis=1)
        digits = complete[:, None] & (actual[:, :slots] != blank)
        names = tuple(name for name in pictures.class_names if name != "blank")
        return cls(
            names, counts(predicted[:, :slots][digits], actual[:, :slots][digits], len(names)), int(complete.sum())
        )

    def as_csv(self, task: str, strategy: str) -> str:
        """The counts that are not 0 as CSV under `COLUMNS`, one row each."""
        rows = [
            (task, strategy, target, prediction, count)
            for target, row in zip(self.names, self.counts.tolist(), strict=True)
            for prediction, count in zip(self.names, row, strict=True)
            if count
        ]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        return text.getvalue()


def counts(predicted: np.ndarray, actual: np.ndarray, size: int) -> np.ndarray:
    """Int64 (size, size): how often each class (row) was read as each class (column).

    Args:
        predicted: uint8, the readings, of any shape.
        actual: uint8, the targets, of the same shape.
        size: number of classes.
    """
    cells = actual.astype(np.int64).ravel() * size + predicted.ravel()
    return np.bincount(cells, minlength=size * size).reshape(size, size)
