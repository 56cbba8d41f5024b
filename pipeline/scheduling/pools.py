"""Threads for work that takes CPU time, so that the event loop never does it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from pipeline.scheduling.batching import give_way
from pipeline.scheduling.errors import ApiError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Pool:
    """A few threads, and a bounded number of calls that wait for one of them."""

    def __init__(self, name: str, threads: int, waiting: int, *, polite: bool = True) -> None:
        """Define; threads start with the first calls.

        Args:
            name: of the threads.
            threads: at most.
            waiting: calls that are running or waiting, at most.
            polite: whether the threads give way to the event loop.
        """
        self._executor = ThreadPoolExecutor(threads, name, initializer=give_way if polite else None)
        self._limit = waiting
        self._calls = 0

    async def run(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """What a function returns, called in one of the threads.

        Raises:
            ApiError: `overloaded`, as many calls wait as may.
        """
        if self._calls >= self._limit:
            raise ApiError("overloaded", f"{self._calls} bodies are being decoded; try again")
        self._calls += 1
        future = self._executor.submit(function, *arguments, **named)
        loop = asyncio.get_running_loop()

        def finish() -> None:
            self._calls -= 1

        def done(_: object) -> None:
            # A thread works on even when nobody waits any more: its place is free only then.
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
