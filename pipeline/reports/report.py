"""What people read: the comparison as one self-contained HTML page, and a model card. No clock, no network."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.core.files import read_json
from pipeline.evaluation.scoring import TARGET, Score

TEMPLATES = Path(__file__).parent / "templates"
READS = {
    "strips": "up to five handwritten digits side by side in a grey picture of 28 by 140 pixels, left to right",
    "scenes": "one to eight handwritten digits anywhere in a grey picture of 112 by 112 pixels",
    "mnist": "one handwritten digit in a grey picture of 28 by 28 pixels",
    "cifar10": "what a colour picture of 32 by 32 pixels shows, one of ten classes",
}
MISSING = "-"


def report(
    *,
    rows: Sequence[Score],
    candidates: Mapping[str, Mapping[str, Any]],
    evaluations: Mapping[str, Mapping[str, Any]],
    suites_of: Mapping[str, Sequence[str]],
    settings: Mapping[str, Any],
    validation: Path,
    pictures: Path,
    sheets: Path,
) -> str:
    """One HTML page with its pictures and its style inside; it needs no network, follows dark mode, and prints.

    Args:
        rows: of `leaderboard.scores`.
        candidates: of `leaderboard.candidates`.
        evaluations: by strategy, what `stages.evaluate` wrote.
        suites_of: the suites of each task, in the order to show them.
        settings: what else the run was made with, such as seed and budget; shown as it is.
        validation: folder of `TASK/SUITE.json`, each with `success`.
        pictures: folder of `accuracy-TASK.png` and `curves.png`.
        sheets: folder of `STRATEGY/SUITE-sheet.png`, `-readings.png` and, of candidates, `-worst.png`.
    """
    tasks = [
        {
            "name": task,
            "reads": READS.get(task, ""),
            "candidate": candidates[task],
            "accuracy": _inline(pictures / f"accuracy-{task}.png"),
            "suites": [_suite(suite, rows, validation / task / f"{suite}.json") for suite in suites_of[task]],
            "sheets": _sheets(candidates[task], evaluations, suites_of[task], sheets),
        }
        for task in suites_of
        if task in candidates
    ]
    return _render(
        "report.html",
        tasks=tasks,
        curves=_inline(pictures / "curves.png"),
        settings=settings | {"precision": _joined(e["precision"] for e in evaluations.values())},
        origins=sorted({row.origin for row in rows}),
        embedded=any(row.origin == "embedded" for row in rows),
        target=TARGET,
    )


def model_card(manifest: Mapping[str, Any], rows: Sequence[Score]) -> str:
    """A model card (Mitchell et al. 2019) as Markdown, with the front matter that model hubs read.

    Args:
        manifest: what the package stage writes beside the model.
        rows: the strategy's rows of the leaderboard, valid and test.
    """
    valid = {row.suite: row for row in rows if row.split == "valid"}
    tests = [(row, valid.get(row.suite)) for row in rows if row.split == "test"]
    return _render(
        "model_card.md", manifest=manifest, reads=READS.get(manifest["task"], ""), tests=tests, target=TARGET
    )


def percent(value: float | None, decimals: int = 2) -> str:
    """A share as a percentage without its sign, a hyphen where there is none."""
    return MISSING if value is None else f"{100 * value:.{decimals}f}"


def _suite(suite: str, rows: Sequence[Score], validation: Path) -> dict[str, Any]:
    valid = {row.strategy: row for row in rows if row.suite == suite and row.split == "valid"}
    tests = [row for row in rows if row.suite == suite and row.split == "test"]
    return {
        "name": suite,
        "tests": [(row, valid[row.strategy]) for row in tests],
        "pictures": (valid[tests[0].strategy].n, tests[0].n) if tests else None,
        "validated": read_json(validation).get("success") if validation.is_file() else None,
    }


def _sheets(
    candidate: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]], suites: Sequence[str], folder: Path
) -> list[dict[str, Any]]:
    ranked = [candidate, *candidate["others"]]
    return [
        {
            "strategy": standing["strategy"],
            "is_candidate": standing is candidate,
            "suites": [
                (suite, _pictures(folder / standing["strategy"], suite, standing is candidate))
                for suite in suites
                if suite in evaluations[standing["strategy"]]["suites"]
            ],
        }
        for standing in ranked
        if standing["strategy"] is not None
    ]


def _pictures(folder: Path, suite: str, is_candidate: bool) -> dict[str, str]:
    # The gallery of mistakes of every strategy would make the page twice as heavy; it lies in the folder.
    kinds = ("readings", "sheet", "worst") if is_candidate else ("readings", "sheet")
    return {kind: _inline(folder / f"{suite}-{kind}.png") for kind in kinds}


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _joined(values: Any) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _render(template: str, **context: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(template).render(context)
