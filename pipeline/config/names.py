"""Names: what becomes a path, a stage's address, or an argument of a command. One rule for all of them."""

import re
import reprlib

from pipeline.core.errors import ConfigurationError

LONGEST = 64
"""Characters of a name at most."""
LONGEST_EXPERIMENT = 200
"""Characters of the name of an experiment at most: git keeps it as the name of a file."""
RULE = f"a name of A-Z, a-z, 0-9, - and _ that begins with a letter and has at most {LONGEST} characters"
EXPERIMENT_RULE = (
    "a name of A-Z, a-z, 0-9, ., - and _ that begins with a letter or a digit, has at most "
    f"{LONGEST_EXPERIMENT} characters and no .., and does not end in . or .lock"
)
WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""What one of YAML's versions does not read as text, in lower, upper or mixed case."""
_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{LONGEST - 1}}}")
_EXPERIMENT = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_EXPERIMENT - 1}}}")
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_MOST_SHOWN = 120
"""Characters of a value in a message."""


def checked(value: object) -> str:
    """`value`, if it is a name: of a suite, a strategy, a preview, a normalization or a study.

    Raises:
        ValueError: it is not; the message is the rule.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(RULE)
    if value.lower() in WORDS:
        raise ValueError("another name than a word that YAML does not read as text")
    return value


def check_experiment(value: str, where: str) -> None:
    """Check that an experiment can have this name: it becomes a git ref, a folder of logs, and an argument.

    Args:
        value: the name.
        where: what the message calls it.

    Raises:
        ConfigurationError: it cannot; the message has the rule.
    """
    if not _EXPERIMENT.fullmatch(value) or ".." in value or value.endswith((".", ".lock")):
        raise ConfigurationError(f"{where}: expected {EXPERIMENT_RULE}, found {shown(value)}")


def is_plain_path(value: str) -> bool:
    """Whether every part of a relative path has letters, digits, `.`, `-` and `_` alone, and none is `.` or `..`."""
    return all(_PART.fullmatch(part) and part not in (".", "..") for part in value.split("/"))


def shown(value: object) -> str:
    """A value for a message: its representation, bounded in length and depth, so that it fits one line."""
    form = reprlib.Repr()
    form.maxlevel, form.maxdict, form.maxlist, form.maxtuple, form.maxset = 3, 6, 6, 6, 6
    form.maxstring = form.maxother = _MOST_SHOWN - 20
    try:
        text = form.repr(value)
    except ValueError:
        # Python does not turn an integer of more than 4,300 digits into text.
        text = f"<{type(value).__name__} that is too large to show>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
