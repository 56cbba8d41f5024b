"""`make study`: run the experiments of a study file that are not finished, and write the results of all of them."""

from pathlib import Path

from pipeline.cluster import experiments, session
from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_text
from pipeline.experiments import preflight, results, studies, study_report
from pipeline.plots import style
from pipeline.project import command


def main(study: str, report: bool = False, jobs: int = 0, on: str = "") -> None:
    """Write STUDY.md, STUDY.csv and STUDY.png beside the study file.

    Args:
        study: the study file, as docs/experiments.md describes it.
        jobs: put the runs into DVC's queue with that many workers, and write nothing yet; 0 runs them here.
        on: "ray" runs them on a Ray cluster; "" runs them here.
        report: run nothing; write the results of the finished runs.
    """
    if not study:
        raise ConfigurationError("STUDY: no file named; expected make study STUDY=studies/NAME.yaml")
    session.expect_place(on, alone=jobs == 0)
    path = Path(study)
    grid = studies.Study.load(path)
    if not report:
        preflight.expect_study(grid, jobs)
        if on:
            experiments.run(grid, params.load(Path("params.yaml")))
        else:
            studies.run(grid, jobs)
        if jobs:
            print(f"Follow it with `dvc queue status`; then make study STUDY={path} REPORT=1")
            return
    found = results.collect(grid)
    if not found.rows:
        raise DataError(f"{path}: none of its {len(found.missing)} runs is finished; run it without --report")
    page = study_report.render_markdown(grid, found)
    write_text(path.with_suffix(".csv"), study_report.render_csv(grid, found))
    write_text(path.with_suffix(".md"), page)
    style.save(study_report.draw(grid, found), path.with_suffix(".png"))
    print(page)


if __name__ == "__main__":
    command.run(main)
