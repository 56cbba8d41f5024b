"""What `compare` records about the strategies of a task."""

from collections.abc import Mapping

from pipeline.records.base import Record
from pipeline.records.evaluation import Coverage, SplitScores
from pipeline.records.training import Task


class Score(SplitScores):
    """One row of the leaderboard: the scores of a strategy on one split of one suite.

    Attributes:
        strategy, suite, split: which model read which pictures.
        parameters, deployable, pretrained: of the model.
    """

    strategy: str
    suite: str
    split: str
    parameters: int
    deployable: bool
    pretrained: str


class Standing(Record):
    """One strategy in the comparison.

    Attributes:
        strategy: its name.
        valid_sequence_accuracy: the mean over the task's suites on valid; a suite that it cannot read counts as 0.
        suites: the terms of that mean, by suite.
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

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Every strategy of the task: the candidate, if there is one, then the others, best first."""
        return self.others if self.best is None else (self.best, *self.others)
