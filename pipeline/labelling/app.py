"""The page and what it asks, for one browser on this machine.

Other pages in that browser can send requests to this one, and other users of the machine can, too. Every path therefore
begins with a random token. A name that leads to this machine (DNS rebinding) is refused by the Host header, and what is
sent from another page by its Origin.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.core.errors import DataError
from pipeline.labelling.session import KINDS, AnswerError, Session
from pipeline.project.local_ports import HOST
from pipeline.serving import static

_NAMES = (HOST, "localhost")
_PAGE = Path(__file__).with_name("page")
_FILES: Mapping[str, Path] = {
    **{name: _PAGE / name for name in ("label.css", "label.js", "picture.js", "requests.js", "words.js")},
    # Those of the service's page.
    **{name: static.FOLDER / name for name in ("icon.svg", "parts.js", "style.css")},
}
_MOST_BYTES = 4096
"""Of a request."""


class Entrance:
    """The token of the page, and a key that leads to it once.

    The address with which a browser is started can be seen by every user of the machine while that runs. It has the
    key, which is worth nothing once the browser has used it.
    """

    def __init__(self) -> None:
        """Draw both."""
        self.token = secrets.token_urlsafe(24)
        self._key: str | None = secrets.token_urlsafe(24)

    @property
    def once(self) -> str:
        """The path that leads to the page once; "/" where it has led there."""
        return f"/open/{self._key}" if self._key else "/"

    def redeem(self, key: str) -> bool:
        """Whether the key leads to the page; it does so once."""
        if self._key is None or not secrets.compare_digest(key.encode(), self._key.encode()):
            return False
        self._key = None
        return True


def make(session: Session, entrance: Entrance, finish: Callable[[], None]) -> Starlette:
    """The application.

    Args:
        session: that is gone through.
        entrance: whose token every path begins with.
        finish: called once the person says that this was all.
    """
    of = _Endpoints(session, entrance, finish)
    prefix = f"/{entrance.token}"
    return Starlette(
        routes=[
            Route("/open/{key}", of.enter),
            Route(f"{prefix}/", of.page),
            Route(f"{prefix}/state", of.state),
            Route(f"{prefix}/pictures/{{number:int}}", of.picture),
            Route(f"{prefix}/answers", of.answer, methods=["POST"]),
            Route(f"{prefix}/undo", of.undo, methods=["POST"]),
            Route(f"{prefix}/done", of.done, methods=["POST"]),
            Route(f"{prefix}/{{name}}", of.file),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(_NAMES), www_redirect=False),
            Middleware(_TokenOnly, token=entrance.token),
        ],
        exception_handlers={
            HTTPException: _refused,
            AnswerError: _conflict,
            DataError: _failed,
            OSError: _failed,
        },
    )


@dataclass(frozen=True)
class _Endpoints:
    session: Session
    entrance: Entrance
    finish: Callable[[], None]

    async def enter(self, request: Request) -> Response:
        if not self.entrance.redeem(request.path_params["key"]):
            raise HTTPException(404, "this address was used already; open the one that `make label` printed")
        return RedirectResponse(f"/{self.entrance.token}/", 303, headers={"Referrer-Policy": "no-referrer"})

    async def page(self, request: Request) -> Response:
        return static.response_of(_PAGE / "index.html")

    async def file(self, request: Request) -> Response:
        if (path := _FILES.get(request.path_params["name"])) is None:
            raise HTTPException(404, "no such file")
        return static.response_of(path)

    # Those that are no coroutines run in threads: they read pictures.
    def state(self, request: Request) -> Response:
        return _json(self.session.state())

    def picture(self, request: Request) -> Response:
        view = self.session.view(request.path_params["number"])
        if view.problem:
            raise HTTPException(404, view.problem)
        return Response(view.content, media_type=view.kind, headers={**static.HEADERS, "Cache-Control": "no-store"})

    async def answer(self, request: Request) -> Response:
        document = await _document(request)
        number, kind, label = document.get("number"), document.get("kind"), document.get("label", "")
        if type(number) is not int or kind not in KINDS or not isinstance(label, str):
            raise HTTPException(400, f"expected number, kind ({', '.join(KINDS)}) and label")
        return _json(await run_in_threadpool(self.session.answer, number, kind, label))

    async def undo(self, request: Request) -> Response:
        await _document(request)
        return _json(await run_in_threadpool(self.session.undo))

    async def done(self, request: Request) -> Response:
        await _document(request)
        self.finish()
        return _json(await run_in_threadpool(self.session.state))


class _TokenOnly:
    """Lets through what begins with the token, which is compared in constant time, and what may be the key."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            # "*" is the path of OPTIONS for the whole server.
            first = scope["path"].removeprefix("/").partition("/")[0]
            if first != "open" and not secrets.compare_digest(first.encode(), self._token):
                app = _json({"error": "not found; open the address that `make label` printed"}, 404)
        await app(scope, receive, send)


async def _document(request: Request) -> dict[str, object]:
    """The JSON of a request that this page sent.

    Raises:
        HTTPException: another page sent it, or it is no such JSON.
    """
    origin, own = request.headers.get("origin"), f"http://{request.headers['host']}"
    if origin is not None and origin != own:
        raise HTTPException(403, "sent by another page")
    # A form of another page cannot have this type.
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415, "expected application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, f"expected at most {_MOST_BYTES} bytes")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise HTTPException(400, "expected a JSON object")
    return document


def _json(document: object, status: int = 200) -> Response:
    return JSONResponse(document, status, headers={**static.HEADERS, "Cache-Control": "no-store"})


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


def _conflict(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 409)


def _failed(request: Request, error: Exception) -> Response:
    """Nothing was written: the picture is asked still."""
    reason = (
        f"{error.filename or 'corrections'}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
    )
    return _json({"error": reason}, 500)
