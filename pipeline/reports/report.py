"""The comparison as one self-contained HTML page. No clock, no network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipeline.evaluation.calibration import LEVEL, TARGET
from pipeline.records.comparison import Score
from pipeline.records.data import ValidationReport
from pipeline.reports.overview import Overview
from pipeline.reports.tables import accepted_accuracy
from pipeline.reports.templating import READS, render


@dataclass(frozen=True)
class Folders:
    """Where the files are that the page shows.

    Attributes:
        validation: `TASK/SUITE.json`.
        comparison: `TASK/accuracy.png`.
        evaluation: `TASK/STRATEGY/SUITE-KIND.png` with the kinds `examples`, `diagnostics` and `errors`.
        curves: `curves.png`.
    """

    validation: Path
    comparison: Path
    evaluation: Path
    curves: Path


def report(overview: Overview, settings: Mapping[str, JsonValue], folders: Folders) -> str:
    """Render one HTML page that contains its pictures and its style, follows dark mode, and prints.

    Args:
        overview: the records of all tasks.
        settings: of the run, such as seed and budget; shown as they are.
        folders: of the pictures and of the validation reports.
    """
    precisions = sorted({evaluation.precision for evaluation in overview.evaluations.values()})
    return render(
        "report.html",
        tasks=[_task(task, overview, folders) for task in overview.suites_of],
        curves=_inline(folders.curves / "curves.png"),
        settings={**settings, "precision": ", ".join(precisions)},
        origins=sorted({row.origin for row in overview.rows}),
        embedded=overview.stand_in,
        target=TARGET,
        level=LEVEL,
        accepted_accuracy=accepted_accuracy,
    )


def _task(task: str, overview: Overview, folders: Folders) -> dict[str, object]:
    candidate, suites = overview.candidates[task], overview.suites_of[task]
    pictures = folders.evaluation / task
    return {
        "name": task,
        "reads": READS[task],
        "candidate": candidate,
        "best": candidate.best,
        "accuracy": _inline(folders.comparison / task / "accuracy.png"),
        "suites": [_suite(suite, overview.rows, folders.validation / task / f"{suite}.json") for suite in suites],
        "sheets": [
            {
                "strategy": standing.strategy,
                "is_candidate": standing is candidate.best,
                "suites": [
                    (suite, _pictures(pictures / standing.strategy, suite, standing is candidate.best))
                    for suite in suites
                    if suite in overview.evaluations[standing.strategy].suites
                ],
            }
            for standing in candidate.standings
        ],
    }


def _suite(suite: str, rows: Sequence[Score], validation: Path) -> dict[str, object]:
    valid = {row.strategy: row for row in rows if row.suite == suite and row.split == "valid"}
    tests = [row for row in rows if row.suite == suite and row.split == "test"]
    return {
        "name": suite,
        "tests": [(row, valid[row.strategy]) for row in tests],
        "pictures": (valid[tests[0].strategy].n, tests[0].n) if tests else None,
        "validated": ValidationReport.read(validation).success if validation.is_file() else None,
    }


def _pictures(folder: Path, suite: str, is_candidate: bool) -> dict[str, str]:
    # With every strategy's errors the page would be twice as heavy; they are in the folder.
    kinds = ("examples", "diagnostics", "errors") if is_candidate else ("examples", "diagnostics")
    return {kind: _inline(folder / f"{suite}-{kind}.png") for kind in kinds}


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
