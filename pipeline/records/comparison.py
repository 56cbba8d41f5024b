"""What `compare` says of a task's strategies."""

from collections.abc import Mapping

from pipeline.records.base import Record
from pipeline.records.evaluation import Coverage
from pipeline.records.training import Task


class Standing(Record):
    """One strategy in the comparison.

    Attributes:
        strategy: its name.
        valid_sequence_accuracy: the mean over the task's suites on valid; a suite that it cannot read counts as 0.
        suites: the parts of that mean.
        cannot_read: the suites that counted as 0.
        origin, parameters, deployable: of the model.
    """

    strategy: str
    valid_sequence_accuracy: float
    suites: Mapping[str, float]
    cannot_read: tuple[str, ...]
    origin: str
    parameters: int
    deployable: bool


class Candidate(Record):
    """`metrics/candidates/TASK.json`: the best strategy that can be deployed.

    Attributes:
        task: the task.
        best: the candidate; None where no strategy can be deployed.
        coverage: the threshold to serve it with, and what that accepts; None without a candidate.
        runner_up: the next best that can be deployed; None where there is no other.
        others: every other strategy of the task, best first.
    """

    task: Task
    best: Standing | None
    coverage: Coverage | None
    runner_up: str | None
    others: tuple[Standing, ...]
