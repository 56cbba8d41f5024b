"""The prediction log of one process: a bounded queue, and a thread that measures, hashes and writes.

Answers only put what they have into the queue. The thread logs it through BentoML's monitoring, so that BentoML's
settings (`monitoring.type`) can send it elsewhere.
"""

import contextvars
import functools
import hashlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bentoml
import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.monitoring import MonitorBase

from pipeline.monitoring import statistics
from pipeline.monitoring.monitor import SegmentMonitor
from pipeline.monitoring.quarantine import Quarantine
from pipeline.monitoring.settings import LogSettings

_log = logging.getLogger("bentoml.reader")
QUARANTINE = "quarantine"
"""The folder of pictures, below that of the log."""
_BATCH = 256
POLL_SECONDS = 0.25
"""The longest that an answer waits for the thread."""
_TICK_SECONDS = 600.0
_CLOSE_SECONDS = 5.0
_COLUMNS = {
    "digest": ("feature", "categorical"),
    "time": ("feature", "numerical"),
    "task": ("feature", "categorical"),
    "strategy": ("feature", "categorical"),
    "model": ("feature", "categorical"),
    "version": ("feature", "categorical"),
    "reading": ("prediction", "categorical"),
    "lines": ("prediction", "numerical"),
    "confidence": ("prediction", "numerical"),
    "accepted": ("prediction", "categorical"),
    "shift": ("prediction", "numerical"),
    "notes": ("feature", "categorical"),
    "ink": ("feature", "numerical"),
    "brightness": ("feature", "numerical"),
    "height": ("feature", "numerical"),
    "width": ("feature", "numerical"),
    "seconds": ("feature", "numerical"),
}
"""Role and type of each column, in BentoML's terms. The digest comes first: `forgetting` and `drift` look for it."""
_names = itertools.count()


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture and its answer.

    Attributes:
        content: the picture's file, or the values of its pixels as they were received.
        shape: of those values; None of a file.
        pixels: uint8 (n, H, W, C), what the model read: n is 1, or the number of lines.
        size: height and width of the picture in pixels, as it is displayed.
        answer: in the form of `PictureAnswer`, `Answer` or `TaskReading`.
        model: a `ModelIdentity` as JSON.
        seconds: from the last byte of the body to the answer.
        time: of the answer, in seconds since 1970.
    """

    content: bytes
    shape: tuple[int, ...] | None
    pixels: np.ndarray
    size: tuple[int, int]
    answer: Mapping[str, Any]
    model: Mapping[str, Any]
    seconds: float
    time: float = field(default_factory=time.time)

    @property
    def bytes(self) -> int:
        """That it holds."""
        return len(self.content) + self.pixels.nbytes


class PredictionLog:
    """Takes answers from an event loop, and logs them in a thread of its own."""

    def __init__(
        self,
        settings: LogSettings,
        *,
        count: Callable[[str, int], None] = _nothing,
        begin: Callable[[], object] = _nothing,
    ) -> None:
        """Define, and start nothing yet.

        Args:
            settings: where the log is, and its bounds.
            count: called with an outcome and a number of pictures: `written` and `quarantined` ones, and lines that are
                lost because the `queue` is full or the `disk` cannot be written.
            begin: called by the thread before it does anything.
        """
        self._settings = settings
        self._count = count
        self._begin = begin
        # BentoML keeps one monitor for each name.
        self._name = f"predictions-{next(_names)}"
        self._kind: Any = BentoMLContainer.config.monitoring.type.get()
        self._options = BentoMLContainer.config.monitoring.options.get()
        if self._kind in (None, "default"):
            self._kind, self._options = SegmentMonitor, {"settings": settings, "count": count}
        self._quarantine = None
        if settings.quarantine_bytes is not None:
            self._quarantine = Quarantine(
                settings.folder / QUARANTINE, most_bytes=settings.quarantine_bytes, days=settings.quarantine_days
            )
        self._queue: deque[Answered] = deque()
        self._held = 0
        self._lost = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._thread: threading.Thread | None = None
        self._monitor: MonitorBase[Any] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, answered: Answered) -> None:
        """Log an answer soon; it is dropped, and counted, where too much waits already. Never waits, never raises."""
        size = answered.bytes
        with self._lock:
            if len(self._queue) >= self._settings.log_queue or self._held + size > self._settings.log_queue_bytes:
                self._lost += 1
                return
            self._held += size
            self._queue.append(answered)
        if len(self._queue) >= _BATCH:
            self._wake.set()

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and end the thread."""
        if self._thread is not None:
            self._closing = True
            self._wake.set()
            self._thread.join(_CLOSE_SECONDS)
            self._thread = None

    def _run(self) -> None:
        self._begin()
        ticked = time.monotonic()
        self._tick()
        while not (self._closing and not self._queue):
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            self._guarded(self._drain)
            if time.monotonic() - ticked > _TICK_SECONDS:
                ticked = time.monotonic()
                self._tick()
        self._guarded(self._drain)
        if isinstance(self._monitor, SegmentMonitor):
            self._monitor.close()

    def _drain(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            self._count("queue", lost)
        while self._queue:
            with self._lock:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                self._held -= sum(each.bytes for each in batch)
            rows = [_row(each) for each in batch]
            # BentoML takes the columns from the first record, and warns of one with several rows.
            first = 1 if self._monitor is None else 0
            for part in (rows[:first], rows[first:]):
                if part:
                    # In a context of its own: BentoML leaves its variables behind where a monitor fails.
                    contextvars.copy_context().run(self._export, part)
            if self._quarantine is not None:
                self._keep(self._quarantine, batch, rows)

    def _export(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with bentoml.monitor(self._name, self._kind, self._options) as monitor:
            self._monitor = monitor
            for name, (role, kind) in _COLUMNS.items():
                monitor.log_batch([row[name] for row in rows], name, role, kind)

    def _keep(self, quarantine: Quarantine, batch: Sequence[Answered], rows: Sequence[Mapping[str, Any]]) -> None:
        declined = [(each, row) for each, row in zip(batch, rows, strict=True) if row["accepted"] is not True]
        kept = 0
        for each, row in declined:
            keep = functools.partial(quarantine.keep, row["digest"], each.content, each.shape)
            kept += bool(self._attempt(keep))
        if kept:
            self._count("quarantined", kept)

    def _tick(self) -> None:
        if isinstance(self._monitor, SegmentMonitor):
            self._monitor.tick()
        if self._quarantine is not None:
            self._attempt(self._quarantine.tick)

    def _attempt(self, write: Callable[[], object]) -> object:
        try:
            result = write()
        except OSError as error:
            if not self._failing:
                where = error.filename or self._settings.folder / QUARANTINE
                _log.warning("the quarantine: %s: %s; answers go on, and no picture is kept", where, error.strerror)
            self._failing = True
            return None
        self._failing = False
        return result

    def _guarded(self, work: Callable[[], object]) -> None:
        """Whatever fails here, the next answers are logged; a bug costs a traceback in the service's log."""
        try:
            work()
        except Exception:
            _log.exception("the prediction log failed")


def _row(answered: Answered) -> dict[str, Any]:
    """The columns of a line."""
    answer, model = answered.answer, answered.model
    return {
        "digest": hashlib.sha256(answered.content).hexdigest(),
        "time": round(answered.time, 6),
        "task": model["task"],
        "strategy": model["strategy"],
        "model": model["sha256"],
        "version": model["version"],
        "reading": answer["digits"] if "digits" in answer else answer["class"],
        "lines": len(answered.pixels),
        "confidence": answer["confidence"],
        "accepted": answer["accepted"],
        "shift": statistics.shift_score(answer),
        "notes": statistics.notes(answer),
        "ink": statistics.ink_share(answered.pixels),
        "brightness": statistics.brightness(answered.pixels),
        "height": answered.size[0],
        "width": answered.size[1],
        "seconds": round(answered.seconds, 6),
    }
