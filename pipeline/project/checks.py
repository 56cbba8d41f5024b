"""A check and its verdict: `make doctor` lists them, and an experiment starts only without problems."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.errors import ConfigurationError

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        subject: what was checked, in one word.
        verdict: `ok`; `note`, worth knowing; or `problem`, which would stop the work.
        message: what was found and, where it is not ok, what to do.
    """

    subject: str
    verdict: Verdict
    message: str

    def __str__(self) -> str:
        return f"{self.verdict:<8} {self.subject:<10} {self.message}"


def raise_on_problems(checks: Sequence[Check]) -> None:
    """Print notes, and problems if there are several, on standard error.

    Raises:
        ConfigurationError: there is a problem; the message is the first one, and counts the others.
    """
    problems = [check for check in checks if check.verdict == "problem"]
    for check in checks:
        if check.verdict == "note" or (check.verdict == "problem" and len(problems) > 1):
            print(check, file=sys.stderr)
    if problems:
        others = f" (and {len(problems) - 1} more above)" if len(problems) > 1 else ""
        raise ConfigurationError(f"{problems[0].subject}: {problems[0].message}{others}")
