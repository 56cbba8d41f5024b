"""The settings of the prediction log, which the environment sets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError

FOLDER_VARIABLE = "READER_LOG"
"""Names the folder of the log; without it, or where it is empty, nothing is logged."""
DEFAULT_FOLDER = "monitoring"
"""Where commands look for the log if the variable is not set."""
_MIB = 2**20
LEAST_BYTES = _MIB
"""Of the log, the quarantine and the feedback: less holds too few lines or pictures to be of use."""
_LARGEST_SEGMENT = 4 * _MIB
_SEGMENTS = 64
"""Files that a full log consists of, about. The oldest is removed as a whole."""


@dataclass(frozen=True)
class LogSettings:
    """Where the log is, and its bounds. `READER_LOG_BYTES=100000000` sets `log_bytes`, and so on.

    Attributes:
        folder: holds the log, the quarantine and what drift has seen.
        log_bytes: of all files of the log together; the oldest lines go first.
        log_days: after which lines are removed.
        log_queue: pictures that wait to be logged in one process; more are dropped, and counted.
        log_queue_bytes: of the files and pixels of those.
        quarantine_bytes: of the pictures of declined readings, the oldest of which go first; None keeps none.
        quarantine_days: after which such a picture is removed.
        feedback_bytes: of what people say of answers, with the pictures; what does not fit is refused.
    """

    folder: Path
    log_bytes: int = 256 * _MIB
    log_days: float = 90.0
    log_queue: int = 4096
    log_queue_bytes: int = 32 * _MIB
    quarantine_bytes: int | None = None
    quarantine_days: float = 30.0
    feedback_bytes: int = 64 * _MIB

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "LogSettings | None":
        """What the environment sets; None where nothing is to be logged.

        Raises:
            ConfigurationError: a value is not a number in its range.
        """
        number = _Numbers(environment)
        values = {
            "log_bytes": number.whole("READER_LOG_BYTES", cls.log_bytes, LEAST_BYTES),
            "log_days": number.days("READER_LOG_DAYS", cls.log_days),
            "log_queue": number.whole("READER_LOG_QUEUE", cls.log_queue, 1),
            "log_queue_bytes": number.whole("READER_LOG_QUEUE_BYTES", cls.log_queue_bytes, LEAST_BYTES),
            "quarantine_bytes": number.whole("READER_QUARANTINE_BYTES", cls.quarantine_bytes, LEAST_BYTES),
            "quarantine_days": number.days("READER_QUARANTINE_DAYS", cls.quarantine_days),
            "feedback_bytes": number.whole("READER_FEEDBACK_BYTES", cls.feedback_bytes, LEAST_BYTES),
        }
        folder = environment.get(FOLDER_VARIABLE, "")
        if not folder:
            return None
        return cls(Path(folder).absolute(), **values)  # type: ignore[arg-type]

    @property
    def segment_bytes(self) -> int:
        """Of one file of the log, at most."""
        return min(_LARGEST_SEGMENT, self.log_bytes // _SEGMENTS)


@dataclass(frozen=True)
class _Numbers:
    environment: Mapping[str, str]

    def whole(self, name: str, default: int | None, least: int) -> int | None:
        text = self.environment.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise ConfigurationError(f"{name}: {text!r} found, expected a whole number of at least {least:,}")
        return value

    def days(self, name: str, default: float) -> float:
        text = self.environment.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{name}: {text!r} found, expected a number of days above 0")
        return value
