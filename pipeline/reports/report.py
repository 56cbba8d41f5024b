"""The comparison as one self-contained HTML page to explore. No clock, no network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from pydantic import JsonValue

from pipeline.core.errors import DataError
from pipeline.core.images import SPLITS
from pipeline.evaluation.calibration import LEVEL, TARGET
from pipeline.records.comparison import Score
from pipeline.records.data import ValidationReport
from pipeline.reports import analysis, corruptions, excerpts, explorer, facts
from pipeline.reports.excerpts import SuiteExcerpt
from pipeline.reports.formats import INDISTINCT
from pipeline.reports.overview import Overview
from pipeline.reports.tables import accepted_accuracy
from pipeline.reports.templating import READS, render

ASSETS = Path(__file__).parent / "assets"
VEGA = ("vega", "vega-lite", "vega-embed")
"""The scripts that draw the charts, in the order in which they need each other."""
PACKAGES = (
    "tensorflow-cpu",
    "tensorflow",
    "keras",
    "onnxruntime",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "opencv-python-headless",
    "pillow",
    "great-expectations",
    "dvc",
)
"""The packages whose versions the page names: those that make or judge the results."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$", re.MULTILINE)
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


@dataclass(frozen=True)
class Sources:
    """Where the files are that the page shows.

    Attributes:
        validation: folder of `TASK/SUITE.json`.
        evaluation: folder of `TASK/STRATEGY/SUITE-confusion.csv`.
        excerpts: folder of `TASK/SUITE.json` and the arrays beside it.
        lock: the lock of the packages.
        slices: folder of `TASK`, the worst slices.
        costs: folder of `TASK.csv`.
        explanations: folder of `TASK`, the occlusion maps.
        suspects: the sources whose labels were looked at.
        confidence: one minus the level at which two strategies can be told apart.
    """

    validation: Path
    evaluation: Path
    excerpts: Path
    lock: Path
    slices: Path
    costs: Path
    explanations: Path
    suspects: Sequence[str]
    confidence: float


def report(overview: Overview, settings: Mapping[str, JsonValue], sources: Sources) -> str:
    """Render one HTML page that contains its pictures, its style and its scripts, follows dark mode, and prints.

    Args:
        overview: the records of all tasks.
        settings: of the run, such as seed and budget; shown as they are.
        sources: of the rest.

    Raises:
        DataError: a file is missing or damaged.
    """
    tests = [row for row in overview.rows if row.split == "test"]
    valid = {(row.strategy, row.suite): row for row in overview.rows if row.split == "valid"}
    taken = list(_excerpts(overview, tests, sources.excerpts))
    found = [
        analysis.load(
            task,
            suites,
            tests,
            slices=sources.slices,
            costs=sources.costs,
            explanations=sources.explanations,
        )
        for task, suites in overview.suites_of.items()
    ]
    content = explorer.content(overview, taken, sources.evaluation) | {"cost": analysis.cost_rows(found, tests)}
    precisions = sorted({evaluation.precision for evaluation in overview.evaluations.values()})
    return render(
        "report.html",
        style=_asset("report.css"),
        scripts=[_script(f"vega/{name}.min.js") for name in VEGA] + [_script("report.js")],
        data=explorer.script_json(content),
        analysis=found,
        as_good=overview.as_good,
        mark=INDISTINCT,
        confidence=sources.confidence,
        suspects=sources.suspects,
        sprites=[explorer.sprite(number, each) for number, each in enumerate(taken)],
        excerpts={each.record.suite: each.record for each in taken},
        tasks=[_task(task, overview) for task in overview.suites_of],
        rows=[(row, valid[row.strategy, row.suite]) for row in tests],
        task_of={name: evaluation.task for name, evaluation in overview.evaluations.items()},
        best={candidate.best.strategy for candidate in overview.candidates.values() if candidate.best is not None},
        suites=[
            _suite(task, suite, tests, sources.validation / task / f"{suite}.json")
            for task, suites in overview.suites_of.items()
            for suite in suites
        ],
        heat_maps=[corruptions.heat_map(each) for each in overview.robustness.values()],
        evaluations=overview.evaluations,
        trainings=overview.trainings,
        settings={**settings, "precision": ", ".join(precisions)},
        versions=_versions(sources.lock),
        origins=sorted({row.origin for row in overview.rows}),
        embedded=overview.stand_in,
        errors=excerpts.ERRORS,
        doubts=excerpts.DOUBTS,
        target=TARGET,
        level=LEVEL,
        accepted_accuracy=accepted_accuracy,
        facts=facts.placeholder(),
    )


def _excerpts(overview: Overview, tests: Sequence[Score], folder: Path) -> list[SuiteExcerpt]:
    read = {row.suite for row in tests}
    return [
        excerpts.load(folder / task, suite)
        for task, suites in overview.suites_of.items()
        for suite in suites
        if suite in read
    ]


def _task(task: str, overview: Overview) -> dict[str, object]:
    candidate = overview.candidates[task]
    return {
        "name": task,
        "reads": READS[task],
        "candidate": candidate,
        "best": candidate.best,
        "suites": overview.suites_of[task],
        "strategies": [standing.strategy for standing in candidate.standings],
    }


def _suite(task: str, suite: str, tests: Sequence[Score], validation: Path) -> dict[str, object]:
    validated = ValidationReport.read(validation) if validation.is_file() else None
    splits = {} if validated is None else validated.splits
    return {
        "name": suite,
        "task": task,
        "read": any(row.suite == suite for row in tests),
        "validated": validated,
        "splits": [(name, splits[name]) for name in SPLITS if name in splits],
    }


def _asset(name: str) -> Markup:
    text = (ASSETS / name).read_text(encoding="utf-8")
    # Not escaped: it is part of the project, and HTML does not unescape these elements.
    return Markup(text)


def _script(name: str) -> Markup:
    # The maps are not there, and a browser's tools would look for them.
    return Markup(_SOURCE_MAP.sub("", _asset(name)).strip())


def _versions(lock: Path) -> dict[str, str]:
    """The versions of `PACKAGES` in a lock, by package; where they depend on the machine, with the condition."""
    if not lock.is_file():
        raise DataError(f"{lock}: no such file; expected the lock of the packages")
    found: dict[str, list[str]] = {}
    for name, version, marker in _PIN.findall(lock.read_text(encoding="utf-8")):
        if name in PACKAGES:
            found.setdefault(name, []).append(f"{version} ({marker})" if marker else version)
    return {name: ", ".join(found[name]) for name in PACKAGES if name in found}
