"""The clone that a command runs in: what git says of it, and DVC started the way the pipeline needs it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import ConfigurationError, PipelineError
from pipeline.project import git as runner
from pipeline.project.command import ERROR_FILE_VARIABLE
from pipeline.records.data import SOURCE, SourceRecord

MIRROR_VARIABLE = "DATASETS_MIRROR"
CODE = ("pipeline", "stages")
"""The folders whose files decide what a stage does."""


class Stopped(PipelineError):
    """DVC ended with an error; the code and the line are those of the stage that failed, where one did."""

    def __init__(self, command: str, exit_code: int, line: str) -> None:
        super().__init__(line)
        self.kind = f"{command} stopped"
        self.exit_code = exit_code


def expect_clone() -> None:
    """Refuse to go on outside the top folder of a clone.

    Raises:
        ConfigurationError: DVC's folder is not here.
    """
    if not Path(".dvc").is_dir():
        raise ConfigurationError(
            ".dvc: no such folder; run from the project's top folder, in a clone of the repository"
        )


def git(*arguments: str) -> str:
    """What git prints, without the blanks around it.

    Raises:
        ConfigurationError: git failed; its own words are in the message.
    """
    return runner.output(*arguments)


def dvc(command: str, *arguments: str) -> None:
    """Run `dvc ARGUMENTS`, its output going where ours goes.

    Args:
        command: what the user called, for the message.
        arguments: DVC's.

    Raises:
        Stopped: DVC failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        error = Path(folder) / "error"
        environment = {**os.environ, ERROR_FILE_VARIABLE: str(error), **mirror()}
        result = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False)
        if result.returncode:
            said = error.read_text().strip() if error.exists() else ""
            number, _, line = said.partition(" ")
            raise Stopped(command, int(number or result.returncode), line or "DVC says why above")


def mirror() -> dict[str, str]:
    """`DATASETS_MIRROR` as an absolute path where it names a folder: experiments run in folders of their own."""
    value = os.environ.get(MIRROR_VARIABLE, "")
    if not value or "://" in value:
        return {}
    return {MIRROR_VARIABLE: str(Path(value).expanduser().resolve())}


def experiment(name: str) -> str:
    """The commit of the experiment of this name on top of the current commit, empty where there is none."""
    return git("for-each-ref", "--format=%(objectname)", f"{_here()}/{name}")


def untracked(paths: Iterable[str] = CODE) -> list[str]:
    """Files below `paths` that git neither tracks nor ignores: they do not travel into an experiment's folder."""
    return git("ls-files", "--others", "--exclude-standard", "--", *paths).splitlines()


def modified() -> list[str]:
    """Tracked files that differ from the last commit, staged or not."""
    return git("diff", "--name-only", "HEAD").splitlines()


def configured(key: str) -> str:
    """A value of git's configuration, empty where it is not set."""
    return runner.setting(key) or ""


def experiments_here() -> list[str]:
    """The names of the experiments on top of the current commit."""
    refs = git("for-each-ref", "--format=%(refname)", _here()).splitlines()
    return [ref.rpartition("/")[2] for ref in refs]


def _here() -> str:
    """Where git keeps the experiments on top of the current commit."""
    head = git("rev-parse", "--verify", "HEAD")
    return f"refs/exps/{head[:2]}/{head[2:]}"


def origin(source: str) -> str | None:
    """Where the pictures that were fetched for a source came from; None where none were fetched yet."""
    record = Path("data/raw") / source / SOURCE
    return SourceRecord.read(record).origin if record.exists() else None
