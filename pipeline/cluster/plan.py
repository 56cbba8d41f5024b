"""What there is to compute: every stage of every run once, by a key of all that decides what it writes."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import changes, keeping
from pipeline.project import dvc, git
from pipeline.project.dvc import Definition
from pipeline.records.outcome import Outcome

_VERSION = 1
"""Of the keys: what one version of this module put into a remote, another with the same number finds."""


@dataclass(frozen=True)
class Task:
    """One stage with one content of code, params and inputs.

    Attributes:
        key: 64 hexadecimal digits; equal keys give equal outputs.
        stage: its definition.
        changes: of params.yaml with which it has this key.
        upstream: the keys of the stages on which it depends directly.
    """

    key: str
    stage: Definition
    changes: tuple[str, ...]
    upstream: frozenset[str]


@dataclass
class Plan:
    """The tasks of several runs.

    Attributes:
        tasks: by key, in an order in which they can run.
        runs: by the name of a run, the keys of its target and of every stage before it, by stage.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    runs: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, name: str, changed: tuple[str, ...], target: str = "") -> None:
        """Add a run.

        Args:
            name: of the run.
            changed: changes of params.yaml, each of one value.
            target: the stage that it runs for; "" for the whole pipeline.

        Raises:
            ConfigurationError: the changes cannot be made, or the commit has not what a stage depends on.
        """
        definitions = _definitions(changed)
        wanted = _ancestors(definitions, target) if target else set(definitions)
        keys: dict[str, str] = {}
        for stage in definitions.values():
            if stage.name in wanted:
                upstream = {each: keys[each] for each in stage.upstream}
                keys[stage.name] = _key(stage, upstream)
                self.tasks.setdefault(
                    keys[stage.name], Task(keys[stage.name], stage, changed, frozenset(upstream.values()))
                )
        self.runs[name] = keys


def known(plan: Plan) -> dict[str, Outcome]:
    """The tasks whose outcome dvc.lock has: code, params and inputs are those of the workspace, data may be missing.

    Returns:
        By key. DVC's files of these stages are in its cache or in the remote, if anywhere.
    """
    lock = keeping.recorded().get("stages", {})
    definitions = _definitions(())
    current: dict[str, Outcome] = {}
    keys: dict[str, str] = {}
    with dvc.opened() as repo, repo.lock:
        stages = {stage.name: stage for stage in repo.index.stages}
        for name, definition in definitions.items():
            before = [stages[each] for each in definition.upstream]
            if not definition.upstream <= set(keys) or stages[name].changed(True, before) or name not in lock:
                continue
            keys[name] = _key(definition, {each: keys[each] for each in definition.upstream})
            if keys[name] in plan.tasks:
                files = texts(path for path, kept in definition.outs.items() if not kept)
                current[keys[name]] = Outcome(
                    stage=name, lock=lock[name], files=files, seconds=0, machine="", cached=True
                )
    return current


def texts(paths: Iterable[str]) -> dict[str, str]:
    """The text of small files, and of those in folders, by path."""
    found: dict[str, str] = {}
    for path in map(Path, paths):
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        found |= {str(file): file.read_bytes().decode() for file in files}
    return found


def sources() -> list[str]:
    """The stages that depend on no other: what they write comes from outside, and is not decided by code alone."""
    return [name for name, stage in _definitions(()).items() if not stage.upstream]


@functools.lru_cache(maxsize=32)  # Some MB each, and a study has as many as it has sets of params.
def _definitions(changed: tuple[str, ...]) -> dict[str, Definition]:
    document = params.read(Path(changes.PARAMS))
    return dvc.definitions(changes.apply(document, changed) if changed else document)


def _ancestors(definitions: Mapping[str, Definition], target: str) -> set[str]:
    found: set[str] = set()
    waiting = [target]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += definitions[name].upstream
    return found


def _key(stage: Definition, upstream: Mapping[str, str]) -> str:
    """Of a stage, from its command, its params, its code as git has it, and the keys of the stages before it."""
    content: dict[str, Any] = {
        "version": _VERSION,
        "stage": stage.name,
        "command": stage.command,
        "params": stage.params,
        "outs": sorted(stage.outs),
        "upstream": upstream,
        "code": {path: _object(path) for path in stage.deps if _is_committed(path)},
    }
    if not upstream:
        # A mirror, a folder or the network: only what was fetched tells.
        lock = keeping.recorded().get("stages", {}).get(stage.name, {})
        content["fetched"] = [[out["path"], out.get("md5")] for out in lock.get("outs", [])]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _is_committed(path: str) -> bool:
    return path in _committed(path.partition("/")[0])


@functools.cache
def _committed(top: str) -> frozenset[str]:
    """The files and folders of the commit below a folder of the project, and that folder itself."""
    result = git.run("ls-tree", "-r", "-t", "-z", "--name-only", "HEAD", "--", top)
    return frozenset(path for path in result.output.split("\0") if path)


@functools.cache
def _object(path: str) -> str:
    return git.output("rev-parse", f"HEAD:./{path}")


def forget() -> None:
    """Forget what was read of params.yaml, dvc.yaml and the commit: they are read once in a run."""
    for function in (_definitions, _committed, _object):
        function.cache_clear()


def expect_sources(plan: Plan, current: Sequence[str]) -> None:
    """Check that what comes from outside is there: workers fetch nothing, so that all have the same pictures.

    Raises:
        ConfigurationError: a source was not fetched, or was with other settings.
    """
    missing = sorted({task.stage.name for key, task in plan.tasks.items() if not task.upstream and key not in current})
    if missing:
        raise ConfigurationError(
            f"{missing[0]}: not fetched with these settings; `dvc repro {' '.join(missing)}` fetches, then commit "
            "dvc.lock"
        )
