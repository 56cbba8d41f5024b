"""What `evaluate` records about a model's readings."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.training import Task


class SplitScores(Record):
    """Scores of one split of one suite. Shares and intervals lie in 0 to 1; docs/scores.md has the formulas.

    Attributes:
        origin: where the pictures came from; `embedded` when the pictures or the model are of the stand-in.
        n: number of pictures.
        digit_accuracy: share of the target digits that were read; None where there are none.
        slot_accuracy: share of the slots that were read correctly, blanks included; None without positions.
        sequence_accuracy, ci_low, ci_high: share of exact matches, and its 95 % Wilson interval.
        accuracy_power_n: the sequence accuracy if errors were independent: mean of `digit_accuracy` to the power of the
            number of digits; None where there are no digits.
        count_accuracy: share of the pictures with the correct number of digits; None where no class is blank.
        ap, ap50, ap75: COCO's average precision over IoUs of 0.5 to 0.95, at 0.5 and at 0.75; None where the strategy
            or the pictures have no boxes.
        coverage_995, accuracy_at_coverage: share of the pictures accepted at `threshold`, and the accuracy of those; 0
            and None where nothing is accepted.
        ece, adaptive_ece: expected calibration error of the confidence, over bins of equal width and of equal counts.
        nll, brier: negative log likelihood and Brier score of the confidence.
        aurc: area under the curve of risk against coverage.
        threshold: that of `Coverage`, for all suites of the task together; None where none holds.
        slots: the accuracy of each slot; None without positions.
    """

    origin: str
    n: int = Field(ge=1)
    digit_accuracy: float | None
    slot_accuracy: float | None
    sequence_accuracy: float
    ci_low: float
    ci_high: float
    accuracy_power_n: float | None
    count_accuracy: float | None
    ap: float | None
    ap50: float | None
    ap75: float | None
    coverage_995: float
    accuracy_at_coverage: float | None
    ece: float
    adaptive_ece: float | None = None
    nll: float | None = None
    brier: float | None = None
    aurc: float | None = None
    threshold: float | None
    slots: tuple[float, ...] | None


class Accepted(Record):
    """What a threshold accepts in one split: the `share` of the pictures, and the `accuracy` of those."""

    share: float | None
    accuracy: float | None


class OperatingPoint(Record):
    """A threshold for another accuracy than the served one's; it does not regard shifts.

    Attributes:
        target: the accuracy.
        threshold: the confidence from which a reading is accepted; None where none holds.
        test: what it accepts.
    """

    target: float
    threshold: float | None
    test: Accepted


class Coverage(Record):
    """One threshold for all suites together, chosen on their valid splits and on shifts: the one that serving uses.

    Attributes:
        target: the accuracy that accepted readings must reach.
        level: the confidence level at which the threshold holds; None in a record from before there was one, when the
            threshold only reached the target on valid itself.
        threshold: the confidence from which a reading is accepted; None where none holds, so that nothing is accepted.
        valid, gate, test: what it accepts.
        points: thresholds for several accuracies.
    """

    target: float
    level: float | None = None
    threshold: float | None
    valid: Accepted
    gate: Accepted
    test: Accepted
    points: tuple[OperatingPoint, ...] = ()


class Evaluation(Record):
    """`metrics/evaluation/TASK/STRATEGY.json`.

    Attributes:
        strategy, task, origin, precision, parameters, deployable, pretrained: of the model.
        sha256: of the ONNX file that was evaluated.
        suites: scores by suite and split (`valid`, `gate`, `test`).
        coverage: of all suites together.
    """

    strategy: str
    task: Task
    origin: str
    precision: str
    parameters: int
    deployable: bool
    pretrained: str
    sha256: str
    suites: Mapping[str, Mapping[str, SplitScores]]
    coverage: Coverage
