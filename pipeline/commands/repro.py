"""`make repro`: check params.yaml, find the mirror, fetch again what replaces the stand-in, then run DVC.

`make quick` is the same with less of everything, as a DVC experiment that leaves the workspace as it is.
"""

from pathlib import Path

from pipeline.cluster import reproduction as reproduction_on_ray
from pipeline.cluster import session
from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import rehearsal, reproduction
from pipeline.project import command, workspace

MOST_JOBS = 16
"""Stages at a time. Trainings use all cores by themselves."""


def main(quick: bool = False, jobs: int = 1, on: str = "") -> None:
    """Reproduce the pipeline; a stage that fails gives the last line and the exit code.

    Args:
        quick: run the experiment `quick`, with what the section `quick` of params.yaml changes.
        jobs: stages at a time, where one does not wait for the other; in the workspace only.
        on: "ray" runs the stages on a Ray cluster; "" runs them here.
    """
    session.expect_place(on, alone=not quick and jobs == 1)
    if not 1 <= jobs <= MOST_JOBS:
        raise ConfigurationError(f"--jobs: expected 1 to {MOST_JOBS}, found {jobs}")
    settings = params.load(Path("params.yaml"))
    workspace.expect_clone()
    if on:
        reproduction_on_ray.reproduce(settings)
    elif quick:
        rehearsal.rehearse(settings)
    else:
        reproduction.reproduce(settings, jobs)


if __name__ == "__main__":
    command.run(main)
