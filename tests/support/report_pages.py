"""What `explore`, `evaluate` and the locks leave for the page of the stage `report`."""

from collections.abc import Mapping
from pathlib import Path

import evaluations

from pipeline.core.files import write_text
from pipeline.evaluation import leaderboard
from pipeline.evaluation.confusion import Confusion
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.evaluation import Evaluation
from pipeline.records.training import TrainingRecord
from pipeline.reports import excerpts
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
    return Sources(folder / "validation", folder / "sheets", folder / "excerpts", folder / "lock")


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
    )
    return report(overview, {"seed": 1}, sources(folder, "strips", read))
