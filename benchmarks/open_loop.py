"""Clients for overload: requests at a given rate whatever the service does, and few that take little CPU time.

The time of an answer begins when its request was due, not when a connection was free: a service that makes its clients
wait cannot hide that. Every function runs in a process of its own (`apart`).
"""

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import uvloop

FAILED = 0
"""The status of a request whose connection broke before its answer was whole."""
UNANSWERED = -1
"""The status of a request that had no answer when the client gave up."""
_TICK = 0.002


@dataclass
class Outcome:
    """What requests of one kind came to.

    Attributes:
        seconds: for which they were sent.
        sent: requests.
        times: by status, the time of each answer in seconds.
        good: answers of 200 that came before the end of `seconds`.
        late: 99th percentile of how late the client itself was, in seconds; above some milliseconds it was the limit.
    """

    seconds: float
    sent: int = 0
    times: dict[int, list[float]] = field(default_factory=dict)
    good: int = 0
    late: float = 0.0

    def add(self, status: int, seconds: float, *, in_time: bool = False) -> None:
        self.times.setdefault(status, []).append(seconds)
        self.good += in_time and status == 200

    def count(self, status: int) -> int:
        return len(self.times.get(status, []))

    @property
    def goodput(self) -> float:
        """Answers of 200 per second while requests were sent; those that came after the end do not count."""
        return self.good / self.seconds

    def percentile(self, share: float, status: int | None = None) -> float:
        """Milliseconds; of all statuses where none is given, and not a number where there was no answer."""
        times = sorted(time for each, taken in self.times.items() if status is None or each == status for time in taken)
        return 1000 * times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")

    def summary(self) -> dict[str, Any]:
        """Counts and percentiles in milliseconds, for JSON."""
        return {
            "seconds": self.seconds,
            "sent": self.sent,
            "goodput": round(self.goodput, 1),
            "late_p99_ms": round(1000 * self.late, 1),
            "statuses": {
                str(status): {
                    "count": len(taken),
                    "p50_ms": round(self.percentile(0.5, status), 1),
                    "p99_ms": round(self.percentile(0.99, status), 1),
                    "max_ms": round(1000 * max(taken), 1),
                }
                for status, taken in sorted(self.times.items())
            },
        }


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight at a time."""

    def __init__(self, idle: Callable[["_Connection"], None], lost: Callable[["_Connection"], None]) -> None:
        self._idle = idle
        self._lost = lost
        self._data = b""
        self._done: Callable[[int], None] | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.open = True

    def send(self, request: bytes, done: Callable[[int], None]) -> None:
        self._done = done
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = data[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(data) < end + 4 + length:
            return
        self._data = b""
        done, self._done = self._done, None
        if done is not None:
            done(int(data[9:12]))
        if b"connection: close" in head:
            self.open = False
            self.transport.close()
        else:
            self._idle(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        done, self._done = self._done, None
        if done is not None:
            done(FAILED)
        self._lost(self)


class _Pool:
    """Keep-alive connections to one port; a request takes a free one, or opens another up to a limit."""

    def __init__(self, port: int, limit: int) -> None:
        self._port = port
        self._limit = limit
        self._free: list[_Connection] = []
        self._count = 0
        self._waiting: deque[tuple[bytes, Callable[[int], None]]] = deque()
        self._tasks: set[asyncio.Task] = set()

    def send(self, request: bytes, done: Callable[[int], None]) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                connection.send(request, done)
                return
        self._waiting.append((request, done))
        if self._count < self._limit:
            self._count += 1
            task = asyncio.get_running_loop().create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._idle, self._lost), "127.0.0.1", self._port
            )
        except OSError:
            self._count -= 1
            if self._waiting:
                self._waiting.popleft()[1](FAILED)
            return
        self._idle(connection)

    def _idle(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def _lost(self, connection: _Connection) -> None:
        self._count -= 1
        if self._waiting and self._count < self._limit:
            self._count += 1
            task = asyncio.get_running_loop().create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


def at_rate(
    port: int,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    connections: int = 800,
    patience: float = 15.0,
    fresh: bool = False,
    cores: Sequence[int] = (),
) -> Outcome:
    """Send requests at a rate, whether or not the service keeps up.

    Args:
        port: on 127.0.0.1.
        requests: sent in turn.
        rate: requests per second, with random (exponential) gaps between them; seeded.
        seconds: for which they are sent.
        connections: kept alive at one time, at most.
        patience: seconds to wait for answers after that; a request without one counts as `UNANSWERED`.
        fresh: a connection of its own for every request, as a health check has.
        cores: on which the client runs; all where there are none.
    """
    _pin(cores)
    return uvloop.run(_at_rate(port, requests, rate, seconds, connections, patience, fresh))


async def _at_rate(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int, patience: float, fresh: bool
) -> Outcome:
    outcome = Outcome(seconds)
    pool = _Pool(port, connections)
    gaps = random.Random(7)
    open_requests = 0
    lags: list[float] = []

    def finish(due: float) -> Callable[[int], None]:
        def done(status: int) -> None:
            nonlocal open_requests
            open_requests -= 1
            now = time.perf_counter()
            outcome.add(status, now - due, in_time=now < end)

        return done

    begin = time.perf_counter()
    end = begin + seconds
    due = begin + gaps.expovariate(rate)
    while due < end:
        now = time.perf_counter()
        while due <= now and due < end:
            lags.append(now - due)
            open_requests += 1
            request = requests[outcome.sent % len(requests)]
            (_Pool(port, 1) if fresh else pool).send(request, finish(due))
            outcome.sent += 1
            due += gaps.expovariate(rate)
        await asyncio.sleep(max(0.0, min(_TICK, due - time.perf_counter())))
    give_up = time.perf_counter() + patience
    while open_requests and time.perf_counter() < give_up:  # noqa: ASYNC110, no event per request
        await asyncio.sleep(0.02)
    for _ in range(open_requests):
        outcome.add(UNANSWERED, time.perf_counter() - begin)
    lags.sort()
    outcome.late = lags[int(0.99 * len(lags))] if lags else 0.0
    return outcome


def closed(
    port: int,
    requests: Sequence[bytes],
    callers: int,
    seconds: float,
    *,
    warm: float = 1.0,
    pause: float = 0.0,
    cores: Sequence[int] = (),
) -> Outcome:
    """Callers that each send their next request as soon as they have an answer.

    Args:
        port: on 127.0.0.1.
        requests: sent in turn.
        callers: connections.
        seconds: of the measurement.
        warm: seconds before it, that are not counted.
        pause: seconds that a caller waits after an answer other than 200.
        cores: on which the client runs; all where there are none.
    """
    _pin(cores)
    return uvloop.run(_closed(port, requests, callers, seconds, warm, pause))


async def _closed(
    port: int, requests: Sequence[bytes], callers: int, seconds: float, warm: float, pause: float
) -> Outcome:
    outcome = Outcome(seconds)
    begin = time.perf_counter() + warm
    end = begin + seconds

    async def call(turn: int) -> None:
        pool = _Pool(port, 1)
        while (started := time.perf_counter()) < end:
            answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            pool.send(requests[turn % len(requests)], answer.set_result)
            turn += callers
            status = await answer
            if begin <= started:
                outcome.sent += 1
                now = time.perf_counter()
                outcome.add(status, now - started, in_time=now < end)
            if status != 200:
                await asyncio.sleep(pause)

    tasks = [asyncio.create_task(call(index)) for index in range(callers)]
    await asyncio.wait(tasks, timeout=warm + seconds + 60)
    for task in tasks:
        task.cancel()
    return outcome


def apart(function: Callable[..., Outcome], *arguments: Any, **named: Any) -> "Future[Outcome]":
    """Run a function of this module in a process of its own."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    future = pool.submit(function, *arguments, **named)
    pool.shutdown(wait=False)
    return future


def _pin(cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
