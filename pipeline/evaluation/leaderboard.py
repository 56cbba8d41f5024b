"""The rows of the leaderboard, and a task's candidate: chosen on valid, reported on test."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.evaluation.accuracy import rounded
from pipeline.records.comparison import Candidate, Score, Standing
from pipeline.records.evaluation import Evaluation
from pipeline.records.training import Task

SPLITS = ("valid", "test")
"""The splits that the leaderboard shows; `gate` is for the registry."""


def evaluations(folder: Path, strategies: Sequence[str]) -> dict[str, Evaluation]:
    """What `stages.evaluate` wrote about each strategy of a task, by name.

    Raises:
        DataError: a strategy has not been evaluated, or its file is damaged.
    """
    found = {}
    for strategy in strategies:
        path = Path(folder) / f"{strategy}.json"
        if not path.is_file():
            raise DataError(f"{path}: no such file; `dvc repro evaluate@{strategy}` makes it")
        found[strategy] = Evaluation.read(path)
    return found


def rows(evaluations: Mapping[str, Evaluation], suites: Sequence[str]) -> list[Score]:
    """The rows of the leaderboard: by suite in the given order, by split, then by falling sequence accuracy.

    Suites that are not among `suites` are left out. Equal accuracies are ordered by fewer parameters, then by name.
    """
    found = [
        Score(
            strategy=strategy,
            suite=suite,
            split=split,
            parameters=evaluation.parameters,
            deployable=evaluation.deployable,
            pretrained=evaluation.pretrained,
            **dict(evaluation.suites[suite][split]),
        )
        for strategy, evaluation in evaluations.items()
        for suite in suites
        if suite in evaluation.suites
        for split in SPLITS
    ]
    return sorted(
        found,
        key=lambda row: (
            suites.index(row.suite),
            SPLITS.index(row.split),
            -row.sequence_accuracy,
            row.parameters,
            row.strategy,
        ),
    )


def candidate(task: Task, evaluations: Mapping[str, Evaluation], suites: Sequence[str]) -> Candidate:
    """The deployable strategy with the highest mean sequence accuracy on valid over the task's suites.

    A suite that a strategy cannot read counts as 0. Ties go to fewer parameters, then to the name.

    Args:
        task: what the strategies read.
        evaluations: of every strategy of the task, by name.
        suites: of the task.
    """
    standings = [_standing(strategy, evaluation, suites) for strategy, evaluation in evaluations.items()]
    standings.sort(key=lambda standing: (-standing.valid_sequence_accuracy, standing.parameters, standing.strategy))
    deployable = [standing for standing in standings if standing.deployable]
    best = deployable[0] if deployable else None
    return Candidate(
        task=task,
        best=best,
        coverage=evaluations[best.strategy].coverage if best else None,
        runner_up=deployable[1].strategy if deployable[1:] else None,
        others=tuple(standing for standing in standings if standing is not best),
    )


def _standing(strategy: str, evaluation: Evaluation, suites: Sequence[str]) -> Standing:
    readable = [suite for suite in suites if suite in evaluation.suites]
    terms = dict.fromkeys(suites, 0.0)
    terms |= {suite: evaluation.suites[suite]["valid"].sequence_accuracy for suite in readable}
    return Standing(
        strategy=strategy,
        valid_sequence_accuracy=rounded(sum(terms.values()) / len(terms)),
        suites=terms,
        cannot_read=tuple(suite for suite in suites if suite not in readable),
        origin=evaluation.origin,
        parameters=evaluation.parameters,
        deployable=evaluation.deployable,
    )
