"""`make forget`: remove every trace of one picture, from the log, whether the service runs or not, and from labels."""

import contextlib
import os
import sys
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.data.corrections import FOLDER
from pipeline.labelling.folder import Corrections
from pipeline.monitoring.forgetting import expect_digest, forget
from pipeline.monitoring.settings import DEFAULT_FOLDER, FOLDER_VARIABLE
from pipeline.project import command

_EARLIER = (
    "earlier versions: `dvc add {folders}` and a commit, then `dvc gc --workspace` for the cache and `dvc gc "
    "--workspace --cloud` for the remote; data sets and models that were made of it go with `make repro`"
)


def main(digest: str, log: str = "") -> str:
    """Remove a picture's lines from the log, its file from the quarantine, feedback on it, labels and reports.

    Args:
        digest: SHA-256 of the picture's bytes, as `sha256sum FILE` prints it.
        log: the folder of the log; "" for the one that `READER_LOG` names, or `monitoring`.

    Raises:
        ConfigurationError: that is no digest, or `make label` is open.
        DataError: there is no log, and it was named, or there are no labels either.
    """
    folder = Path(log or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    corrections = Corrections()
    if not folder.is_dir():
        if log or os.environ.get(FOLDER_VARIABLE) or not corrections.folder.is_dir():
            raise DataError(f"{folder}: no such folder, expected a prediction log; {FOLDER_VARIABLE} names another one")
        # Labels come with the clone, the log does not.
        print(f"forget: {folder}: no prediction log here, so only labels are searched", file=sys.stderr)
    # Whether `make label` is open, and what is damaged, is known before anything is removed and counted.
    with corrections.locked() if corrections.folder.is_dir() else contextlib.nullcontext():
        expect_digest(digest)
        labels, tasks = corrections.forget(digest)
        try:
            found = forget(folder, digest)
        except OSError:
            print(f"forget: removed {labels} rows and files of corrections so far", file=sys.stderr)
            raise
    removed = (
        f"removed {found.lines} lines, {found.pictures} pictures, {found.feedback} files of feedback, {found.reports} "
        f"reports and {labels} rows and files of corrections"
    )
    folders = " ".join(f"{FOLDER}/{task}" for task in tasks)
    return f"{removed}\n{_EARLIER.format(folders=folders)}" if tasks else removed


if __name__ == "__main__":
    command.run(main)
