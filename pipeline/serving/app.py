"""The ASGI application in front of BentoML's: it answers every path itself, within limits, in one form of error.

BentoML's own parsing of requests is never reached: it would let a Content-Type choose the decoder, fetch strings as
URLs, unpickle, reshape arrays in silence, and take bodies of any size.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import bentoml
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.core.decoding import PictureError
from pipeline.serving.endpoints import Endpoints
from pipeline.serving.errors import Refusal
from pipeline.serving.metrics import OTHER

_log = logging.getLogger("bentoml.reader")
SCHEMA = "/schema.json"
"""What BentoML itself answers: the description of the service that its clients ask for."""
_GET, _POST = ("GET", "HEAD"), ("POST",)
_CLOSE = {"Connection": "close"}
_GONE = 499
"""Counted for a caller who went away or took no answer; nobody is sent it."""


class Front:
    """Answers what reaches the service's process, and hands BentoML its start, its end and its schema."""

    def __init__(self, app: ASGIApp) -> None:
        """Define the front.

        Args:
            app: BentoML's.
        """
        self._app = app
        self._paths: Mapping[str, tuple[tuple[str, ...], Callable[..., Awaitable[Response]] | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._paths:
            self._open()
        started = time.perf_counter()
        path = scope["path"] if scope["path"] in self._paths else OTHER
        self._stopping.in_progress += 1
        self._metrics.in_progress.inc()
        status = _GONE
        try:
            response = await self._response(scope, receive)
            if response is not None and self._stopping.told:
                response.headers["Connection"] = "close"
            async with asyncio.timeout(self._seconds):
                await (self._app if response is None else response)(scope, receive, send)
            status = 200 if response is None else response.status_code
        except TimeoutError:  # A kind of OSError, but this caller is there, and would keep all that is sent waiting.
            _log.warning("%s: the answer was not taken within %g seconds", path, self._seconds)
            _cut(receive)
        except (ClientDisconnect, OSError):
            # Nobody is there to get this, but BentoML's timeout waits, and a stop with it, until something is sent.
            await Response(status_code=_GONE)(scope, receive, send)
        finally:
            self._stopping.in_progress -= 1
            self._metrics.in_progress.dec()
            self._metrics.answered(path, status, time.perf_counter() - started)

    async def _response(self, scope: Scope, receive: Receive) -> Response | None:
        """The answer, or None where it is BentoML's to give."""
        try:
            endpoint = self._endpoint(scope)
            return None if endpoint is None else await endpoint(scope, receive)
        except Refusal as error:
            refusal = error
        except PictureError as error:
            refusal = Refusal.of(error)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("%s failed", scope["path"])
            refusal = Refusal("internal", "the service failed on this request; its log says why")
        self._metrics.refused(refusal.code)
        return refusal.response()

    def _endpoint(self, scope: Scope) -> Callable[..., Awaitable[Response]] | None:
        known = self._paths.get(scope["path"])
        if known is None:
            raise Refusal("not_found", f"no such path: {scope['path'][:80]!r}; /openapi.json has those there are")
        methods, endpoint = known
        if scope["method"] not in methods:
            raise Refusal(
                "method_not_allowed",
                f"{scope['method'][:20]} {scope['path']}: expected {' or '.join(methods)}",
                {"Allow": ", ".join(methods)},
            )
        if methods == _POST:
            if self._stopping.told:
                raise Refusal("stopping", "the service was told to stop; another one will answer", _CLOSE)
            if self._stopping.in_progress > self._requests:
                raise Refusal("overloaded", f"more than {self._requests} requests are in progress; try again", _CLOSE)
        return endpoint

    def _open(self) -> None:
        # BentoML makes the service after its middleware: the first request finds it.
        service = bentoml.get_current_service()
        endpoints: Endpoints = service.endpoints
        self._stopping = service.stopping
        self._metrics = endpoints.metrics
        self._seconds = endpoints.limits.answer_seconds
        self._requests = endpoints.limits.requests
        self._paths = {
            "/": (_GET, endpoints.index),
            "/info": (_GET, endpoints.info),
            "/livez": (_GET, self._live),
            "/readyz": (_GET, self._ready),
            "/metrics": (_GET, endpoints.count),
            "/openapi.json": (_GET, endpoints.openapi),
            SCHEMA: (_GET, None),
            "/read": (_POST, endpoints.read),
            "/read_many": (_POST, endpoints.read_many),
            "/classify": (_POST, endpoints.classify),
            "/classify_many": (_POST, endpoints.classify_many),
        }

    async def _live(self, scope: Scope, receive: Receive) -> Response:
        return PlainTextResponse("\n")

    async def _ready(self, scope: Scope, receive: Receive) -> Response:
        if self._stopping.told:
            raise Refusal("stopping", "the service finishes what it has begun, and stops")
        return PlainTextResponse("\n")


def _cut(receive: Receive) -> None:
    """Close a connection with whatever is still to be sent.

    ASGI has no word for it, and the server's own way of closing waits for the caller without end. What `receive`
    belongs to is Uvicorn's request, since BentoML hands it through; where it is not, the connection stays.
    """
    request = getattr(receive, "__self__", None)
    if hasattr(request, "transport"):
        request.transport.abort()
        # Of several requests sent ahead Uvicorn tells the last alone, and would answer this one with an error.
        request.disconnected = True
