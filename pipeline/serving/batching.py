"""Dynamic batching without a delay.

Pictures that arrive while all threads are busy share the next run of their model; a lone picture is read at once. No
picture waits for others to come, and a thread that becomes free leaves the other threads their share.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.readings import Readings
from pipeline.runtime.reader import Reader
from pipeline.serving.errors import ApiError

_log = logging.getLogger("bentoml.reader")
_TRIALS = 5
"""Runs that are timed to know how long a model takes."""


def _ignore(task: str, pictures: int) -> None:
    pass


@dataclass(frozen=True)
class _Job:
    task: str
    images: np.ndarray
    result: "asyncio.Future[Readings]"
    loop: asyncio.AbstractEventLoop
    admitted: bool


class DynamicBatcher:
    """Takes pictures from an event loop and has threads of its own read them.

    A quick model reads a lone picture on the event loop itself: the way to a thread and back takes about as long as
    such a model, and blocks nothing that the run would not.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        *,
        threads: int,
        batch: int,
        waiting: int,
        inline_seconds: float = 0.0,
        observe: Callable[[str, int], None] = _ignore,
    ) -> None:
        """Start the threads.

        Args:
            readers: by task.
            threads: that run models side by side.
            batch: pictures in one run of a model, at most.
            waiting: single pictures that may wait before `read` raises; those of requests for many are not counted.
            inline_seconds: a model that takes no longer than this for one picture is quick; at 0 none is.
            observe: called with the task and the number of pictures of each run.
        """
        self._readers = readers
        self._threads = threads
        self._batch = batch
        self._limit = waiting
        self._observe = observe
        self._quick = {
            task for task, reader in readers.items() if inline_seconds and _seconds(reader) <= inline_seconds
        }
        # Of the event loop alone: reads that were begun and are not finished.
        self._active = 0
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._singles = 0
        self._changed = threading.Condition()
        self._closed = False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"reader-{number}", daemon=True).start()

    async def read(self, task: str, images: np.ndarray, *, admitted: bool = False) -> Readings:
        """Read pictures of one task.

        Args:
            task: whose model reads them.
            images: uint8 (n, height, width, channels) of the model's size, n at most `batch`.
            admitted: part of a request that was let in already: it waits where others are rejected.

        Raises:
            ApiError: `overloaded`, more single pictures than may wait.
        """
        self._active += 1
        try:
            if self._active == 1 and len(images) == 1 and task in self._quick:
                # Requests that arrived together begin now; if there are any, this picture is not alone.
                await asyncio.sleep(0)
                if self._active == 1:
                    readings = self._readers[task].read(images)
                    self._observe(task, 1)
                    return readings
            return await self._queue(task, images, admitted)
        finally:
            self._active -= 1

    def close(self) -> None:
        """Let the threads end once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def _queue(self, task: str, images: np.ndarray, admitted: bool) -> Readings:
        loop = asyncio.get_running_loop()
        job = _Job(task, images, loop.create_future(), loop, admitted)
        with self._changed:
            if not admitted and self._singles + len(images) > self._limit:
                raise ApiError(
                    "overloaded",
                    f"{self._singles} single pictures are waiting, expected at most {self._limit}; try again",
                )
            self._count(job, len(images))
            self._jobs.append(job)
            self._changed.notify()
        return await job.result

    def _work(self) -> None:
        while jobs := self._next():
            readings: Readings | None = None
            error: Exception | None = None
            try:
                images = jobs[0].images if len(jobs) == 1 else np.concatenate([job.images for job in jobs])
                readings = self._readers[jobs[0].task].read(images)
            except Exception as failure:  # Every job gets an answer, and the thread lives on.
                _log.exception("a run of %s failed", jobs[0].task)
                error = failure
            self._observe(jobs[0].task, sum(len(job.images) for job in jobs))
            _deliver(jobs, readings, error)

    def _next(self) -> list[_Job]:
        """The job that waits longest and others of its task, a thread's share; nothing once the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            taken: list[_Job] = []
            left: deque[_Job] = deque()
            size = 0
            most = min(self._batch, -(-self._waiting // self._threads))
            task = self._jobs[0].task
            for job in self._jobs:
                # Its client went away, or its time was up.
                if job.result.cancelled():
                    self._count(job, -len(job.images))
                elif job.task == task and (not taken or size + len(job.images) <= most):
                    taken.append(job)
                    size += len(job.images)
                    self._count(job, -len(job.images))
                else:
                    left.append(job)
            self._jobs = left
        return taken or self._next()

    def _count(self, job: _Job, pictures: int) -> None:
        self._waiting += pictures
        if not job.admitted:
            self._singles += pictures


def _seconds(reader: Reader) -> float:
    """How long the model takes for one picture, as the shortest of a few runs."""
    picture = np.zeros((1, *reader.manifest.shape), np.uint8)
    taken = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        reader.read(picture)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _deliver(jobs: list[_Job], readings: Readings | None, error: Exception | None) -> None:
    def set_results() -> None:
        start = 0
        for job in jobs:
            if not job.result.done():
                if readings is None:
                    job.result.set_exception(error or RuntimeError("a run gave no readings"))
                else:
                    job.result.set_result(readings.take(slice(start, start + len(job.images))))
            start += len(job.images)

    # A closed loop raises: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        jobs[0].loop.call_soon_threadsafe(set_results)
