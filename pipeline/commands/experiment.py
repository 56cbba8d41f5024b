"""`make exp`: look whether the experiments can run as meant, then let DVC run or queue them."""

import shlex

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import preflight
from pipeline.project import checks, command, workspace


def main(
    set_param: str = "", target: str = "", name: str = "", queue: bool = False, jobs: int = 1, apply: str = ""
) -> None:
    """Run `dvc exp run` with these arguments, in a folder of its own.

    Args:
        set_param: changes of params.yaml apart by blanks; with `--queue`, one may have several values: `a=1,2`.
        target: a stage, for instance `evaluate@slice`; "" is the whole pipeline.
        name: the experiment's; of several, what their names begin with.
        queue: queue them, and start workers.
        jobs: the workers.
        apply: run nothing; take the experiment of this name over into the workspace.
    """
    workspace.expect_clone()
    if apply:
        checks.refuse([preflight.applicable()])
        return workspace.dvc("make exp", "exp", "apply", apply)
    if jobs < 1:
        raise ConfigurationError(f"--jobs: expected a number of at least 1, found {jobs}")
    changes = shlex.split(set_param)
    checks.refuse(preflight.checks(changes, target=target, name=name, queue=queue))
    options = [option for change in changes for option in ("--set-param", change)]
    options += ["--name", name] if name else []
    workspace.dvc("make exp", "exp", "run", "--queue" if queue else "--temp", *options, *filter(None, [target]))
    if queue:
        workspace.dvc("make exp", "queue", "start", "--jobs", str(jobs))


if __name__ == "__main__":
    command.run(main)
