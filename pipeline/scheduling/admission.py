"""Rejections that cost next to nothing: decided by a request's head alone, before any task, route or body."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping

from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import RETRY_SECONDS, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown

SHORT = 65536
"""A body of at most so many bytes is received and dropped, so that its connection can stay; a longer one is not."""


class Places:
    """A bounded number of requests of one kind that are worked on at a time."""

    def __init__(self, limit: int, what: str) -> None:
        """Define.

        Args:
            limit: requests at a time, at most.
            what: they are doing, for messages: "requests for many pictures are being read".
        """
        self._limit = limit
        self._what = what
        self._taken = 0

    def expect_free(self, headers: Mapping[str, str] | None = None) -> None:
        """Reject a request for which there is no place now. It costs next to nothing.

        Args:
            headers: of the answer.

        Raises:
            ApiError: `overloaded`.
        """
        if self._taken >= self._limit:
            raise ApiError("overloaded", f"{self._taken} {self._what}; try again", headers)

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place until the block is left.

        Raises:
            ApiError: `overloaded`, there is none.
        """
        self.expect_free()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Gate:
    """Rejects single pictures that would wait too long.

    A process that is offered several times what it can read spends most of its requests on rejections. Through the
    application each would take a third of the time of a reading; here it takes a fiftieth. Everything else is left to
    the application, among it the requests that it would reject for another reason.
    """

    def __init__(
        self,
        batcher: DynamicBatcher,
        limits: Limits,
        shutdown: Shutdown,
        paths: Collection[str],
        count: Callable[[str, str], None],
    ) -> None:
        """Define.

        Args:
            batcher: knows how long a picture would wait.
            limits: of this process.
            shutdown: counts the requests in progress; while it is requested, nothing is rejected here.
            paths: that take a single picture.
            count: called with the path and the error's code of each request that is rejected.
        """
        self._batcher = batcher
        self._requests = limits.requests
        self._shutdown = shutdown
        self._paths = frozenset(paths)
        self._count = count

    def covers(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the head of a request is enough to reject it, should there be no room.

        Args:
            method: of the request.
            path: of its target.
            headers: names in lower case, and values.
        """
        if path not in self._paths or method != "POST":
            return False
        length = next((value for name, value in headers if name == b"content-length"), b"")
        return length.isdigit() and len(length) <= 9 and int(length) <= SHORT

    def why_closed(self) -> str:
        """Why a request that this gate covers is rejected now; empty where it is not."""
        if self._shutdown.requested:
            return ""
        if self._shutdown.in_progress >= self._requests:
            return f"{self._requests} requests are in progress; try again"
        return self._batcher.why_no_room(coming=True)

    def refusal(self, path: str, reason: str) -> bytes:
        """What follows the status line of a 503: headers, an empty line and the body. It is counted."""
        self._count(path, "overloaded")
        return _rendered(reason)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count a request that was let in and is complete, until its task has had its first turn.

        An event loop hands over all that arrived before it runs any task. Without this, all of it would be let in at
        once, and rejected later, when that costs as much as a reading.

        Args:
            loop: on which its task was made.
        """
        self._batcher.coming += 1
        loop.call_soon(self._has_begun)

    def _has_begun(self) -> None:
        self._batcher.coming -= 1


@functools.lru_cache(maxsize=256)
def _rendered(message: str) -> bytes:
    body = bytes(ApiError("overloaded", message).response().body)
    return (
        b"content-type: application/json\r\nretry-after: %d\r\ncontent-length: %d\r\n\r\n" % (RETRY_SECONDS, len(body))
    ) + body
