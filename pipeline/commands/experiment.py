"""`make exp`: check that the experiments can run as meant, then let DVC run or queue them. `make exps` lists them."""

import shlex
import shutil
import sys
from pathlib import Path

from pipeline.config import names, params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import preflight, runs
from pipeline.experiments.changes import PARAMS
from pipeline.project import checks, command, dvc, workspace
from pipeline.records.manifest import MANIFEST


def main(
    set_param: str = "",
    target: str = "",
    name: str = "",
    queue: bool = False,
    jobs: int = 1,
    apply: str = "",
    show: bool = False,
) -> None:
    """Run `dvc exp run` with these arguments, in a folder of its own.

    Args:
        set_param: changes of params.yaml, separated by blanks; with `--queue`, one may have several values: `a=1,2`.
        target: a stage, for instance `evaluate@slice`; "" is the whole pipeline.
        name: of the experiment, or the beginning of the names of several.
        queue: queue them, and start workers.
        jobs: the number of workers.
        apply: run nothing; apply the experiment of this name to the workspace.
        show: run nothing; list the experiments on this commit with the params and metrics in which they differ.
    """
    workspace.expect_clone()
    if show:
        # A pattern with a slash drops dependencies: DVC shows the hash of every one. Without its pager, DVC keeps to
        # the width of the terminal.
        dvc.run("make exps", "exp", "show", "--no-pager", "--only-changed", "--drop", ".*/.*|Created")
        return
    if apply:
        names.check_experiment(apply, "APPLY")
        checks.raise_on_problems([preflight.applicable()])
        dvc.run("make exp", "exp", "apply", apply)
        _remove_unpackaged()
        return
    if jobs < 1:
        raise ConfigurationError(f"--jobs: expected a number of at least 1, found {jobs}")
    try:
        changes = shlex.split(set_param)
    except ValueError as error:
        raise ConfigurationError(f"SET: {error} in {set_param!r}; expected a quote at both ends") from None
    checks.raise_on_problems(preflight.checks(changes, target=target, name=name, queue=queue))
    runs.start("make exp", changes, target=target, name=name, queue=queue)
    if queue:
        dvc.run("make exp", "queue", "start", "--jobs", str(jobs))


def _remove_unpackaged() -> None:
    """Remove the tasks that the experiment does not package: git has their manifests, and nothing has their models."""
    packaged = params.load(Path(PARAMS)).package
    for manifest in sorted(Path("artifacts").glob(f"*/{MANIFEST}")):
        if manifest.parent.name not in packaged:
            shutil.rmtree(manifest.parent)
            print(f"removed {manifest.parent}: the experiment packages no model of this task", file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
