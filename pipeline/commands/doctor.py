"""`make doctor`: check what a run needs. One line per check: ok, a note, or a problem and how to fix it."""

import json as documents
import sys
from dataclasses import asdict

from pipeline.experiments import doctor
from pipeline.project import command


def main(json: bool = False, fsck: bool = False) -> None:
    """Exit with 2 where a problem would stop `make repro`, else with 0.

    Args:
        json: print a list of `{subject, verdict, message}`.
        fsck: also hash every file that DVC keeps, and name those that a bad disk changed.
    """
    found = doctor.examine(fsck)
    print(documents.dumps([asdict(check) for check in found], indent=2) if json else "\n".join(map(str, found)))
    if any(check.verdict == "problem" for check in found):
        sys.exit(2)


if __name__ == "__main__":
    command.run(main)
