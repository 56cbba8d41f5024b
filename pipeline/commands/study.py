"""`make study`: run the experiments of a study file that are not finished, and write the results of all of them."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.cluster import experiments, session
from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_text
from pipeline.experiments import preflight, results, studies, study_report
from pipeline.experiments.runs import Run
from pipeline.experiments.studies import Study
from pipeline.plots import style
from pipeline.project import command
from pipeline.search import search_report, searches, trials
from pipeline.search.searches import Search


def main(study: str, report: bool = False, jobs: int = 0, on: str = "") -> None:
    """Write STUDY.md, STUDY.csv and STUDY.png beside the study file.

    Args:
        study: the study file, as docs/experiments.md describes it: a grid, or a search.
        jobs: put the runs into DVC's queue with that many workers, and write nothing yet; 0 runs them here. A search
            has to wait for its runs, and takes no queue.
        on: "ray" runs them on a Ray cluster; "" runs them here.
        report: run nothing; write the results of the finished runs.
    """
    if not study:
        raise ConfigurationError("STUDY: no file named; expected make study STUDY=studies/NAME.yaml")
    session.expect_place(on, alone=jobs == 0)
    path = Path(study)
    if searches.is_search(path):
        _search(path, report, jobs, on)
    else:
        _grid(path, report, jobs, on)


def _grid(path: Path, report: bool, jobs: int, on: str) -> None:
    study = Study.load(path)
    if not report:
        points = [run for _, run in study.points()]
        preflight.expect_study((run.changes for run in points), jobs)
        if on:
            experiments.run(points, params.load(Path("params.yaml")))
        else:
            studies.run(study, jobs)
        if jobs:
            print(f"Follow it with `dvc queue status`; then make study STUDY={path} REPORT=1")
            return
    found = results.collect(study)
    if not found.rows:
        raise DataError(f"{path}: none of its {len(found.missing)} runs is finished; run it without --report")
    _write(
        path,
        study_report.render_csv(study, found),
        study_report.render_markdown(study, found),
        study_report.draw(study, found),
    )


def _search(path: Path, report: bool, jobs: int, on: str) -> None:
    if jobs:
        raise ConfigurationError(
            f"JOBS: {path} is a search, which waits for the scores of its runs; --on ray runs its `parallel` trials "
            "side by side, and without either they run one after another"
        )
    search = Search.load(path)
    trials.library()
    look = trials.recorded(search)
    if report:
        found = trials.replay(search, look)
    else:
        preflight.expect_study(search.extremes())
        if on and search.parallel == 1:
            print(f"note     search     {path}: parallel is 1, so the cluster gets one run at a time", file=sys.stderr)
        ray = experiments.executor(params.load(Path("params.yaml"))) if on else contextlib.nullcontext(_run_here)
        with ray as execute:
            found = trials.replay(search, look, execute)
    if not any(trial.scores for trial in found.trials):
        raise DataError(f"{path}: none of its runs is finished, first {found.missing[0]}; run it without --report")
    _write(
        path,
        search_report.render_csv(search, found),
        search_report.render_markdown(search, found),
        search_report.draw(search, found),
    )


def _run_here(waiting: Sequence[Run]) -> None:
    for run in waiting:
        print(run.name, flush=True)
        studies.start(run)


def _write(path: Path, table: str, page: str, chart: Figure) -> None:
    write_text(path.with_suffix(".csv"), table)
    write_text(path.with_suffix(".md"), page)
    style.save(chart, path.with_suffix(".png"))
    print(page)


if __name__ == "__main__":
    command.run(main)
