"""What the page shows of slices, cost and explanations, from the files of `analyze`, `cost` and `explain`."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.analysis import cost
from pipeline.analysis.cost import Cost
from pipeline.records.analysis import Explanation, Explanations, WorstSlice, WorstSlices
from pipeline.records.comparison import Score
from pipeline.reports import failures


@dataclass(frozen=True)
class Weakness:
    """A slice that is read worse, with its picture as a data URL."""

    slice: WorstSlice
    source: str


@dataclass(frozen=True)
class Sheet:
    """The occlusion maps of a strategy, with their sheet as a data URL."""

    explanation: Explanation
    source: str


@dataclass(frozen=True)
class TaskAnalysis:
    """What was found about a task.

    Attributes:
        name: of the task.
        suites: of the task that a strategy reads.
        slices: what was tested.
        weaknesses: the worst slices.
        costs: of every strategy, the cheapest first.
        best: by suite, the strategies on the Pareto front of accuracy and multiply-adds.
        sheets: occlusion maps.
    """

    name: str
    suites: Sequence[str]
    slices: WorstSlices
    weaknesses: Sequence[Weakness]
    costs: Sequence[Cost]
    best: Mapping[str, Sequence[str]]
    sheets: Sequence[Sheet]


def load(
    task: str, suites: Sequence[str], rows: Sequence[Score], *, slices: Path, costs: Path, explanations: Path
) -> TaskAnalysis:
    """Read what was found about a task.

    Args:
        task: its name.
        suites: of the task.
        rows: of the leaderboard, on test.
        slices: folder of `TASK`, what `analyze` wrote.
        costs: folder of `TASK.csv`, what `cost` wrote.
        explanations: folder of `TASK`, what `explain` wrote.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = failures.load(slices / task)
    counted = cost.load(costs / f"{task}.csv")
    folder = explanations / task
    explained = Explanations.read(folder / failures.EXPLANATIONS)
    multiply_adds = {each.strategy: each.multiply_adds for each in counted}
    best = {
        suite: cost.front(
            (row.strategy, multiply_adds[row.strategy], row.sequence_accuracy) for row in rows if row.suite == suite
        )
        for suite in suites
    }
    return TaskAnalysis(
        name=task,
        suites=[suite for suite in suites if best[suite]],
        slices=found.record,
        weaknesses=[Weakness(each, _url(found.pictures[each.picture])) for each in found.record.worst],
        costs=sorted(counted, key=lambda each: (each.multiply_adds, each.strategy)),
        best=best,
        sheets=[Sheet(each, _url(failures.png(folder / each.picture))) for each in explained.sheets],
    )


def cost_rows(tasks: Sequence[TaskAnalysis], rows: Sequence[Score]) -> dict[str, list[dict[str, Any]]]:
    """By suite, the rows of the chart of accuracy against cost: see `charts`."""
    counted = {each.strategy: each for task in tasks for each in task.costs}
    best = {suite: names for task in tasks for suite, names in task.best.items()}
    return {
        suite: [
            {
                "strategy": row.strategy,
                "millions": counted[row.strategy].multiply_adds / 1e6,
                "parameters": counted[row.strategy].parameters,
                "test": row.sequence_accuracy,
                "front": row.strategy in names,
            }
            for row in rows
            if row.suite == suite
        ]
        for suite, names in best.items()
    }


def _url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
