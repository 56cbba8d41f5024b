"""The clone that a command runs in: its files as git sees them, its pictures, and the mirror."""

import os
from collections.abc import Iterable
from pathlib import Path

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


def untracked(paths: Iterable[str] = CODE) -> list[str]:
    """Files below `paths` that git neither tracks nor ignores. The folder of an experiment does not get them."""
    return git.output("ls-files", "--others", "--exclude-standard", "--", *paths).splitlines()


def modified() -> list[str]:
    """Tracked files that differ from the last commit, staged or not."""
    return git.output("diff", "--name-only", "HEAD").splitlines()


def mirror() -> str:
    """The value of `DATASETS_MIRROR`, "" where it is not set.

    A folder is returned as an absolute path, because an experiment runs in a folder of its own.
    """
    value = os.environ.get(MIRROR_VARIABLE, "")
    if not value or "://" in value:
        return value
    return str(Path(value).expanduser().resolve())


def origin(source: str) -> str | None:
    """The origin of the pictures that were fetched for a source; None where nothing was fetched yet."""
    record = Path("data/raw") / source / SOURCE
    return SourceRecord.read(record).origin if record.exists() else None
