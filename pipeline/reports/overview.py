"""What the stages recorded about every strategy, in one place: what the stage `report` works from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.analysis import significance
from pipeline.evaluation import leaderboard
from pipeline.records.comparison import Candidate, Score
from pipeline.records.evaluation import Evaluation
from pipeline.records.robustness import Robustness
from pipeline.records.training import TrainingRecord


@dataclass(frozen=True)
class Overview:
    """The records of all tasks.

    Attributes:
        suites_of: the suites of each task, in the order to show them.
        evaluations, trainings: by strategy, in the order of params.yaml.
        candidates: by task.
        rows: of the leaderboard.
        as_good: by suite, the strategies that cannot be told apart from its best one.
        robustness: by strategy, what it reads of corrupted pictures.
    """

    suites_of: Mapping[str, Sequence[str]]
    evaluations: Mapping[str, Evaluation]
    trainings: Mapping[str, TrainingRecord]
    candidates: Mapping[str, Candidate]
    rows: Sequence[Score]
    as_good: Mapping[str, Sequence[str]]
    robustness: Mapping[str, Robustness] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        task_of: Mapping[str, str],
        suites_of: Mapping[str, Sequence[str]],
        *,
        metrics: Path,
        training: Path,
        confidence: float,
    ) -> "Overview":
        """Read the records.

        Args:
            task_of: the task of each strategy.
            suites_of: the suites of each task.
            metrics: folder of `evaluation/TASK/STRATEGY.json`, `robustness/TASK/STRATEGY.json`, `candidates/TASK.json`
                and `significance/TASK.csv`.
            training: folder of `TASK/STRATEGY/training.json`.
            confidence: one minus the level at which two strategies can be told apart.

        Raises:
            DataError: a record is missing or damaged.
        """
        evaluations: dict[str, Evaluation] = {}
        for task in suites_of:
            evaluations |= leaderboard.evaluations(
                metrics / "evaluation" / task, [name for name in task_of if task_of[name] == task]
            )
        rows = leaderboard.rows(evaluations, [suite for suites in suites_of.values() for suite in suites])
        best: dict[str, str] = {}
        for row in rows:
            if row.split == "test":
                best.setdefault(row.suite, row.strategy)
        chosen = {task: Candidate.read(metrics / "candidates" / f"{task}.json") for task in suites_of}
        pairs = [pair for task in suites_of for pair in significance.load(metrics / "significance" / f"{task}.csv")]
        return cls(
            suites_of=suites_of,
            evaluations={name: evaluations[name] for name in task_of},
            trainings={
                name: TrainingRecord.read(training / task / name / "training.json") for name, task in task_of.items()
            },
            candidates=chosen,
            rows=rows,
            as_good=significance.indistinguishable(pairs, best, confidence=confidence),
            robustness={
                name: Robustness.read(metrics / "robustness" / task / f"{name}.json")
                for task in suites_of
                for name in task_of
                if task_of[name] == task
            },
        )

    @property
    def stand_in(self) -> bool:
        """Whether any score is of the embedded stand-in."""
        return any(row.origin == "embedded" for row in self.rows)

    def candidate_suites(self) -> Iterator[tuple[str, str, str]]:
        """Task, strategy and suite of every suite that a candidate reads."""
        for task, candidate in self.candidates.items():
            if candidate.best is None:
                continue
            strategy = candidate.best.strategy
            for suite in self.suites_of[task]:
                if suite in self.evaluations[strategy].suites:
                    yield task, strategy, suite
