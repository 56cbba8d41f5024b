"""The clone that a command runs in: its files as git sees them, its pictures, and the mirror."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.errors import ConfigurationError
from pipeline.project import git
from pipeline.records.data import SOURCE, SourceRecord

MIRROR_VARIABLE = "DATASETS_MIRROR"
"""Names a folder or an address that holds the public data sets."""
CODE = ("pipeline", "stages")
"""The folders with the code of the stages."""


def expect_clone() -> None:
    """Check that the current folder is the top folder of a clone.

    Raises:
        ConfigurationError: there is no folder `.dvc` here.
    """
    if not Path(".dvc").is_dir():
        raise ConfigurationError(
            ".dvc: no such folder; run from the project's top folder, in a clone of the repository"
        )


def paths(*arguments: str) -> list[str]:
    """What a subcommand of git lists, one entry for each path: names may contain line breaks and any other character.

    Args:
        arguments: of git; `-z` follows the subcommand.
    """
    command = (arguments[0], "-z", *arguments[1:])
    result = git.run(*command)
    # `output` says why a call failed, and strips what may belong to a name.
    listed = git.output(*command) if result.code else result.output
    return [path for path in listed.split("\0") if path]


def untracked(folders: Iterable[str] = CODE) -> list[str]:
    """Files below `folders` that git neither tracks nor ignores. The folder of an experiment does not get them."""
    return paths("ls-files", "--others", "--exclude-standard", "--", *folders)


def ignored(folders: Iterable[str] = CODE) -> list[str]:
    """Files below `folders` that git ignores though they could be code: no experiment gets them, and no clone.

    Files that only tools write, such as `__pycache__` and copies of editors, are left out.
    """
    kinds = {PurePosixPath(path).suffix for path in paths("ls-files", "--", *folders)}
    found = paths("ls-files", "--others", "--ignored", "--exclude-standard", "--", *folders)
    pure = [PurePosixPath(path) for path in found]
    return [str(path) for path in pure if path.suffix in kinds and not any(part.startswith(".") for part in path.parts)]


def modified() -> list[str]:
    """Tracked files of the project that differ from the last commit, staged or not."""
    return paths("diff", "--name-only", "--relative", "HEAD")


def are(names: Sequence[str]) -> str:
    """The first two names and how many more there are, with the verb: `a.py is`, `a.py, b.py are`."""
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more} {'is' if len(names) == 1 else 'are'}"


def mirror() -> str:
    """The value of `DATASETS_MIRROR`, "" where it is not set.

    A folder is returned as an absolute path, because an experiment runs in a folder of its own.
    """
    value = os.environ.get(MIRROR_VARIABLE, "")
    if not value or "://" in value:
        return value
    return str(Path(os.path.expanduser(value)).resolve())  # noqa: PTH111


def origin(source: str) -> str | None:
    """The origin of the pictures that were fetched for a source; None where nothing was fetched yet."""
    record = Path("data/raw") / source / SOURCE
    return SourceRecord.read(record).origin if record.exists() else None
