"""DVC's experiments: what a change of params makes of them, and which of those that ran still hold.

DVC does the work; here stands what it would only say after a run had begun, or not at all.
"""

import difflib
import functools
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.project import workspace

PARAMS = "params.yaml"


def combinations(changes: Sequence[str], path: Path = Path(PARAMS)) -> list[tuple[str, ...]]:
    """The runs that changes as `dvc exp run --set-param` takes them stand for; each is held against params.yaml.

    Args:
        changes: `key=value`, several values as `key=1,2` or `key=range(1,5)`.
        path: the params that are changed; `pipeline/` stands beside them.

    Returns:
        The changes of every run, each of one value: the product of all choices, or one run without any.

    Raises:
        ConfigurationError: no `key=value`, an unknown key (the nearest one is named), or a value that its key does not
            take.
    """
    known = list(_keys(params.read(path)))
    for change in changes:
        key, equals, _ = change.partition("=")
        if not equals:
            raise ConfigurationError(f"--set-param {change}: expected key=value, for instance seed=1,2")
        if key.startswith("~"):
            raise ConfigurationError(f"--set-param {change}: a key cannot be removed; expected key=value")
        # A setting that params.yaml leaves to its default is added with a plus; the check of each run sees to the rest.
        if not key.startswith("+") and key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"--set-param {change}: no key {key} in {path}{hint}")
    if not changes:
        changed(params.read(path), (), path)
        return [()]
    try:
        runs = [tuple(sweep[PARAMS]) for sweep in get_hydra_sweeps({PARAMS: list(changes)})]
    except (DvcException, ValueError) as error:
        raise ConfigurationError(f"--set-param {' '.join(changes)}: {error}") from None
    except Exception as error:
        # Hydra's grammar errors share no base class with anything but Exception.
        if not type(error).__module__.startswith("hydra"):
            raise
        said = str(error).splitlines()[0]
        raise ConfigurationError(f"--set-param {' '.join(changes)}: {said}") from None
    for run in runs:
        changed(params.read(path), run, path)
    return runs


def changed(document: Mapping[str, Any], changes: Sequence[str], path: Path = Path(PARAMS)) -> dict[str, Any]:
    """A params document with changes made as DVC makes them, checked as `make repro` checks it.

    Raises:
        ConfigurationError: what comes out is not what params.yaml may hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PARAMS
        with copy.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(dict(document), file)
        (Path(folder) / "pipeline").symlink_to(path.resolve().with_name("pipeline"))
        try:
            if changes:
                apply_overrides(copy, list(changes))
            params.load(copy)
            return params.read(copy)
        except DvcException as error:
            raise ConfigurationError(f"--set-param {' '.join(changes)}: {error.__cause__ or error}") from None
        except ConfigurationError as error:
            where = f"--set-param {' '.join(changes)}: " if changes else ""
            raise ConfigurationError(where + str(error).replace(str(copy), str(path))) from None


@dataclass(frozen=True)
class Run:
    """One experiment: its name, the changes of params that make it, and the stage it is run for."""

    name: str
    changes: tuple[str, ...]
    target: str


def queued() -> list[str]:
    """The names of the experiments that wait in DVC's queue or run from it."""
    with Repo() as repo:
        queue = repo.experiments.celery_queue
        return [entry.name for entry in (*queue.iter_queued(), *queue.iter_active()) if entry.name]


def finished(run: Run) -> str | None:
    """The commit of an experiment of this name that would come out the same today; None where there is none.

    It may have started from an earlier commit: what counts is that no code, no number and no command has changed since
    on which its target or a stage before it depends, nor what was fetched. Of several the youngest is taken.

    Raises:
        ConfigurationError: the changes cannot be made to params.yaml.
    """
    for line in workspace.git(
        "for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", "refs/exps"
    ).splitlines():
        revision, _, ref = line.partition(" ")
        parts = ref.split("/")
        if len(parts) == 5 and parts[-1] == run.name and _holds(revision, run):
            return revision
    return None


def _holds(revision: str, run: Run) -> bool:
    stages = document(revision, "dvc.lock").get("stages", {})
    upstream = _upstream(stages, run.target)
    if not upstream:
        return False
    committed = _committed()
    if not all(_same(stages[name], committed[name]) for name in upstream if name in committed):
        return False
    code = sorted({dep["path"] for name in upstream for dep in stages[name].get("deps", []) if _is_code(dep)})
    same = subprocess.run(["git", "diff", "--quiet", revision, "HEAD", "--", *code], check=False)
    if same.returncode:
        return False
    today = changed(params.read(Path(PARAMS)), run.changes)
    recorded = [stages[name].get("params", {}).get(PARAMS, {}) for name in upstream]
    return all(_at(today, key) == value for keys in recorded for key, value in keys.items())


def _committed() -> Mapping[str, Any]:
    """The stages of the last commit's dvc.lock, none where it has no such file."""
    listed = workspace.git("ls-tree", "--name-only", "HEAD", "dvc.lock")
    return document("HEAD", "dvc.lock").get("stages", {}) if listed else {}


def _same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two records of a stage have the same command and, of one that depends on code alone, the same outs.

    What such a stage makes, as `fetch` does, hangs on more than DVC can see: a mirror, a folder, the network.
    """
    if then.get("cmd") != now.get("cmd"):
        return False
    if not all(_is_code(dep) for dep in then.get("deps", [])):
        return True
    before, after = ([out.get("md5") for out in stage.get("outs", [])] for stage in (then, now))
    return before == after


def _is_code(dep: Mapping[str, Any]) -> bool:
    return PurePosixPath(dep["path"]).parts[0] in workspace.CODE


def document(revision: str, path: str) -> dict[str, Any]:
    """A YAML file as it stood at a commit."""
    return _document(workspace.git("rev-parse", f"{revision}:{path}"))


@functools.cache
def _document(blob: str) -> dict[str, Any]:
    return YAML(typ="safe").load(workspace.git("cat-file", "blob", blob)) or {}


def _upstream(stages: Mapping[str, Any], target: str) -> list[str]:
    """The target and every stage whose outs it needs, as a lock file records them; empty where it has no target."""
    found, waiting = [], [target]
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


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
