"""Validate a data set; nothing trains on one that did not pass."""

from pathlib import Path

from tqdm import tqdm

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.images import SPLITS, ImageSet
from pipeline.project import command
from pipeline.records.data import Passed
from pipeline.validation import validator
from pipeline.validation.suite_spec import SuiteSpec
from pipeline.validation.table import tabulate


def main(suite: str, data: Path, docs: Path, out: Path, passed: Path) -> str:
    """Write Data Docs to the folder `docs` in any case, and the other two files only when every expectation holds.

    Trainings depend on `passed` and not on the report `out`, so that another wording of it does not make them stale.
    Returns how many expectations hold, and how many notes the report has.
    """
    settings = params.load(Path("params.yaml"))
    spec = SuiteSpec.from_params(suite, settings.suites[suite], settings.validation)
    splits = [
        tabulate(split, ImageSet.load(data / f"{split}.npz"), spec.task)
        for split in tqdm(SPLITS, desc=f"reading {suite}", unit="split", leave=False, disable=None)
    ]
    report = validator.validate(splits, spec, docs)
    if not report.success:
        raise DataError(f"{validator.failure_message(report, spec)}; all results: {docs / 'index.html'}")
    for note in report.notes:
        print(f"{suite}: {note}")
    report.write(out)
    Passed(suite=suite, task=report.task, origin=report.origin).write(passed)
    return f"{len(report.expectations)} expectations hold, {len(report.notes)} notes"


if __name__ == "__main__":
    command.run(main)
