"""A monitor of BentoML's that writes bounded segments.

BentoML's own file monitor rotates by the day without an end, in the thread of the caller, and its files are unbounded.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from bentoml.monitoring import MonitorBase

from pipeline.core.files import write_json
from pipeline.monitoring.segments import SegmentWriter
from pipeline.monitoring.settings import LogSettings

_log = logging.getLogger("bentoml.reader")
PREDICTIONS = "predictions"
"""The folder of the segments, below that of the log."""
SCHEMA = "schema.json"
_NEWLINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


class SegmentMonitor(MonitorBase[Any]):
    """Writes what is logged as JSON lines. A folder that cannot be written costs lines and one warning."""

    def __init__(self, name: str, settings: LogSettings, count: Callable[[str, int], None], **_: Any) -> None:
        """Define, and write nothing yet.

        Args:
            name: of the monitor.
            settings: where the log is, and its bounds.
            count: called with `written` or `disk`, and how many lines were written, or lost.
        """
        super().__init__(name)
        self._settings = settings
        self._count = count
        self._failing = False
        self._writer = SegmentWriter(
            settings.folder / PREDICTIONS,
            most_bytes=settings.log_bytes,
            segment_bytes=settings.segment_bytes,
            days=settings.log_days,
        )

    def export_schema(self, columns_schema: dict[str, dict[str, str]]) -> None:
        """Write the names, roles and types of the columns beside the log."""
        self._attempt(lambda: write_json(self._settings.folder / SCHEMA, list(columns_schema.values())))

    def export_data(self, datas: dict[str, deque[Any]]) -> None:
        """Write rows."""
        names = tuple(datas)
        lines = [
            orjson.dumps(dict(zip(names, row, strict=True)), option=_NEWLINE)
            for row in zip(*datas.values(), strict=True)
        ]
        written = 0

        def write() -> None:
            nonlocal written
            for count in self._writer.write(lines):
                written += count

        self._attempt(write)
        for outcome, count in (("written", written), ("disk", len(lines) - written)):
            if count:
                self._count(outcome, count)

    def tick(self) -> None:
        """What is to be done from time to time."""
        self._attempt(self._writer.tick)

    def close(self) -> None:
        """End the segment."""
        self._attempt(self._writer.close)

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            if not self._failing:
                where = error.filename or self._settings.folder
                _log.warning("the prediction log: %s: %s; answers go on, and are not logged", where, error.strerror)
            self._failing = True
        else:
            if self._failing:
                _log.warning("the prediction log is written again")
            self._failing = False
