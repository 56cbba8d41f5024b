"""What `calibrate` says of a model's confidence."""

from collections.abc import Mapping
from typing import Literal

from pipeline.records.base import Record


class ShiftRisk(Record):
    """Readings of one kind of synthetic shift.

    Attributes:
        pictures: how many.
        sequence_accuracy: share of exact matches.
        accepted: share of all pictures that are accepted.
        accepted_wrong: share of all pictures that are accepted and wrong.
    """

    pictures: int
    sequence_accuracy: float
    accepted: float
    accepted_wrong: float


class CalibrationRecord(Record):
    """`calibration.json`. Every figure is of readings that the estimator was not fitted on (cross-fitting).

    Attributes:
        pictures: of valid, over all suites.
        target: accuracy that accepted readings of familiar pictures reach, at the confidence level.
        risk: largest expected share of the pictures of a shift that is accepted and wrong.
        level: the confidence level.
        start: where the boosting of the trees began: at a constant, or at the model's own confidence.
        threshold: the confidence from which a reading is accepted; None where none holds, so that nothing is accepted.
        decided_by: what sets the threshold: `accuracy`, or a kind of shift.
        ece, ece_before: expected calibration error on valid, of the fitted confidence and of the model's own.
        thresholds: by accuracy, such as `0.99`: the confidence from which readings of familiar pictures reach it, at
            the confidence level; None where none does. Only `threshold` holds under shift, too.
        coverage, accuracy: share of valid that is accepted, and the accuracy of that share, None where it is empty.
        coverage_before: the same share by the model's own confidence, with a threshold for the accuracy alone.
        shifts: by kind.
    """

    pictures: int
    target: float
    risk: float
    level: float
    start: Literal["constant", "own"]
    threshold: float | None
    decided_by: str
    thresholds: Mapping[str, float | None]
    ece: float
    ece_before: float
    coverage: float
    accuracy: float | None
    coverage_before: float
    shifts: Mapping[str, ShiftRisk]
