"""`make repro`: check params.yaml, find the mirror, fetch again what replaces the stand-in, then run DVC.

`make quick` is the same with less of everything, as a DVC experiment that leaves the workspace as it is.
"""

from pathlib import Path

from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import rehearsal, reproduction
from pipeline.project import command, workspace

MOST_JOBS = 16
"""Stages at a time. Trainings use all cores by themselves."""


def main(quick: bool = False, jobs: int = 1) -> None:
    """Reproduce the pipeline; a stage that fails gives the last line and the exit code.

    Args:
        quick: run the experiment `quick`, with what the section `quick` of params.yaml changes.
        jobs: stages at a time, where one does not wait for the other; in the workspace only.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise ConfigurationError(f"--jobs: expected 1 to {MOST_JOBS}, found {jobs}")
    settings = params.load(Path("params.yaml"))
    workspace.expect_clone()
    if quick:
        rehearsal.rehearse(settings)
    else:
        reproduction.reproduce(settings, jobs)


if __name__ == "__main__":
    command.run(main)
