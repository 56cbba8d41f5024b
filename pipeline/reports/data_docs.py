"""One page that links to the Data Docs of all suites."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.records.data import ValidationReport
from pipeline.reports.templating import render


def index(task_of: Mapping[str, str], validation: Path) -> str:
    """Render the page as HTML.

    Args:
        task_of: the task of each suite.
        validation: folder of `TASK/SUITE.json`; a suite without a report is shown as not validated.

    Raises:
        DataError: a report is damaged.
    """
    reports = {
        suite: ValidationReport.read(path) if (path := validation / task / f"{suite}.json").is_file() else None
        for suite, task in task_of.items()
    }
    return render("data_docs.html", reports=reports, task_of=task_of)
