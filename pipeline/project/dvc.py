"""Runs DVC with the environment that the stages need, passes on why a run failed, and opens its repository."""

import contextlib
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils import strictyaml
from ruamel.yaml import YAML

from pipeline.core.errors import ConfigurationError, PipelineError
from pipeline.project import workspace
from pipeline.project.command import ERROR_FILE_VARIABLE, RESULT_FILE_VARIABLE
from pipeline.project.progress import Progress

_REFRESH = 1.0
"""Seconds between two updates of the line that a terminal shows while a stage runs."""


class Stopped(PipelineError):
    """DVC failed. If a stage failed, the exit code and the line are those of the stage."""

    def __init__(self, command: str, exit_code: int, line: str) -> None:
        super().__init__(line)
        self.kind = f"{command} stopped"
        self.exit_code = exit_code


@dataclass(frozen=True)
class Definition:
    """A stage of dvc.yaml, for one content of params.yaml.

    Attributes:
        name: as DVC addresses it.
        command: with its params filled in.
        deps: paths.
        params: by dotted key what params.yaml has there; None where it has no such key.
        outs: by path whether DVC's cache keeps it; git does the others.
        upstream: the stages on which it depends directly.
    """

    name: str
    command: str
    deps: tuple[str, ...]
    params: Mapping[str, Any]
    outs: Mapping[str, bool]
    upstream: frozenset[str]


def definitions(document: Mapping[str, Any]) -> dict[str, Definition]:
    """The stages of dvc.yaml if params.yaml had this content; in an order in which they can run.

    Raises:
        ConfigurationError: dvc.yaml is not valid, or not with this content; DVC's message is passed on.
    """
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "params.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(dict(document), file)
        shutil.copy("dvc.yaml", folder)
        (Path(folder) / ".dvc").mkdir()
        (Path(folder) / ".dvc/config").write_text("[core]\n    no_scm = true\n")
        with _explained(folder), Repo(folder) as repo:
            graph = repo.index.graph
            order = nx.lexicographical_topological_sort(graph.reverse(), key=lambda stage: stage.name)
            return {stage.name: _definition(stage, graph, document) for stage in order}


def _definition(stage: Any, graph: nx.DiGraph, document: Mapping[str, Any]) -> Definition:
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return Definition(
        stage.name,
        stage.cmd,
        tuple(dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)),
        {key: value_at(document, key) for dep in params for key in dep.params},
        {out.def_path: bool(out.use_cache) for out in stage.outs},
        frozenset(each.name for each in graph.successors(stage)),
    )


def value_at(values: Any, key: str) -> Any:
    """What a document of params has at a dotted key; None where it has no such key."""
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


@contextlib.contextmanager
def opened() -> Iterator[Repo]:
    """DVC's view of the current folder.

    Raises:
        ConfigurationError: this is no DVC project, or dvc.yaml or dvc.lock is not valid; DVC's message is passed on.
    """
    with _explained(), Repo() as repo:
        yield repo


@contextlib.contextmanager
def _explained(copied: str | None = None) -> Iterator[None]:
    """Pass on DVC's errors as one line.

    Args:
        copied: a folder with copies of the project's files, whose name in the errors is left out.
    """
    try:
        yield
    except DvcException as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(text.replace(f"{os.path.relpath(copied)}/", "") if copied else text) from None


def is_lock(path: Path) -> bool:
    """Whether a file is a whole dvc.lock, by DVC's own schema."""
    try:
        strictyaml.load(str(path), COMPILED_LOCKFILE_SCHEMA)
    except DvcException:
        return False
    return True


def run(command: str, *arguments: str) -> None:
    """Run `dvc ARGUMENTS` with the standard output and standard error of this process.

    Args:
        command: what the user called, for the message.
        arguments: DVC's.

    Raises:
        Stopped: DVC failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        error = Path(folder) / "error"
        environment = _environment({ERROR_FILE_VARIABLE: str(error)})
        code = subprocess.run(_command(arguments), env=environment, check=False).returncode
        if code:
            raise _stopped(command, code, error, "see the message of DVC above")


def follow(command: str, progress: Progress, *arguments: str) -> None:
    """Run `dvc ARGUMENTS`, which runs stages, and show one line per stage in place of the output.

    Ctrl-C reaches DVC and its stage as well; this waits until both have ended, so that DVC releases its lock.

    Args:
        command: what the user called, for the message.
        progress: gets the output, and has the logs.
        arguments: DVC's.

    Raises:
        Stopped: a stage or DVC failed; the message names the log.
        KeyboardInterrupt: the user pressed Ctrl-C, and DVC has ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        error, result = Path(folder) / "error", Path(folder) / "result"
        files = {ERROR_FILE_VARIABLE: str(error), RESULT_FILE_VARIABLE: str(result)}
        # Unbuffered, so that the terminal shows the last line of the output of a stage while it runs.
        environment = _environment({**files, "PYTHONUNBUFFERED": "1"})
        with (
            subprocess.Popen(
                _command(arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as process,
            progress.following(result),
        ):
            interrupted = _pass_on(process, progress)
            progress.finish(failed=interrupted or process.returncode != 0)
        if interrupted:
            raise KeyboardInterrupt
        if process.returncode:
            raise _stopped(command, process.returncode, error, progress.last_line or "no message", progress.log)


def _pass_on(process: subprocess.Popen[bytes], progress: Progress) -> bool:
    """Pass the output of a process to `progress` until it ends; returns whether Ctrl-C was pressed."""
    interrupted = False
    chunks = _chunks(process)
    while True:
        try:
            chunk = next(chunks, None)
        except KeyboardInterrupt:
            if interrupted:
                process.terminate()
            interrupted = True
            chunks = _chunks(process)
            continue
        if chunk is None:
            return interrupted
        progress.feed(chunk)


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The output of a process as it arrives; an empty chunk after every `_REFRESH` seconds without output."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(_REFRESH):
                yield b""
            elif chunk := os.read(process.stdout.fileno(), 1 << 16):
                yield chunk
            else:
                break
    process.wait()


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "pipeline.project.faster_dvc", *arguments]


def _environment(files: Mapping[str, str]) -> dict[str, str]:
    mirror = {workspace.MIRROR_VARIABLE: value} if (value := workspace.mirror()) else {}
    # DVC runs the commands of stages with the user's shell, which may be none (`nologin`) or read them otherwise.
    shell = {"SHELL": "/bin/sh"} if os.name == "posix" else {}
    return {**os.environ, **mirror, **shell, **files}


def _stopped(command: str, code: int, error: Path, otherwise: str, log: Path | None = None) -> Stopped:
    text = error.read_text(encoding="utf-8").strip() if error.exists() else ""
    number, _, line = text.partition(" ")
    where = f"; log: {log}" if log else ""
    return Stopped(command, int(number or code), (line or otherwise) + where)
