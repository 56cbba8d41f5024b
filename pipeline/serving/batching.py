"""The desk where decoded pictures wait for a model: a bounded queue, and threads that read what waits in one run.

Batches form by themselves: who comes while the threads read is read with the others that came, and who comes alone is
read at once. No one waits for company, and a thread that gets free leaves the others their share.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.readings import Readings
from pipeline.runtime.reader import Reader
from pipeline.serving.errors import Refusal

_log = logging.getLogger("bentoml.reader")


@dataclass(frozen=True)
class _Job:
    task: str
    images: np.ndarray
    answer: "asyncio.Future[Readings]"
    loop: asyncio.AbstractEventLoop
    admitted: bool


class Desk:
    """Takes pictures from an event loop and has them read by threads of its own."""

    def __init__(
        self,
        readers: Mapping[str, Reader],
        *,
        threads: int,
        batch: int,
        waiting: int,
        observe: Callable[[str, int], Any] = lambda task, pictures: None,
    ) -> None:
        """Start the threads.

        Args:
            readers: by task.
            threads: that read side by side.
            batch: pictures in one run of a model, at most.
            waiting: single pictures that may wait before `read` refuses; those of requests for many are not counted.
            observe: is told the task and the number of pictures of each run.
        """
        self._readers = readers
        self._threads = threads
        self._batch = batch
        self._limit = waiting
        self._observe = observe
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
            images: uint8 (n, H, W, C) of the model's size, n at most `batch`.
            admitted: part of a request that was let in already: it waits where others are refused.

        Raises:
            Refusal: `overloaded`, more single pictures than may wait.
        """
        loop = asyncio.get_running_loop()
        job = _Job(task, images, loop.create_future(), loop, admitted)
        with self._changed:
            if not admitted and self._singles + len(images) > self._limit:
                raise Refusal(
                    "overloaded", f"{self._singles} single pictures wait, expected at most {self._limit}; try again"
                )
            self._count(job, len(images))
            self._jobs.append(job)
            self._changed.notify()
        return await job.answer

    def close(self) -> None:
        """Let the threads end once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while jobs := self._taken():
            try:
                images = jobs[0].images if len(jobs) == 1 else np.concatenate([job.images for job in jobs])
                readings, error = self._readers[jobs[0].task].read(images), None
            except Exception as failure:  # Every job gets an answer, and the thread lives on.
                _log.exception("a run of %s failed", jobs[0].task)
                readings, error = None, failure
            self._observe(jobs[0].task, sum(len(job.images) for job in jobs))
            _delivered(jobs, readings, error)

    def _taken(self) -> list[_Job]:
        """The longest waiting job and others of its task, a thread's share; nothing once the desk is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            taken, left, size = [], deque(), 0
            most = min(self._batch, -(-self._waiting // self._threads))
            task = self._jobs[0].task
            for job in self._jobs:
                # Who gave up, because the client went away or the time was up, is not read.
                if job.answer.cancelled():
                    self._count(job, -len(job.images))
                elif job.task == task and (not taken or size + len(job.images) <= most):
                    taken.append(job)
                    size += len(job.images)
                    self._count(job, -len(job.images))
                else:
                    left.append(job)
            self._jobs = left
        return taken or self._taken()

    def _count(self, job: _Job, pictures: int) -> None:
        self._waiting += pictures
        if not job.admitted:
            self._singles += pictures


def _delivered(jobs: list[_Job], readings: Readings | None, error: Exception | None) -> None:
    def deliver() -> None:
        start = 0
        for job in jobs:
            if not job.answer.done():
                if readings is None:
                    job.answer.set_exception(error)
                else:
                    job.answer.set_result(readings.take(slice(start, start + len(job.images))))
            start += len(job.images)

    # A closed loop raises: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        jobs[0].loop.call_soon_threadsafe(deliver)
