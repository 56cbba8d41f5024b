"""`make study`: run the experiments of a study file that are not finished, and write down what all of them found."""

from pathlib import Path

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_text
from pipeline.experiments import preflight, results, studies
from pipeline.plots import style
from pipeline.project import command


def main(study: str, report: bool = False, jobs: int = 0) -> None:
    """Write STUDY.md, STUDY.csv and STUDY.png beside the study file.

    Args:
        study: the study file, as docs/experiments.md describes it.
        jobs: put the runs into DVC's queue with so many workers, and write nothing yet; 0 runs them here.
        report: run nothing; write down what the finished runs found.
    """
    if not study:
        raise ConfigurationError("STUDY: no file named; expected make study STUDY=studies/NAME.yaml")
    study = Path(study)
    asked = studies.Study.load(study)
    if not report:
        preflight.expect_study(asked, jobs)
        studies.run(asked, jobs)
        if jobs:
            return print(f"Follow it with `dvc queue status`; then make study STUDY={study} REPORT=1")
    found = results.collect(asked)
    if not found.rows:
        raise DataError(f"{study}: none of its {len(found.missing)} runs is finished; run it without --report")
    write_text(study.with_suffix(".csv"), results.table(asked, found))
    write_text(study.with_suffix(".md"), results.markdown(asked, found))
    style.save(results.figure(asked, found), study.with_suffix(".png"))
    print(results.markdown(asked, found))


if __name__ == "__main__":
    command.run(main)
