"""`make forget`: remove every trace of one picture from the prediction log, whether the service runs or not."""

import os
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.monitoring.forgetting import forget
from pipeline.monitoring.settings import DEFAULT_FOLDER, FOLDER_VARIABLE
from pipeline.project import command


def main(digest: str, log: str = "") -> str:
    """Remove a picture's lines from the log, its file from the quarantine, what people said of it, and reports.

    Args:
        digest: SHA-256 of the picture's bytes, as `sha256sum FILE` prints it.
        log: the folder of the log; "" for the one that `READER_LOG` names, or `monitoring`.

    Raises:
        ConfigurationError: that is no digest.
        DataError: there is no log.
    """
    folder = Path(log or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected a prediction log; {FOLDER_VARIABLE} names another one")
    found = forget(folder, digest)
    return (
        f"removed {found.lines} lines, {found.pictures} pictures, {found.feedback} files of feedback and "
        f"{found.reports} reports"
    )


if __name__ == "__main__":
    command.run(main)
