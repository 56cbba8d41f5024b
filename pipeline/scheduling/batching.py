"""Dynamic batching without a delay.

Single pictures that arrive while all threads are busy share the next run of their model; a lone picture is read at
once. No picture waits for others to come, and a thread that becomes free leaves the other threads their share.

Requests for many pictures are read in slices of a few milliseconds, the shortest first, and single pictures go before
them: a single picture waits for a slice at most.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.decoding import PictureError
from pipeline.core.readings import Readings
from pipeline.runtime.reader import Reader
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.watchdog import WatchedReader

_log = logging.getLogger("bentoml.reader")
_TRIALS = 5
"""Runs that are timed to know how long a model takes."""
_RUN_SECONDS = 0.03
"""What a run of single pictures takes at most, on an idle machine."""
_SLICE_SECONDS = 0.008
"""What a slice of a request for many pictures takes at most."""
_TURNS = 8
"""While single pictures wait, one of so many runs is a slice of a request for many, and one of so many slices is of the
oldest of these, so that every request ends."""
_WEIGHT = 0.2
"""Of the latest run in the average time of a picture."""
_SHARE = 0.8
"""Of the limits, for pictures that are still to come."""
_NICENESS = 5
"""By how much a thread that computes gives way to the event loop of its process."""

Images = np.ndarray | Callable[[], np.ndarray]
"""uint8 (n, height, width, channels), or what makes such an array of one picture."""


def _ignore(task: str, pictures: int) -> None:
    pass


def give_way() -> None:
    """Have this thread run after the event loop where both could; on Linux a thread has a priority of its own."""
    with contextlib.suppress(OSError, AttributeError):
        current = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, current + _NICENESS))


@dataclass(eq=False)
class _Job:
    """Pictures of one request.

    Attributes:
        task: the name of the reader.
        reader: what reads them, also once another one has its name.
        many: whether they are read in slices, behind single pictures.
        count: of the pictures.
        taken: pictures that threads have taken.
        parts: readings of slices, by the first picture of each.
        over: whether it has its result, or needs none any more.
    """

    task: str
    reader: Reader | WatchedReader
    images: Images
    result: "asyncio.Future[Readings]"
    loop: asyncio.AbstractEventLoop
    many: bool
    count: int
    taken: int = 0
    parts: dict[int, Readings] = field(default_factory=dict)
    over: bool = False


@dataclass(frozen=True)
class _Piece:
    """Pictures of a job, from `start` to `stop`."""

    job: _Job
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    def images(self) -> np.ndarray:
        given = self.job.images
        return given[self.start : self.stop] if isinstance(given, np.ndarray) else given()


class DynamicBatcher:
    """Takes pictures from an event loop and has threads of its own read them.

    A quick model reads a lone picture on the event loop itself: the way to a thread and back takes about as long as
    such a model, and blocks nothing that the run would not.

    Attributes:
        coming: single pictures of requests that were let in and have not called `read` yet; the event loop counts.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader | WatchedReader],
        *,
        threads: int,
        batch: int,
        waiting: int,
        waiting_seconds: float = float("inf"),
        inline_seconds: float = 0.0,
        observe: Callable[[str, int], None] = _ignore,
    ) -> None:
        """Start the threads.

        Args:
            readers: by name; a service calls each like its task, and one that comes later by another name.
            threads: that run models side by side.
            batch: pictures in one run of a model, at most.
            waiting: single pictures that may wait before `read` raises; those of requests for many are not counted.
            waiting_seconds: that a single picture may be expected to wait before `read` raises.
            inline_seconds: a model that takes no longer than this for one picture is quick; at 0 none is, and models
                are not timed before they read.
            observe: called with the task and the number of pictures of each run.
        """
        self._readers: dict[str, Reader | WatchedReader] = {}
        self._threads = threads
        self._batch = batch
        self._limit = waiting
        self._limit_seconds = waiting_seconds
        self._inline_seconds = inline_seconds
        self._observe = observe
        self._quick: set[str] = set()
        self._run_limits: dict[str, int] = {}
        self._slice_limits: dict[str, int] = {}
        # Seconds of a thread for one picture, as lately measured: with whatever else the machine does.
        self._seconds: dict[str, float] = {}
        self._changed = threading.Condition()
        for task, reader in readers.items():
            self.add(task, reader)
        self._pace = max(self._seconds.values(), default=0.0)
        self.coming = 0
        # Of the event loop alone: reads that were begun and are not finished.
        self._active = 0
        self._singles: deque[_Job] = deque()
        self._many: deque[_Job] = deque()
        self._waiting: Counter[str] = Counter()
        self._single_runs = 0
        self._slices = 0
        self._busy_until = [0.0] * threads
        self._closed = False
        for number in range(threads):
            threading.Thread(target=self._work, args=(number,), name=f"reader-{number}", daemon=True).start()

    def add(self, name: str, reader: Reader | WatchedReader) -> None:
        """Let another reader read as well. Any thread may call this; the reader is timed in it.

        Args:
            name: that no reader has.
            reader: that becomes known by it.
        """
        alone = _seconds(reader) if self._inline_seconds else None
        with self._changed:
            if alone is not None and alone <= self._inline_seconds:
                self._quick.add(name)
            self._run_limits[name] = self._pictures_in(alone, _RUN_SECONDS)
            self._slice_limits[name] = self._pictures_in(alone, _SLICE_SECONDS)
            self._seconds[name] = alone or 0.0
            self._readers[name] = reader

    def drop(self, name: str) -> None:
        """Forget a reader for which nobody will call `read` any more; what waits for it is read all the same."""
        with self._changed:
            del self._readers[name]
            self._quick.discard(name)

    async def read(self, task: str, images: Images, *, many: bool = False) -> Readings:
        """Read pictures of one task.

        Args:
            task: whose model reads them, or the name of another reader.
            images: uint8 (n, height, width, channels) of the model's size; or, for one picture, a function that makes
                such an array, which a thread calls.
            many: part of a request for many pictures, that was let in already: it is read in slices.

        Raises:
            ApiError: `overloaded`, more single pictures wait than may, or this one would wait too long.
            PictureError: raised by the function.
        """
        reader = self._readers[task]
        self._active += 1
        try:
            lone = not isinstance(images, np.ndarray) or len(images) == 1
            if self._active == 1 and lone and not many and task in self._quick:
                # Requests that arrived together begin now; if there are any, this picture is not alone.
                await asyncio.sleep(0)
                if self._active == 1:
                    pixels = images if isinstance(images, np.ndarray) else images()
                    try:
                        readings = reader.read(pixels)
                    except ApiError as error:
                        if error.code != "timed_out":
                            raise
                        # It took too long for the event loop; a thread has more time.
                        self._quick.discard(task)
                    else:
                        self._observe(task, 1)
                        return readings
            return await self._queue(task, reader, images, many)
        finally:
            self._active -= 1

    def expect_room(self, headers: Mapping[str, str] | None = None) -> None:
        """Reject a single picture that would wait too long. It costs next to nothing.

        Args:
            headers: of the answer.

        Raises:
            ApiError: `overloaded`.
        """
        if message := self.why_no_room():
            raise ApiError("overloaded", message, headers)

    def why_no_room(self, *, coming: bool = False) -> str:
        """Why a single picture would be rejected; empty where it would not.

        Args:
            coming: count the pictures that are still to come as well, and keep a reserve: a request that is let in then
                is not rejected a moment later.
        """
        ahead = self.coming if coming else 0
        share = _SHARE if coming else 1.0
        waiting = sum(self._waiting.values()) + ahead
        if waiting >= self._limit * share:
            return f"{waiting} single pictures are waiting, expected at most {self._limit}; try again"
        seconds = self.expected_seconds(ahead)
        if seconds > self._limit_seconds * share:
            return f"a picture would wait {seconds:.2f} seconds, expected at most {self._limit_seconds:g}; try again"
        return ""

    def expected_seconds(self, ahead: int = 0) -> float:
        """How long a single picture would wait for a thread: the work that waits, by the pace lately measured.

        Args:
            ahead: pictures of any task that are still to come before it.
        """
        now = time.perf_counter()
        running = [max(0.0, until - now) for until in self._busy_until]
        queued = ahead * self._pace
        for task, count in self._waiting.items():
            queued += count * self._seconds[task]
        return min(running) if not queued else (sum(running) + queued) / self._threads

    def close(self) -> None:
        """Let the threads end once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def _queue(self, task: str, reader: Reader | WatchedReader, images: Images, many: bool) -> Readings:
        if not many:
            self.expect_room()
        loop = asyncio.get_running_loop()
        count = len(images) if isinstance(images, np.ndarray) else 1
        job = _Job(task, reader, images, loop.create_future(), loop, many, count)
        with self._changed:
            (self._many if many else self._singles).append(job)
            if not many:
                self._waiting[task] += count
            self._changed.notify()
        return await job.result

    def _pictures_in(self, alone: float | None, seconds: float) -> int:
        return max(1, min(self._batch, int(seconds / alone))) if alone else self._batch

    def _work(self, number: int) -> None:
        give_way()
        while pieces := self._next(number):
            started = time.perf_counter()
            self._run(pieces)
            count = sum(piece.count for piece in pieces)
            task = pieces[0].job.task
            latest = (time.perf_counter() - started) / count
            before = self._seconds[task]
            self._seconds[task] = latest if not before else before + _WEIGHT * (latest - before)
            if not pieces[0].job.many:
                self._pace += _WEIGHT * (latest - self._pace)
            self._busy_until[number] = 0.0

    def _run(self, pieces: list[_Piece]) -> None:
        task = pieces[0].job.task
        ready: list[_Piece] = []
        arrays: list[np.ndarray] = []
        for piece in pieces:
            try:
                arrays.append(piece.images())
                ready.append(piece)
            except Exception as error:  # Every job gets an answer, and the thread lives on.
                if not isinstance(error, PictureError):
                    _log.exception("a picture for %s failed", task)
                self._fail([piece], error)
        if ready:
            self._read(task, ready, arrays)

    def _read(self, task: str, pieces: list[_Piece], arrays: list[np.ndarray]) -> None:
        count = sum(piece.count for piece in pieces)
        try:
            readings = pieces[0].job.reader.read(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
        except Exception as error:
            # A picture that a model fails on must not fail those that share its run.
            if len(pieces) > 1 and not (isinstance(error, ApiError) and error.code == "timed_out"):
                for piece, array in zip(pieces, arrays, strict=True):
                    self._read(task, [piece], [array])
                return
            if not isinstance(error, ApiError):
                _log.exception("a run of %s failed", task)
            self._observe(task, count)
            self._fail(pieces, error)
        else:
            # A caller that has its answer finds its run counted.
            self._observe(task, count)
            self._deliver(pieces, readings)

    def _next(self, number: int) -> list[_Piece]:
        """What a thread reads next; nothing once the batcher is closed and nothing waits."""
        with self._changed:
            while True:
                self._drop_cancelled()
                if pieces := self._take():
                    task = pieces[0].job.task
                    count = sum(piece.count for piece in pieces)
                    self._busy_until[number] = time.perf_counter() + count * self._seconds[task]
                    return pieces
                if self._closed:
                    return []
                self._changed.wait()

    def _drop_cancelled(self) -> None:
        """Forget the jobs whose clients went away, or whose time was up."""
        for job in self._singles:
            if job.result.cancelled():
                self._waiting[job.task] -= job.count
        for jobs in (self._singles, self._many):
            if any(job.result.cancelled() or job.over for job in jobs):
                left = [job for job in jobs if not (job.result.cancelled() or job.over)]
                jobs.clear()
                jobs.extend(left)

    def _take(self) -> list[_Piece]:
        if self._many and (not self._singles or self._single_runs >= _TURNS - 1):
            self._single_runs = 0
            return self._take_slice()
        self._single_runs = self._single_runs + 1 if self._many else 0
        return self._take_singles()

    def _take_singles(self) -> list[_Piece]:
        """The single picture that waits longest and others of its task, a thread's share."""
        if not self._singles:
            return []
        task = self._singles[0].task
        share = -(-sum(self._waiting.values()) // self._threads)
        most = min(self._run_limits[task], share)
        pieces: list[_Piece] = []
        left: deque[_Job] = deque()
        size = 0
        for job in self._singles:
            if job.task == task and (not pieces or size + job.count <= most):
                pieces.append(_Piece(job, 0, job.count))
                size += job.count
            else:
                left.append(job)
        self._singles = left
        self._waiting[task] -= size
        return pieces

    def _take_slice(self) -> list[_Piece]:
        """The next slice of the request for many pictures that has the fewest left; now and then of the oldest."""
        self._slices += 1
        oldest = self._slices % _TURNS == 0
        job = self._many[0] if oldest else min(self._many, key=lambda each: each.count - each.taken)
        piece = _Piece(job, job.taken, min(job.count, job.taken + self._slice_limits[job.task]))
        job.taken = piece.stop
        if job.taken == job.count:
            self._many.remove(job)
        return [piece]

    def _deliver(self, pieces: list[_Piece], readings: Readings) -> None:
        results: list[tuple[_Job, Readings]] = []
        start = 0
        with self._changed:
            for piece in pieces:
                job = piece.job
                job.parts[piece.start] = readings.take(slice(start, start + piece.count))
                start += piece.count
                if sum(len(part) for part in job.parts.values()) == job.count and not job.over:
                    job.over = True
                    results.append((job, _joined([job.parts[first] for first in sorted(job.parts)])))

        def set_results() -> None:
            for job, result in results:
                if not job.result.done():
                    job.result.set_result(result)

        _call(pieces[0].job.loop, set_results)

    def _fail(self, pieces: list[_Piece], error: Exception) -> None:
        with self._changed:
            for piece in pieces:
                piece.job.over = True

        def set_exceptions() -> None:
            for piece in pieces:
                if not piece.job.result.done():
                    piece.job.result.set_exception(error)

        _call(pieces[0].job.loop, set_exceptions)


def _seconds(reader: Reader | WatchedReader) -> float:
    """How long the model takes for one picture, as the shortest of a few runs."""
    picture = np.zeros((1, *reader.manifest.shape), np.uint8)
    taken = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        reader.read(picture)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _joined(parts: list[Readings]) -> Readings:
    if len(parts) == 1:
        return parts[0]
    boxes = [part.boxes for part in parts if part.boxes is not None]
    return Readings(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate(boxes) if boxes else None,
    )


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    # A closed loop raises: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)
