"""Experiments of DVC: how one is started, which there are by name, and which still hold.

An experiment is a commit below `refs/exps`. It holds as long as its target would come out the same today.
"""

import functools
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.experiments import changes, keeping, staleness
from pipeline.project import dvc, git, workspace
from pipeline.project.progress import Progress

LOGS = Path("reports/logs/experiments")
"""The logs of experiments that are not queued, a folder for each name."""


@dataclass(frozen=True)
class Run:
    """One experiment.

    Attributes:
        name: of the experiment.
        changes: of params.yaml, each of one value.
        target: the stage that it is run for.
    """

    name: str
    changes: tuple[str, ...]
    target: str


def start(command: str, changed: Sequence[str], *, target: str = "", name: str = "", queue: bool = False) -> None:
    """Run or queue one experiment in a folder of its own; its logs are in `LOGS`.

    Args:
        command: what the user called, for messages.
        changed: changes of params.yaml.
        target: the stage to run; "" for the whole pipeline.
        name: of the experiment; "" leaves it to DVC.
        queue: only queue it.

    Raises:
        DataError: DVC ended without an error, but kept no experiment.
        Stopped: DVC failed.
    """
    written = params.read(Path(changes.PARAMS))
    options = [option for change in changed for option in ("--set-param", changes.with_plus(change, written))]
    options += ["--name", name] if name else []
    options += [target] if target else []
    if queue:
        dvc.run(command, "exp", "run", "--queue", *options)
        return
    progress = Progress(LOGS / (name or "unnamed"), sys.stdout)
    expected = staleness.upstream(target)
    progress.expect(expected)
    before = set(names())
    dvc.follow(command, progress, "exp", "run", "--temp", *options)
    new = sorted(set(names()) - before)
    expect_kept(command, name or (new[0] if new else ""), expected)
    print(progress.summary(), flush=True)


def expect_kept(command: str, name: str, stages: Collection[str]) -> str:
    """Check after a run that the experiment exists, and that the cache has what its stages wrote.

    Args:
        command: what the user called, for messages.
        name: of the experiment; "" where there is none.
        stages: its stages.

    Returns:
        The commit of the experiment.

    Raises:
        DataError: it is not kept, or not whole.
    """
    commit = revision(name) if name else ""
    if not commit:
        raise DataError(f"{command} ended, but there is no experiment{f' {name}' if name else ''}; run it again")
    keeping.expect_kept(command, document(commit, keeping.LOCK), stages)
    return commit


def revision(name: str) -> str:
    """The commit of the experiment of this name on top of the current commit, "" where there is none."""
    return git.output("for-each-ref", "--format=%(objectname)", f"{_here()}/{name}")


def names() -> list[str]:
    """The names of the experiments on top of the current commit."""
    refs = git.output("for-each-ref", "--format=%(refname)", _here()).splitlines()
    return [ref.rpartition("/")[2] for ref in refs]


def queued() -> list[str]:
    """The names of the experiments that wait in DVC's queue or run from it."""
    with dvc.opened() as repo:
        queue = repo.experiments.celery_queue
        return [entry.name for entry in (*queue.iter_queued(), *queue.iter_active()) if entry.name]


def finished(run: Run) -> str | None:
    """The commit of an experiment of this name that would come out the same today; None where there is none.

    The experiment may be on an earlier commit, if none of these has changed since for its target and every stage
    before it: code, numbers, commands, and what was fetched. The youngest of several is returned.

    Raises:
        ConfigurationError: the changes cannot be made to params.yaml.
    """
    refs = git.output("for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", "refs/exps")
    for line in refs.splitlines():
        commit, _, ref = line.partition(" ")
        parts = ref.split("/")
        if len(parts) == 5 and parts[-1] == run.name and _holds(commit, run):
            return commit
    return None


def document(commit: str, path: str) -> dict[str, Any]:
    """The content of a YAML file at a commit.

    Raises:
        DataError: it is damaged, as one is that was committed with the markers of a merge conflict.
    """
    try:
        return _document(git.output("rev-parse", f"{commit}:./{path}"))
    except (YAMLError, ValueError) as error:
        raise DataError(
            f"{path} at {commit[:7]}: not a YAML file with a mapping ({next(iter(str(error).splitlines()), '')}); "
            "commit a sound one, or remove the experiment: `dvc exp remove`"
        ) from None


def text(commit: str, path: str) -> str:
    """The content of a text file at a commit."""
    return git.output("cat-file", "blob", f"{commit}:./{path}")


@functools.cache
def _document(blob: str) -> dict[str, Any]:
    content = YAML(typ="safe").load(git.output("cat-file", "blob", blob)) or {}
    if not isinstance(content, dict):
        raise ValueError(f"{type(content).__name__} found")
    return content


def _here() -> str:
    """The folder of git's refs with the experiments on top of the current commit."""
    head = git.output("rev-parse", "--verify", "HEAD")
    return f"refs/exps/{head[:2]}/{head[2:]}"


def _holds(commit: str, run: Run) -> bool:
    stages = document(commit, "dvc.lock").get("stages", {})
    upstream = _upstream(stages, run.target)
    if not upstream:
        return False
    committed = _committed()
    if not all(has_same_sources(stages[name], committed[name]) for name in upstream if name in committed):
        return False
    code = sorted({dep["path"] for name in upstream for dep in stages[name].get("deps", []) if _is_code(dep)})
    if code and git.run("diff", "--quiet", commit, "HEAD", "--", *code).code:
        return False
    today = changes.apply(params.read(Path(changes.PARAMS)), run.changes)
    commands = {name: stage.command for name, stage in dvc.definitions(today).items()}
    if any(stages[name].get("cmd") != commands.get(name) for name in upstream):
        return False
    recorded = [stages[name].get("params", {}).get(changes.PARAMS, {}) for name in upstream]
    return all(dvc.value_at(today, key) == value for keys in recorded for key, value in keys.items())


def _committed() -> Mapping[str, Any]:
    """The stages of the last commit's dvc.lock, none where it has no such file."""
    committed = git.output("ls-tree", "--name-only", "HEAD", "dvc.lock")
    return document("HEAD", "dvc.lock").get("stages", {}) if committed else {}


def has_same_sources(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two records of a stage in dvc.lock have the same outs, if the stage depends on code alone.

    The outs of such a stage, for instance `fetch`, depend on more than DVC can see: a mirror, a folder, the network.
    """
    if not all(_is_code(dep) for dep in then.get("deps", [])):
        return True
    before, after = ([out.get("md5") for out in stage.get("outs", [])] for stage in (then, now))
    return before == after


def _is_code(dep: Mapping[str, Any]) -> bool:
    return PurePosixPath(dep["path"]).parts[0] in workspace.CODE


def _upstream(stages: Mapping[str, Any], target: str) -> list[str]:
    """The target and every stage that it depends on, as dvc.lock records them; empty where it has no such target."""
    found: list[str] = []
    waiting = [target]
    while waiting:
        name = waiting.pop()
        if name in found or name not in stages:
            continue
        found.append(name)
        needed = [PurePosixPath(dep["path"]) for dep in stages[name].get("deps", [])]
        for other, stage in stages.items():
            outs = [PurePosixPath(out["path"]) for out in stage.get("outs", [])]
            if any(out.is_relative_to(dep) or dep.is_relative_to(out) for out in outs for dep in needed):
                waiting.append(other)
    return found
