"""What `explore`, `evaluate` and the locks leave for the page of the stage `report`."""

from collections.abc import Mapping
from pathlib import Path

import evaluations

from pipeline.analysis import cost, slices
from pipeline.core.files import write_text
from pipeline.evaluation import leaderboard
from pipeline.evaluation.confusion import Confusion
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.analysis import Explanation, Explanations
from pipeline.records.evaluation import Evaluation
from pipeline.records.training import TrainingRecord
from pipeline.reports import excerpts, failures, sprites
from pipeline.reports.formats import csv_text
from pipeline.reports.overview import Overview
from pipeline.reports.report import Sources, report

LOCK = """numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:00
keras==3.15.1 \\
    --hash=sha256:00
unknown==1.0 \\
    --hash=sha256:00
"""


def sources(folder: Path, task: str, read: Mapping[str, Mapping[str, Evaluated]]) -> Sources:
    """Write the files of a page to a folder.

    Args:
        folder: for all of them.
        task: of the suites.
        read: what was read of test, by suite and strategy.
    """
    for suite, by_strategy in read.items():
        excerpts.save(excerpts.excerpt(task, suite, by_strategy), folder / "excerpts" / task)
        for name, evaluated in by_strategy.items():
            text = Confusion.of(evaluated).as_csv(task, name)
            write_text(folder / "sheets" / task / name / f"{suite}-confusion.csv", text)
    write_text(folder / "lock", LOCK)
    analysed(folder, task, read)
    return Sources(
        folder / "validation",
        folder / "sheets",
        folder / "excerpts",
        folder / "lock",
        folder / "slices",
        folder / "costs",
        folder / "explanations",
        ("mnist",),
        0.95,
    )


def analysed(folder: Path, task: str, read: Mapping[str, Mapping[str, Evaluated]]) -> None:
    """Write what `analyze`, `cost` and `explain` leave: the worst slices, made-up costs, and an empty map for each."""
    rows, found = [], {}
    for suite, by_strategy in read.items():
        parts = slices.slices(next(iter(by_strategy.values())).pictures)
        for name, evaluated in by_strategy.items():
            rows += slices.scores(name, suite, evaluated, parts, 0.5, 20)
            found[name, suite] = evaluated, parts, 0.5
    names = list(dict.fromkeys(name for name, _ in found))
    worst = failures.collect(task, "test", slices.corrected(rows), found, level=0.05, least=20)
    (folder / "slices" / task).mkdir(parents=True, exist_ok=True)
    failures.save(worst, folder / "slices" / task)
    costs = [cost.Cost(name, 1000, 4000, 1_500_000 * (index + 1), 0, 0, 0) for index, name in enumerate(names)]
    write_text(folder / "costs" / f"{task}.csv", csv_text(cost.COLUMNS, [cost.cells(each) for each in costs]))
    sheets = []
    for number, name in enumerate(names):
        first = next(each for (other, _), (each, _, _) in found.items() if other == name)
        write_bytes(folder / "explanations" / task / f"{number}.png", sprites.png(first.pictures.images[:1]))
        sheets.append(
            Explanation(
                strategy=name,
                picture=f"{number}.png",
                suites=("plain",),
                readings=(failures.misread(first, 0),),
                patch=8,
                stride=4,
            )
        )
    record = Explanations(task=task, split="test", sheets=tuple(sheets))
    record.write(folder / "explanations" / task / failures.EXPLANATIONS)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file below folders that may not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def page(found: Mapping[str, Evaluation], folder: Path, trainings: Mapping[str, TrainingRecord] | None = None) -> str:
    """The page of some strategies of strips, whose pictures are those of `evaluations.results`."""
    results = {name: evaluations.results(0.05) for name in found}
    suites = [suite for suite in evaluations.SUITES if any(suite in each.suites for each in found.values())]
    read = {
        suite: {name: results[name][suite]["test"] for name, each in found.items() if suite in each.suites}
        for suite in suites
    }
    overview = Overview(
        suites_of={"strips": evaluations.SUITES},
        evaluations=found,
        trainings=trainings or {},
        candidates={"strips": leaderboard.candidate("strips", found, evaluations.SUITES)},
        rows=leaderboard.rows(found, evaluations.SUITES),
        as_good={"plain": ("poor",)},
    )
    return report(overview, {"seed": 1}, sources(folder, "strips", read))
