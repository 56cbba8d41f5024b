"""The page at `/`: static files of this package. A browser fetches nothing from elsewhere and runs no inline script."""

import functools
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.runtime.text import NOTES

PATH = "/page"
FOLDER = Path(__file__).with_name("page")
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""Of the files, by the end of their names; other files are not served."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every file: nothing is loaded from elsewhere, and no inline script runs."""


def routes() -> list[Route]:
    """The routes of the page and of its files, each of which is read once."""
    files = sorted(file for file in FOLDER.rglob("*") if file.suffix in TYPES and file.name != "index.html")
    return [
        Route("/", _index),
        Route(f"{PATH}/notes.json", _notes),
        *(
            Route(f"{PATH}/{file.relative_to(FOLDER).as_posix()}", functools.partial(_file, file), name=file.name)
            for file in files
        ),
    ]


async def _index(request: Request) -> Response:
    """The page for a browser; every other client is sent to what is served."""
    if "text/html" in request.headers.get("accept", ""):
        response = await _file(FOLDER / "index.html", request)
    else:
        response = RedirectResponse("/info")
    response.headers["Vary"] = "Accept"
    return response


async def _notes(request: Request) -> Response:
    """What the notes of an answer mean."""
    return Response(json.dumps(NOTES), media_type=TYPES[".json"], headers=HEADERS)


async def _file(file: Path, request: Request) -> Response:
    return response_of(file)


def response_of(file: Path) -> Response:
    """A file of a page, which is read once."""
    return Response(_content(file), media_type=TYPES[file.suffix], headers=HEADERS)


@functools.cache
def _content(file: Path) -> bytes:
    return file.read_bytes()
