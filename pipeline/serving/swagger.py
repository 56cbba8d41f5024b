"""Swagger UI at `/docs`: the page, and its files from the BentoML package. A browser fetches nothing from elsewhere."""

import functools
import importlib.util
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipeline.core.errors import DataError

PATH = "/docs"
FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""Files that BentoML installs, and their types."""
_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>reader</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{PATH}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{PATH}/swagger-ui-bundle.js"></script>
<script src="{PATH}/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}


def routes() -> list[Route]:
    """The routes of the page and of its files."""
    return [
        Route(PATH, _page),
        Route(f"{PATH}/start.js", _start),
        *(Route(f"{PATH}/{name}", functools.partial(_file, name, kind)) for name, kind in FILES.items()),
    ]


async def _page(request: Request) -> Response:
    return HTMLResponse(_PAGE, headers=_HEADERS)


async def _start(request: Request) -> Response:
    return Response(_START, media_type="text/javascript")


async def _file(name: str, kind: str, request: Request) -> Response:
    return Response(_content(name), media_type=kind, headers={"Cache-Control": "max-age=86400"})


@functools.cache
def _content(name: str) -> bytes:
    """The content of a file, read once when the page is first opened."""
    found = importlib.util.find_spec("bentoml")
    if found is None or found.origin is None:
        raise DataError("bentoml is not installed; `/docs` takes Swagger UI from it")
    return (Path(found.origin).parent / "_internal" / "server" / "static_content" / name).read_bytes()
