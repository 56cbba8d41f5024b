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
        map50: mean average precision at an IoU of 0.5; None where the strategy or the pictures have no boxes.
        coverage_995, accuracy_at_coverage: share of the pictures accepted at `threshold`, and the accuracy of those;
            None where no threshold reaches 99.5 % on valid.
        ece: expected calibration error of the confidence.
        threshold: the confidence that gives 99.5 % accuracy on this suite's valid split; None where none does.
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
    map50: float | None
    coverage_995: float | None
    accuracy_at_coverage: float | None
    ece: float
    threshold: float | None
    slots: tuple[float, ...] | None


class Accepted(Record):
    """What a threshold accepts in one split: the `share` of the pictures, and the `accuracy` of those."""

    share: float | None
    accuracy: float | None


class Coverage(Record):
    """One threshold for all suites together, chosen on their valid splits: the one that serving uses.

    Attributes:
        target: the accuracy that accepted readings must reach on valid.
        threshold: the lowest confidence that reaches it; None where none does.
        valid, gate, test: what it accepts.
    """

    target: float
    threshold: float | None
    valid: Accepted
    gate: Accepted
    test: Accepted


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
