"""The readings of one split beside the pictures that were read: what scores and figures are made from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.accuracy import blank_of, sequence_correct


@dataclass(frozen=True)
class Evaluated:
    """Readings of n pictures. Make one with `Evaluated.of`.

    Attributes:
        readings: of the model, slots from left to right.
        pictures: what was read; their labels are the targets.
        correct: bool (n,), which readings are exact matches.
        positional: whether slot i of a reading stands for slot i of the target.
    """

    readings: Readings
    pictures: ImageSet
    correct: np.ndarray
    positional: bool

    @classmethod
    def of(cls, readings: Readings, pictures: ImageSet, positional: bool = True) -> "Evaluated":
        """Compare readings with targets.

        Raises:
            DataError: there are no pictures, not one reading for each, or a confidence is not a number in 0 to 1.
        """
        if len(readings) != len(pictures):
            raise DataError(f"{len(readings)} readings of {len(pictures)} pictures; expected one for each")
        if not np.all((readings.confidence >= 0) & (readings.confidence <= 1)):
            raise DataError("confidences outside 0 to 1, or NaN; expected the probability that a reading is correct")
        correct = sequence_correct(readings.classes, pictures.labels, blank_of(pictures.class_names))
        return cls(readings, pictures, correct, positional)

    def __len__(self) -> int:
        return len(self.correct)

    @property
    def blank(self) -> int | None:
        """The class of a slot without a digit; None where every class counts."""
        return blank_of(self.pictures.class_names)

    @property
    def has_boxes(self) -> bool:
        """Whether both the readings and the pictures have boxes."""
        return self.readings.boxes is not None and self.pictures.boxes is not None


Results = Mapping[str, Mapping[str, Evaluated]]
"""What was read by one model, by suite and split."""
