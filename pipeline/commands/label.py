"""`make label`: label corrected, declined and suspected pictures on a local page, with the keyboard."""

import getpass
import os
import sys
from pathlib import Path

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.labelling import queue, recording, server
from pipeline.labelling.folder import Corrections
from pipeline.labelling.labels import LABELLED
from pipeline.labelling.session import Session
from pipeline.monitoring.settings import DEFAULT_FOLDER, FOLDER_VARIABLE
from pipeline.project import command, local_ports, workspace


def main(log: str = "", task: str = "", port: int = 3100, browser: str = "") -> str:
    """Serve the page until everything is labelled or the person ends it, then have DVC track the labels.

    Args:
        log: the folder of the log; "" for the one that `READER_LOG` names, or `monitoring`.
        task: whose pictures; "" for all.
        port: on this machine alone.
        browser: "0" prints the address, and opens no browser.

    Returns:
        What was changed, and which command comes next.

    Raises:
        ConfigurationError: there is no such task, another `make label` is open, or another program uses the port.
        DataError: there is no log, or a file is damaged.
    """
    workspace.expect_clone()
    if task and task not in LABELLED:
        boxes = ": its pictures need boxes" if task == "scenes" else ""
        raise ConfigurationError(f"TASK: {task!r} cannot be labelled{boxes}; expected {', '.join(LABELLED)}")
    folder = Path(log or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    settings = params.load(recording.PARAMS)
    corrections = Corrections()
    with corrections.locked():
        recording.expect_checked_out(LABELLED)
        found = queue.collect(folder, settings, corrections, task)
        if not folder.is_dir() and (log or not found.items):
            raise DataError(
                f"{folder}: no such folder, expected a prediction log; LOG= or {FOLDER_VARIABLE} names another one"
            )
        for sentence in found.left_out:
            print(f"label: {sentence}", file=sys.stderr)
        answers = 0
        if found.items:
            counts = ", ".join(f"{found.count(reason)} {name}" for reason, name in _NAMES.items())
            listening = local_ports.bind(port, "make label")
            print(f"label: {counts}", file=sys.stderr)
            session = Session(found.items, corrections, _user())
            server.serve(session, listening, browser=browser != "0")
            answers = session.saved
            # DVC may fail; then this is said already.
            print(f"answers kept: {answers:,}; pictures left for next time: {session.left:,}", flush=True)
        else:
            print("nothing to label", flush=True)
        changed = recording.record(folder, corrections)
        for sentence in recording.unused_reviews(settings, corrections):
            print(f"label: {sentence}", file=sys.stderr)
    if changed or answers:
        changed.append("next: git add corrections reviews params.yaml && git commit, then make repro and make push")
    return "\n".join(changed)


_NAMES: dict[queue.Reason, str] = {"corrected": "corrected", "declined": "declined", "suspect": "suspected labels"}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


if __name__ == "__main__":
    command.run(main)
