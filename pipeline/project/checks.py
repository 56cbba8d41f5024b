"""A check and its verdict: what `make doctor` lists, and what an experiment is held against before it runs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.errors import ConfigurationError


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at, in a word.
        verdict: `ok`; `note`, worth knowing; or `problem`, which would stop the work.
        message: what was found and, where it is not ok, what to do.
    """

    subject: str
    verdict: Literal["ok", "note", "problem"]
    message: str

    def __str__(self) -> str:
        return f"{self.verdict:<8} {self.subject:<10} {self.message}"


def refuse(found: Sequence[Check]) -> None:
    """Print notes and problems on standard error; go on where there are only notes.

    Raises:
        ConfigurationError: there is a problem; with several, the line counts them.
    """
    problems = [check for check in found if check.verdict == "problem"]
    for check in found:
        if check.verdict == "note" or (check.verdict == "problem" and len(problems) > 1):
            print(check, file=sys.stderr)
    if problems:
        others = f" (and {len(problems) - 1} more above)" if len(problems) > 1 else ""
        raise ConfigurationError(f"{problems[0].subject}: {problems[0].message}{others}")
