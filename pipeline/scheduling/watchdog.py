"""Runs of models that take too long: ended from outside, and where that does not help, the process ends."""

import asyncio
import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader
from pipeline.runtime.session import ModelError, Run
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.shutdown import Shutdown

_log = logging.getLogger("bentoml.reader")
INLINE_SECONDS = 0.5
"""For a run on the event loop, where nothing else is answered meanwhile; a thread may try again."""
EXIT_CODE = 70
"""Of a worker that ends itself because a run does not end; the supervisor starts another one."""
_TICK_SECONDS = 0.1


@dataclass
class _Watched:
    run: Run
    task: str
    pictures: int
    seconds: float
    started: float
    inline: bool
    ticks_since_cancelled: int = 0


class Watchdog:
    """Watches the runs of a process from a thread of its own."""

    def __init__(
        self,
        shutdown: Shutdown,
        *,
        seconds: float,
        grace_seconds: float,
        end: Callable[[int], object],
    ) -> None:
        """Define; `start` begins to watch.

        Args:
            shutdown: of the process; it is told why the process is not ready any more.
            seconds: that a run may take.
            grace_seconds: for a run to end once it was told to, and again for other requests to be finished before the
                process ends.
            end: ends the process; called with the exit code.
        """
        self._shutdown = shutdown
        self._seconds = seconds
        # Counted in ticks: a process that was suspended for a while must not end because of that.
        self._grace = max(1, round(grace_seconds / _TICK_SECONDS))
        self._end = end
        self._watched: dict[int, _Watched] = {}
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._stuck_ticks = 0

    def start(self) -> None:
        """Watch until `stop`."""
        self._stopped.clear()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Tell the runs that are left to end: nobody waits for them; then watch no more."""
        for watched in list(self._watched.values()):
            watched.run.cancel()
        self._stopped.set()

    @contextlib.contextmanager
    def watching(self, task: str, pictures: int, seconds: float | None = None) -> Iterator[Run]:
        """Watch a run until the block is left.

        Args:
            task: of the model.
            pictures: of the run.
            seconds: that it may take; None for as many as any run.
        """
        inline = _on_event_loop()
        seconds = min(self._seconds, seconds or self._seconds, INLINE_SECONDS if inline else self._seconds)
        watched = _Watched(Run(), task, pictures, seconds, time.monotonic(), inline)
        number = next(self._numbers)
        self._watched[number] = watched
        try:
            yield watched.run
        finally:
            del self._watched[number]

    def _watch(self) -> None:
        while not (self._stopped.wait(_TICK_SECONDS) and not self._watched):
            if self._stopped.is_set():
                time.sleep(_TICK_SECONDS)
            now = time.monotonic()
            for watched in list(self._watched.values()):
                if watched.run.cancelled:
                    watched.ticks_since_cancelled += 1
                    if watched.ticks_since_cancelled == self._grace:
                        self._give_up(watched)
                elif now - watched.started > watched.seconds:
                    _log.error(
                        "a run of %s (%d pictures) took more than %g seconds and was told to end",
                        *(watched.task, watched.pictures, watched.seconds),
                    )
                    watched.run.cancel()
            if self._stuck_ticks:
                self._stuck_ticks += 1
                if self._stuck_ticks > self._grace:
                    _log.error("worker %d ends itself: %s", os.getpid(), self._shutdown.reason)
                    self._end(EXIT_CODE)
                    return

    def _give_up(self, watched: _Watched) -> None:
        reason = f"a run of {watched.task} does not end although it was told to; this worker is replaced"
        _log.error("worker %d is not ready any more: %s", os.getpid(), reason)
        self._shutdown.begin(reason)
        # Where the event loop itself is stuck, no other request can be finished.
        self._stuck_ticks = self._grace if watched.inline else self._stuck_ticks or 1


class WatchedReader:
    """A reader whose runs a watchdog ends, and whose failures are errors of the service.

    Attributes:
        manifest: of the reader.
    """

    def __init__(self, reader: Reader, watchdog: Watchdog, seconds: float | None = None) -> None:
        """Define.

        Args:
            reader: what reads.
            watchdog: watches.
            seconds: that a run may take; None for as many as any run.
        """
        self.manifest: Manifest = reader.manifest
        self._reader = reader
        self._watchdog = watchdog
        self._seconds = seconds

    def read(self, images: np.ndarray) -> Readings:
        """Read pictures, as `Reader.read` does.

        Raises:
            ApiError: `timed_out`, the run was ended; `internal`, the model failed, as the log says.
        """
        task = self.manifest.task
        with self._watchdog.watching(task, len(images), self._seconds) as run:
            try:
                return self._reader.read(images, run=run)
            except ModelError as error:
                if run.cancelled:
                    raise ApiError(
                        "timed_out", f"the model of {task} gave no answer in time; try again later"
                    ) from None
                _log.error("%s", error)
                raise ApiError(
                    "internal", f"the model of {task} failed on this picture; the log of the service says why"
                ) from None


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def watched_readers(readers: Mapping[str, Reader], watchdog: Watchdog) -> dict[str, WatchedReader]:
    """The same readers by task, watched."""
    return {task: WatchedReader(reader, watchdog) for task, reader in readers.items()}
