"""The one place that runs git. Every call gets the same environment, so that its output can be parsed."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError

_CONFIGURATION = ("core.quotePath=false", "color.ui=false")
"""What every call sets, whatever git's own configuration says: plain file names and no colours."""
_ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
"""Variables that point git at another repository than that of the folder, as a git hook sets them."""


@dataclass(frozen=True)
class Result:
    """How a call of git ended.

    Attributes:
        code: the exit code.
        output, error: standard output and standard error; bytes that are not UTF-8 are replaced.
    """

    code: int
    output: str
    error: str

    @property
    def reason(self) -> str:
        """The line that says why the call failed."""
        lines = (self.error.strip() or self.output.strip()).splitlines()
        # A fetch first prints its source, then one line for each ref.
        rejected = [line for line in lines if "[rejected]" in line]
        lines = rejected or [line for line in lines if not line.startswith("From ")]
        return lines[0].strip().removeprefix("fatal: ").removeprefix("error: ") if lines else f"exit {self.code}"


def run(*arguments: str, folder: Path | None = None, stdin: str | None = None) -> Result:
    """Run git, whatever its exit code will be.

    Args:
        arguments: the subcommand and its arguments.
        folder: where it runs; None for the current folder.
        stdin: its standard input; None for an empty one.

    Raises:
        ConfigurationError: git is not installed.
    """
    settings = [part for setting in _CONFIGURATION for part in ("-c", setting)]
    try:
        ended = subprocess.run(
            ["git", *settings, *arguments],
            cwd=folder,
            env=environment(),
            input=(stdin or "").encode(),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"{folder}: no such folder; expected a clone of the project") from None
        raise ConfigurationError("git: no such command; install git, which keeps the project's history") from None
    return Result(ended.returncode, *(text.decode("utf-8", "replace") for text in (ended.stdout, ended.stderr)))


def output(*arguments: str, folder: Path | None = None) -> str:
    """The standard output of git, without leading and trailing white space.

    Raises:
        ConfigurationError: git failed, or is not installed; the message has git's reason.
    """
    result = run(*arguments, folder=folder)
    if result.code:
        raise ConfigurationError(
            f"git {' '.join(arguments)}: {result.reason}; expected a clone with at least one commit"
        )
    return result.output.strip()


def setting(key: str, folder: Path | None = None) -> str | None:
    """A value of git's configuration; None where it is not set or empty."""
    return run("config", "--get", key, folder=folder).output.strip() or None


def environment() -> dict[str, str]:
    """The environment of every call: messages in English, no question for a password, the folder's own repository."""
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {**kept, "LC_ALL": "C", "LANGUAGE": "", "GIT_TERMINAL_PROMPT": "0"}
