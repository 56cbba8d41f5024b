"""Which labels a picture of a task can have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.images import DIGIT_NAMES, SLOTS
from pipeline.core.lines import LINE_SLOTS
from pipeline.data import cifar10

LABELLED = ("mnist", "cifar10", "strips", "lines")
"""The tasks whose pictures can be labelled here; those of scenes need boxes."""


@dataclass(frozen=True)
class Labels:
    """The labels of one kind of picture.

    Attributes:
        classes: their names, of which a picture has one; none where digits are typed.
        most: digits of a label at most; 0 where there are classes.
    """

    classes: Sequence[str] = ()
    most: int = 0

    def problem(self, label: str) -> str | None:
        """Why a label is none, in words; None where it is one."""
        if self.classes:
            return None if label in self.classes else f"{label!r} is no class; expected {', '.join(self.classes)}"
        if not re.fullmatch("[0-9]+", label):
            return f"{label!r} found, expected digits"
        if len(label) > self.most:
            return f"{len(label)} digits found, expected at most {self.most}"
        return None


_OF_TASKS = {
    "mnist": Labels(most=1),
    "cifar10": Labels(classes=cifar10.CLASS_NAMES),
    "strips": Labels(most=SLOTS),
    "lines": Labels(most=LINE_SLOTS),
}


def of_task(task: str) -> Labels:
    """The labels of what the service reads."""
    return _OF_TASKS[task]


def of_classes(names: Sequence[str]) -> Labels:
    """The labels of a picture of one object: a digit, or a class."""
    return Labels(most=1) if tuple(names) == DIGIT_NAMES else Labels(classes=tuple(names))
