"""Rank the strategies of a task, and choose its candidate on valid."""

from pathlib import Path
from typing import cast

from pipeline.analysis import cost as costs
from pipeline.config import params
from pipeline.core.files import replacing, write_text
from pipeline.evaluation import leaderboard as board
from pipeline.plots import comparison, style
from pipeline.project import command
from pipeline.records.training import Task
from pipeline.reports import tables


def main(task: str, evaluation: Path, cost: Path, leaderboard: Path, candidate: Path, pictures: Path) -> str:
    """Write the leaderboard of one task, its candidate, and charts of accuracies and costs; return the candidate.

    Strategies and suites that are not in params.yaml are left out.
    """
    settings = params.load(Path("params.yaml"))
    suites = settings.suites_of(task)
    strategies = [name for name, strategy in settings.strategies.items() if strategy.task == task]
    evaluations = board.evaluations(evaluation, strategies)
    rows = board.rows(evaluations, suites)
    write_text(leaderboard, tables.leaderboard(rows))
    chosen = board.candidate(cast(Task, task), evaluations, suites)
    chosen.write(candidate)
    counted = {each.strategy: each.multiply_adds for each in costs.load(cost)}
    with replacing(pictures) as folder:
        folder.mkdir()
        style.save(comparison.costs(rows, suites, counted, task), folder / "cost.png")
        style.save(comparison.accuracies(rows, suites, task), folder / "accuracy.png")
    best = chosen.best
    return f"{best.strategy}, {100 * best.valid_sequence_accuracy:.2f} % on valid" if best else "no candidate"


if __name__ == "__main__":
    command.run(main)
