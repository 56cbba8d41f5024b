"""ASGI middleware around the endpoints: how requests are counted, admitted, and given up."""

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.core.errors import ConfigurationError
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown
from pipeline.serving.metrics import OTHER, Metrics
from pipeline.serving.protocol import ERROR_KEY

_log = logging.getLogger("bentoml.reader")
HEALTH_PATHS = ("/livez", "/healthz", "/readyz")
HOSTS_VARIABLE = "READER_HOSTS"
"""Lists the hosts that requests may be for, separated by commas; without it any is allowed."""
_HOST = re.compile(r"(?:\*\.)?[a-z0-9._-]+|\[[0-9a-f:.]+\]")
GONE = 499
"""Counted for a client that went away or did not receive its answer; nobody gets it."""


def hosts_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts that the environment allows; none means any.

    Raises:
        ConfigurationError: one of them is not a name without a port, or nothing is listed.
    """
    if HOSTS_VARIABLE not in environment:
        return ()
    hosts = tuple(host.strip().lower() for host in environment[HOSTS_VARIABLE].split(","))
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{HOSTS_VARIABLE}: {host!r} found, expected names without ports, separated by commas, as in "
                "reader.example.org,*.internal,127.0.0.1"
            )
    return hosts


class _Sender:
    """Sends one answer, and begins its time limit.

    Attributes:
        status: of the answer; `GONE` before it has begun.
        begun: whether a part of it was sent.
        limit: in which the answer is received; it has no end before the answer has begun.
    """

    def __init__(self, send: Send, seconds: float, shutdown: Shutdown) -> None:
        self.status = GONE
        self.begun = False
        self.limit = asyncio.timeout(None)
        self._send = send
        self._seconds = seconds
        self._shutdown = shutdown

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            self.limit.reschedule(asyncio.get_running_loop().time() + self._seconds)
            if self._shutdown.requested:
                headers = [(name, value) for name, value in message["headers"] if name != b"connection"]
                message["headers"] = [*headers, (b"connection", b"close")]
        try:
            await self._send(message)
        except OSError:
            raise ClientDisconnect from None


class RequestTracking:
    """Counts every request, bounds the time in which its answer is received, and answers `internal` after a bug."""

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, shutdown: Shutdown, labels: Mapping[str, str]
    ) -> None:
        """Define.

        Args:
            app: what answers.
            limits: of this process.
            metrics: where requests are counted.
            shutdown: counts requests in progress, too; while it is requested, answers close their connections.
            labels: what metrics call each path; other paths are counted as one.
        """
        self._app = app
        self._seconds = limits.answer_seconds
        self._metrics = metrics
        self._shutdown = shutdown
        self._labels = labels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what is not HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = self._labels.get(scope["path"], OTHER)
        self._shutdown.begin_request()
        self._metrics.in_progress.inc()
        sender = _Sender(send, self._seconds, self._shutdown)
        try:
            async with sender.limit:
                await self._answer(scope, receive, sender)
        except TimeoutError:
            sender.status = GONE
            # The client is connected, and would keep everything that is sent to it waiting.
            _log.warning("%s: the client did not receive the answer within %g seconds", path, self._seconds)
            _abort(receive)
        except ClientDisconnect:
            sender.status = GONE
            # Nobody gets this, but BentoML's timeout, and a shutdown with it, waits until something is sent.
            if not sender.begun:
                await Response(status_code=GONE)(scope, receive, send)
        finally:
            self._shutdown.end_request()
            self._metrics.in_progress.dec()
            self._metrics.count_request(path, sender.status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, sender: _Sender) -> None:
        refused: ApiError | None = scope.get(ERROR_KEY)
        if refused is not None:
            self._metrics.count_error(refused.code)
            await refused.response()(scope, receive, sender)
            return
        try:
            await self._app(scope, receive, sender)
        except ClientDisconnect:
            raise
        except Exception as failure:
            error = ApiError.of_system(failure)
            if error is None:
                _log.exception("%s failed", scope["path"])
                error = ApiError("internal", "the service failed on this request; its log says why")
            else:
                _log.error("%s: %s", scope["path"], error.message)
            self._metrics.count_error(error.code)
            if not sender.begun:
                await error.response()(scope, receive, sender)


class AllowedHosts:
    """Rejects a request for another host than those that are allowed. Health checks may use an address instead."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], metrics: Metrics) -> None:
        """Define.

        Args:
            app: what answers.
            hosts: names without ports, in lower case; `*.example.org` stands for every name below example.org.
            metrics: where rejected requests are counted.
        """
        self._app = app
        self._metrics = metrics
        self._names = frozenset(host for host in hosts if not host.startswith("*."))
        self._suffixes = tuple(host[1:] for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with `bad_host`."""
        if scope["type"] == "http" and scope["path"] not in HEALTH_PATHS:
            found = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
            name = found if found.endswith("]") else re.sub(r":[0-9]*$", "", found)
            if name not in self._names and not name.endswith(self._suffixes or ("\n",)):
                error = ApiError(
                    "bad_host", f"Host {found[:60]!r} found, expected one of those in {HOSTS_VARIABLE}", CLOSE
                )
                self._metrics.count_error(error.code)
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Admission:
    """Rejects a request while the process shuts down, or while too many others are in progress.

    It is a route's middleware, so that unknown paths and methods are rejected first, and its errors are handled like
    those of an endpoint.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, shutdown: Shutdown) -> None:
        self._app = app
        self._requests = limits.requests
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through.

        Raises:
            ApiError: `stopping` or `overloaded`.
        """
        if self._shutdown.requested:
            raise ApiError("stopping", "the service is shutting down; another one will answer", CLOSE)
        if self._shutdown.in_progress > self._requests:
            raise ApiError("overloaded", f"more than {self._requests} requests are in progress; try again", CLOSE)
        await self._app(scope, receive, send)


def _abort(receive: Receive) -> None:
    """Close a connection and drop what is still to be sent.

    ASGI has no message for it, and the server's own way of closing waits for the client without end. `receive` belongs
    to Uvicorn's request, since BentoML passes it through; under another server the connection stays.
    """
    request = getattr(receive, "__self__", None)
    if request is not None and hasattr(request, "transport"):
        request.transport.abort()
        # Of several requests sent ahead Uvicorn notifies the last alone, and would answer this one with an error.
        request.disconnected = True
