"""Checks before an experiment starts: what would make it fail, or run on something other than meant."""

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from pipeline.config import names
from pipeline.config.sections import PUBLIC_SOURCES
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import changes as changing
from pipeline.experiments import keeping, runs
from pipeline.project import dvc, git, workspace
from pipeline.project.checks import Check, raise_on_problems
from pipeline.project.workspace import MIRROR_VARIABLE


def checks(changes: Sequence[str] = (), *, target: str = "", name: str = "", queue: bool = False) -> list[Check]:
    """Check a run of experiments with these changes of params.yaml.

    Args:
        changes: as `dvc exp run --set-param` takes them.
        target: the stage that they run for; "" for the whole pipeline.
        name: of the experiment, or the beginning of the names of several; "" leaves it to DVC.
        queue: whether they are queued for workers that run in folders of their own.
    """
    kept = [*keeping.checks(experiment=True), identity()]
    if any(check.verdict == "problem" for check in kept):
        # Without them, the other checks cannot look.
        return kept
    found = [*kept, *_changes(changes, queue), *code(), *_pictures(), _mirror()]
    if target:
        found.append(_target(target))
    if name:
        found.append(_name(name, several=queue))
    if queue:
        found += _workers()
    return found


def expect_study(changed: Iterable[Sequence[str]], jobs: int = 0) -> None:
    """Check that the runs of a study can succeed, and are those of the current commit.

    Args:
        changed: of each run, its changes of params.yaml.
        jobs: workers of the queue; 0 for none.

    Raises:
        ConfigurationError: there is a problem; the first one is named, and notes are printed.
    """
    kept = [*keeping.checks(experiment=True), identity()]
    raise_on_problems([check for check in kept if check.verdict == "problem"])
    committed = _committed(keeping.DECIDING, "a study is")
    valued = [check for changes in changed for check in _changes(changes, queue=False) if check.verdict == "problem"]
    raise_on_problems([*kept, committed, *valued, *code(), *_pictures(), _mirror(), *(_workers() if jobs else [])])


def expect_cluster() -> None:
    """Check that `make repro ON=ray` can keep its result, and that the commit has all that it depends on.

    Raises:
        ConfigurationError: there is a problem; the first one is named.
    """
    kept = keeping.checks(experiment=False)
    raise_on_problems([check for check in kept if check.verdict == "problem"])
    # dvc.lock may have results that are not committed yet.
    deciding = [name for name in keeping.DECIDING if name != keeping.LOCK]
    problems = [check for check in code() if check.verdict == "problem"]
    raise_on_problems([_committed(deciding, "what runs on a cluster is"), *problems])


def _committed(deciding: Sequence[str], what: str) -> Check:
    if changed := [path for path in workspace.modified() if path.startswith(tuple(deciding))]:
        message = f"{workspace.are(changed)} changed since the last commit; {what} of a commit, so commit or restore it"
        return Check("commit", "problem", f"{message} first")
    return Check("commit", "ok", "everything that a result depends on is committed")


def expect_rehearsal() -> None:
    """Check that `make quick` can keep its result; it takes code that git does not know along.

    Raises:
        ConfigurationError: there is a problem; the first one is named.
    """
    raise_on_problems([*keeping.checks(experiment=True), identity(), _mirror()])


def expect_reproduction() -> None:
    """Check that `make repro` can keep its result in dvc.lock and in the cache. It needs no git.

    Raises:
        ConfigurationError: there is a problem; the first one is named.
    """
    raise_on_problems(keeping.checks(experiment=False))


def identity() -> Check:
    """Whether git knows who commits: an experiment is a commit."""
    missing = []
    for key, variables in (
        ("user.name", ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME")),
        ("user.email", ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")),
    ):
        if not git.setting(key) and not all(os.environ.get(variable) for variable in variables):
            missing.append(key)
    if missing:
        keys = " and ".join(missing)
        message = f"git has no {keys}, and every experiment is a commit: git config {missing[0]} …"
        return Check("identity", "problem", message)
    return Check("identity", "ok", f"commits are by {git.setting('user.name') or os.environ['GIT_AUTHOR_NAME']}")


def code() -> list[Check]:
    """Whether the folder of an experiment gets the code that is here."""
    found = []
    if new := workspace.untracked():
        message = f"{workspace.are(new)} unknown to git, so no experiment gets it: git add {shlex.quote(new[0])}"
        found.append(Check("code", "problem", message))
    if hidden := workspace.ignored():
        message = (
            f"{workspace.are(hidden)} ignored by git, so no experiment gets it: git add -f {shlex.quote(hidden[0])}"
        )
        found.append(Check("code", "problem", message))
    if changed := workspace.modified():
        message = (
            f"{workspace.are(changed)} not committed: experiments take it as it is now; commit before `dvc exp apply`, "
            "which would revert it without a warning"
        )
        found.append(Check("code", "note", message))
    return found or [Check("code", "ok", "all of it is committed")]


def line_ends() -> list[Check]:
    """Whether what DVC hashes has the ends of lines that git keeps, LF: another end makes stages stale."""
    changed = []
    for line in workspace.paths("ls-files", "--eol", "--", *keeping.DECIDING):
        ends, _, path = line.partition("\t")
        kept, here, *_ = ends.split()
        if kept == "i/lf" and here in ("w/crlf", "w/mixed"):
            changed.append(path)
    if changed:
        message = (
            f"{workspace.are(changed)} with CRLF at the ends of lines, which makes stages stale: git config --unset "
            f"core.autocrlf; rm {shlex.quote(changed[0])}; git checkout -- {shlex.quote(changed[0])}"
        )
        return [Check("line ends", "note", message)]
    return []


def applicable() -> Check:
    """Whether an experiment can be applied: DVC reverts what is not committed without a warning."""
    if changed := workspace.modified():
        message = (
            f"{workspace.are(changed)} not committed; applying an experiment would revert it: commit or restore it "
            "first"
        )
        return Check("workspace", "problem", message)
    return Check("workspace", "ok", "nothing that could be lost")


def _changes(changes: Sequence[str], queue: bool) -> list[Check]:
    try:
        several = changing.combinations(changes)
    except ConfigurationError as error:
        return [Check("params", "problem", str(error))]
    if len(several) > 1 and not queue:
        return [Check("params", "problem", f"{len(several)} runs, and DVC runs several from the queue only: QUEUE=1")]
    return [Check("params", "ok", "one run" if len(several) == 1 else f"{len(several)} runs")]


def _target(target: str) -> Check:
    with dvc.opened() as repo:
        stages = sorted(stage.addressing for stage in repo.index.stages)
    named = {*stages, *(stage.partition("@")[0] for stage in stages)}
    if target in named:
        return Check("target", "ok", target)
    close = difflib.get_close_matches(target, named, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(stages)}"
    return Check("target", "problem", f"no stage {target} in dvc.yaml; {hint}")


def _name(name: str, several: bool) -> Check:
    try:
        names.check_experiment(name, "AS")
    except ConfigurationError as error:
        return Check("name", "problem", str(error))

    # DVC numbers the runs of a sweep: NAME-1, NAME-2 and so on.
    def takes(other: str) -> bool:
        return other == name or (several and re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None)

    if taken := list(filter(takes, runs.names())):
        message = f"{workspace.are(taken)} taken on this commit; choose another AS, or dvc exp remove {taken[0]}"
        return Check("name", "problem", message)
    if taken := list(filter(takes, runs.queued())):
        message = f"{workspace.are(taken)} in the queue; choose another AS, or wait for it (dvc queue status)"
        return Check("name", "problem", message)
    return Check("name", "ok", f"{name} is free")


def _pictures() -> list[Check]:
    return [
        Check(
            "pictures",
            "note",
            f"{source} is the embedded stand-in: experiments run on it, and their results say nothing about real data; "
            f"for those set {MIRROR_VARIABLE} and run make repro",
        )
        for source in PUBLIC_SOURCES
        if workspace.origin(source) == "embedded"
    ]


def _mirror() -> Check:
    value, absolute = os.environ.get(MIRROR_VARIABLE, ""), workspace.mirror()
    if not value:
        return Check("mirror", "ok", f"{MIRROR_VARIABLE} is not set; what has to be fetched comes from the network")
    if "://" not in value and not Path(absolute).is_dir():
        return Check("mirror", "problem", f"{MIRROR_VARIABLE}={value}: no such folder")
    if absolute != value:
        return Check("mirror", "note", f"{MIRROR_VARIABLE}={value} is relative; runs get {absolute}")
    return Check("mirror", "ok", value)


def _workers() -> list[Check]:
    """Workers of the queue that run already: they give every run the environment that they were started with."""
    mine = workspace.mirror()
    found = []
    for pid, theirs in _running_workers():
        if theirs != mine:
            message = (
                f"worker {pid} was started with {MIRROR_VARIABLE}={theirs} and would run these with it: "
                "wait until it ends, or dvc queue stop"
            )
            found.append(Check("queue", "problem", message))
    return found or [Check("queue", "ok", "no worker with another environment is running")]


def _running_workers() -> list[tuple[int, str]]:
    """This user's queue workers of this project: the id of each process, and its mirror, "" without one."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "queue-worker" in words and Path(process.cwd()).resolve().is_relative_to(Path.cwd().resolve()):
                found.append((process.pid, process.environ().get(MIRROR_VARIABLE, "")))
        except psutil.Error:
            continue
    return found
