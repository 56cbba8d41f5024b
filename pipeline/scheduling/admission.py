"""Rejections that cost next to nothing: decided by a request's head alone, before any task, route or body."""

import functools
from collections.abc import Callable, Collection

from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.errors import RETRY_SECONDS, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown

SHORT = 65536
"""A body of at most so many bytes is received and dropped, so that its connection can stay; a longer one is not."""


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

    def refusal(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """What follows the status line of a 503: headers, an empty line and the body; None to let the request go on.

        Args:
            method: of the request.
            path: of its target.
            headers: names in lower case, and values.
        """
        if path not in self._paths or method != "POST" or self._shutdown.requested:
            return None
        length = next((value for name, value in headers if name == b"content-length"), b"")
        if not length.isdigit() or len(length) > 9 or int(length) > SHORT:
            return None
        try:
            if self._shutdown.in_progress >= self._requests:
                raise ApiError("overloaded", f"{self._requests} requests are in progress; try again")
            self._batcher.expect_room()
        except ApiError as error:
            self._count(path, error.code)
            return _rendered(error.message)
        return None


@functools.lru_cache(maxsize=256)
def _rendered(message: str) -> bytes:
    body = bytes(ApiError("overloaded", message).response().body)
    return (
        b"content-type: application/json\r\nretry-after: %d\r\ncontent-length: %d\r\n\r\n" % (RETRY_SECONDS, len(body))
    ) + body
