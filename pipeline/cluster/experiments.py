"""`make study ON=ray`: the runs of a study on a cluster, each kept as an experiment of git as soon as it is whole."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from dvc.repo.experiments.refs import ExpRefInfo

from pipeline.cluster import checkout, driver, session
from pipeline.cluster.driver import Progress
from pipeline.cluster.plan import Plan
from pipeline.config import params
from pipeline.config.params import Params
from pipeline.core.errors import DataError
from pipeline.experiments import changes, runs
from pipeline.experiments.runs import Run
from pipeline.project import dvc, git


def run(points: Sequence[Run], settings: Params) -> None:
    """Run what is not finished of the runs of a study, each stage once for all runs that share it.

    Raises:
        ConfigurationError: no remote, no Ray, no node that is large enough, or a source that was not fetched.
        Stopped: a run failed; the others ended.
        ClusterError, RemoteError: the cluster or the remote cannot be used.
    """
    head = _head()
    waiting = {each.name: each for each in points if not runs.finished(each)}
    print(f"{len(points) - len(waiting)} of {len(points)} runs were finished before", flush=True)
    if not waiting:
        return
    tasks = Plan()
    for each in waiting.values():
        tasks.add(each.name, each.changes, each.target)
    driver.check_settings(settings.cluster, dvc.definitions(params.read(Path(changes.PARAMS))))

    def keep_finished(progress: Progress) -> None:
        for name in [name for name in waiting if set(tasks.runs[name].values()) <= progress.outcomes.keys()]:
            keep(waiting.pop(name), tasks.runs[name], progress, head)
            print(f"{len(points) - len(waiting)}/{len(points)} {name}", flush=True)

    driver.expect_success(driver.run("make study", tasks, settings.cluster, keep_finished))


@contextlib.contextmanager
def executor(settings: Params) -> Iterator[Callable[[Sequence[Run]], None]]:
    """Give a function that does what `run` does, as often as it is called, in one connection to a cluster.

    Raises:
        ConfigurationError, ClusterError: as `session.connected`; the executor itself, as `run`, and DataError where
            the clone is at another commit than at the start.
    """
    head = _head()
    with contextlib.ExitStack() as stack:

        def execute(points: Sequence[Run]) -> None:
            if _head() != head:
                # What was looked up of the first commit would be taken for the second.
                raise DataError(f"make study: the clone was at {head[:7]} and is at {_head()[:7]}; run it again")
            if not connections:
                connections.append(stack.enter_context(session.connected()))
            run(points, settings)

        connections: list[ModuleType] = []
        yield execute


def _head() -> str:
    return git.output("rev-parse", "HEAD")


def keep(run: Run, stages: Mapping[str, str], progress: Progress, head: str) -> str:
    """Make the experiment of a run: a commit on top of that which ran, as DVC makes it after `dvc exp run`.

    Args:
        run: that is finished.
        stages: by stage, the key of its task.
        progress: has their outcomes.
        head: the commit whose code ran; a person may have made another since.

    Returns:
        The commit.

    Raises:
        DataError: it would not count as the result of this run.
    """
    ref = str(ExpRefInfo(head, run.name))
    top, prefix = git.output("rev-parse", "--show-toplevel"), git.output("rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place)
        git.output("clone", "--quiet", "--shared", "--no-checkout", top, place)
        # All of the commit in the index, and only what changes on disk.
        git.output("read-tree", head, folder=clone)
        project = clone / prefix
        project.mkdir(parents=True, exist_ok=True)
        git.output("checkout-index", "--", "params.yaml", "dvc.lock", folder=project)
        checkout.set_params(run.changes, project)
        checkout.record([progress.outcomes[key] for key in stages.values()], project)
        paths = {path for key in stages.values() for path in progress.outcomes[key].files}
        git.output("add", "--force", "--", "params.yaml", "dvc.lock", *sorted(paths), folder=project)
        tree = git.output("write-tree", folder=clone)
        identity = [f"{key}={value}" for key in ("user.name", "user.email") if (value := git.setting(key))]
        made = git.run("commit-tree", "--no-gpg-sign", "-p", head, "-m", f"make study: {run.name}", tree,
                       folder=clone, settings=identity)  # fmt: skip
        if made.code:
            raise DataError(f"{run.name}: the experiment cannot be committed: {made.reason}")
        commit = made.output.strip()
        git.output("update-ref", "refs/heads/experiment", commit, folder=clone)
        git.output("fetch", "--quiet", place, f"+refs/heads/experiment:{ref}")
    if runs.finished(run) != commit:
        raise DataError(f"make study: {run.name} ended, but its record is not that of this commit; run it again")
    return commit
