"""What would make an experiment fail, or run on something else than meant, said before it is queued."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import psutil
from dvc.repo import Repo

from pipeline.config.sections import Sources
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import runs
from pipeline.experiments.studies import Study
from pipeline.project import workspace
from pipeline.project.checks import Check, refuse

DECIDING = (*workspace.CODE, "params.yaml", "dvc.yaml", "dvc.lock")
"""What decides on the result of a run."""


def checks(changes: Sequence[str] = (), *, target: str = "", name: str = "", queue: bool = False) -> list[Check]:
    """What a run of experiments with these changes of params would meet.

    Args:
        changes: as `dvc exp run --set-param` takes them.
        target: the stage they run for; "" for the whole pipeline.
        name: the experiment's, or of several the beginning of theirs; "" leaves it to DVC.
        queue: whether it is queued for workers that run in folders of their own.
    """
    found = [identity(), *_changes(changes, queue), *code(), *_pictures(), _mirror()]
    if target:
        found.append(_target(target))
    if name:
        found.append(_name(name, several=queue))
    if queue:
        found += _workers()
    return found


def expect_study(study: Study, jobs: int = 0) -> None:
    """Refuse a study whose runs would fail, or would not be those of the current commit.

    Raises:
        ConfigurationError: there is a problem; the first one is named, and notes are printed.
    """
    deciding = [path for path in workspace.modified() if path.startswith(DECIDING)]
    committed = Check("commit", "ok", "everything that decides on a result is committed")
    if deciding:
        committed = Check(
            "commit",
            "problem",
            f"{_few(deciding)} changed since the last commit; a study is of a commit, so commit or restore it first",
        )
    changes = [each.changes for _, each in study.points()]
    valued = [check for each in changes for check in _changes(each, queue=False) if check.verdict == "problem"]
    refuse([identity(), committed, *valued, *code(), *_pictures(), _mirror(), *(_workers() if jobs else [])])


def identity() -> Check:
    """Whether git knows who commits: an experiment is a commit."""
    missing = []
    for key, variables in (
        ("user.name", ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME")),
        ("user.email", ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")),
    ):
        if not workspace.configured(key) and not all(os.environ.get(variable) for variable in variables):
            missing.append(key)
    if missing:
        keys = " and ".join(missing)
        return Check(
            "identity", "problem", f"git has no {keys}, and every experiment is a commit: git config {missing[0]} …"
        )
    return Check(
        "identity", "ok", f"commits are by {workspace.configured('user.name') or os.environ['GIT_AUTHOR_NAME']}"
    )


def code() -> list[Check]:
    """Whether the code that an experiment's folder gets is the code that stands here."""
    found = []
    if new := workspace.untracked():
        found.append(
            Check("code", "problem", f"{_few(new)} not known to git, so no experiment gets it: git add {new[0]}")
        )
    if changed := workspace.modified():
        found.append(
            Check(
                "code",
                "note",
                f"{_few(changed)} not committed: experiments take it as it is now; commit before `dvc exp apply`, "
                "which would revert it without a word",
            )
        )
    return found or [Check("code", "ok", "all of it is committed")]


def applicable() -> Check:
    """Whether an experiment can be applied: DVC reverts what is not committed without a word."""
    if changed := workspace.modified():
        return Check(
            "workspace",
            "problem",
            f"{_few(changed)} not committed; applying an experiment would revert it: commit or restore it first",
        )
    return Check("workspace", "ok", "nothing that could be lost")


def _changes(changes: Sequence[str], queue: bool) -> list[Check]:
    try:
        changed = runs.combinations(changes)
    except ConfigurationError as error:
        return [Check("params", "problem", str(error))]
    if len(changed) > 1 and not queue:
        return [Check("params", "problem", f"{len(changed)} runs, and DVC runs several from the queue only: QUEUE=1")]
    return [Check("params", "ok", "one run" if len(changed) == 1 else f"{len(changed)} runs")]


def _target(target: str) -> Check:
    with Repo() as repo:
        stages = sorted(stage.addressing for stage in repo.index.stages)
    named = {*stages, *(stage.partition("@")[0] for stage in stages)}
    if target in named:
        return Check("target", "ok", target)
    close = difflib.get_close_matches(target, named, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(stages)}"
    return Check("target", "problem", f"no stage {target} in dvc.yaml; {hint}")


def _name(name: str, several: bool) -> Check:
    # DVC numbers the runs of a sweep, NAME-1 and on.
    def takes(other: str) -> bool:
        return other == name or (several and re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None)

    if taken := list(filter(takes, workspace.experiments_here())):
        return Check(
            "name", "problem", f"{_few(taken)} taken on this commit; choose another AS, or dvc exp remove {taken[0]}"
        )
    if taken := list(filter(takes, runs.queued())):
        return Check(
            "name", "problem", f"{_few(taken)} in the queue; choose another AS, or wait for it (dvc queue status)"
        )
    return Check("name", "ok", f"{name} is free")


def _pictures() -> list[Check]:
    found = []
    for source in Sources.model_fields:
        if workspace.origin(source) == "embedded":
            found.append(
                Check(
                    "pictures",
                    "note",
                    f"{source} is the embedded stand-in: experiments run on it, and say nothing about real data; "
                    f"for those set {workspace.MIRROR_VARIABLE} and run make repro",
                )
            )
    return found


def _mirror() -> Check:
    value = os.environ.get(workspace.MIRROR_VARIABLE, "")
    absolute = workspace.mirror().get(workspace.MIRROR_VARIABLE, value)
    if not value:
        return Check(
            "mirror", "ok", f"{workspace.MIRROR_VARIABLE} is not set; what has to be fetched comes from the network"
        )
    if "://" not in value and not Path(absolute).is_dir():
        return Check("mirror", "problem", f"{workspace.MIRROR_VARIABLE}={value}: no such folder")
    if absolute != value:
        return Check("mirror", "note", f"{workspace.MIRROR_VARIABLE}={value} is relative; runs get {absolute}")
    return Check("mirror", "ok", value)


def _workers() -> list[Check]:
    """Workers of the queue that run already: they give every run the environment that they were started with."""
    mine = {**os.environ, **workspace.mirror()}.get(workspace.MIRROR_VARIABLE)
    found = []
    for worker in _running_workers():
        theirs = worker.environ().get(workspace.MIRROR_VARIABLE)
        if theirs != mine:
            found.append(
                Check(
                    "queue",
                    "problem",
                    f"worker {worker.pid} was started with {workspace.MIRROR_VARIABLE}={theirs or ''} and would run "
                    "these with it: wait until it ends, or dvc queue stop",
                )
            )
    return found or [Check("queue", "ok", "no worker with another environment is running")]


def _running_workers() -> list[psutil.Process]:
    """This user's queue workers whose folder is the project's."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "queue-worker" in words and Path(process.cwd()).resolve().is_relative_to(Path.cwd().resolve()):
                process.environ()
                found.append(process)
        except psutil.Error:
            continue
    return found


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f"{', '.join(paths[:2])}{more} {'is' if len(paths) == 1 else 'are'}"
