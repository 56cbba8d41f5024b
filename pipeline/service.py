"""The BentoML service: reads strips and classifies pictures over HTTP, with the models that `package` exported.

The routes are our own, on Starlette: BentoML's stock API would let a client's Content-Type choose the decoder, fetch
strings as URLs, reshape arrays in silence, and take bodies of any size. `/livez`, `/readyz`, `/metrics` are BentoML's.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
import bentoml
from bentoml.exceptions import BentoMLException
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.answers import answer, identity, reads_digits
from pipeline.errors import PipelineError
from pipeline.pictures import PictureError, decode_fitting
from pipeline.runtime import Manifest, Reader, load_readers

ARTIFACTS_VARIABLE = "READER_ARTIFACTS"
"""Names another folder of packaged models than `artifacts` beside this package."""
MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request's body; a longer one is cut off."""
_STATUS = {"unsupported_format": 415, "too_many_pixels": 413, "wrong_size": 422}
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_content_type"}


def packaged_readers() -> dict[str, Reader]:
    """Readers by task, from the folder that the environment names or from `artifacts` beside this package.

    Raises:
        BentoMLException: a model is missing, damaged, or not the one its manifest names. `bentoml serve` prints this
            kind of exception as one line and exits.
    """
    default = Path(__file__).parent.parent / "artifacts"
    try:
        return load_readers(Path(os.environ.get(ARTIFACTS_VARIABLE) or default))
    except PipelineError as error:
        raise BentoMLException(str(error)) from None


async def read(request: Request) -> JSONResponse:
    """POST a strip, a scene or a single digit, get its digits; the picture's size says which of them it is."""
    readers = {task: reader for task, reader in _readers().items() if reads_digits(reader.manifest)}
    return await _answered(request, readers, "pictures of digits")


async def classify(request: Request) -> JSONResponse:
    """POST a CIFAR-10 picture, get its class."""
    return await _answered(
        request, {task: reader for task, reader in _readers().items() if task == "cifar10"}, "cifar10"
    )


async def info(request: Request) -> JSONResponse:
    """GET what is served: every model, what it reads and how well it did."""
    return JSONResponse({"models": {task: _described(reader.manifest) for task, reader in _readers().items()}})


async def index(request: Request) -> RedirectResponse:
    """GET / leads to what is served."""
    return RedirectResponse("/info")


def _readers() -> dict[str, Reader]:
    # BentoML makes the service after its routes are mounted: this is how a route finds it.
    return bentoml.get_current_service().readers


async def _answered(request: Request, readers: Mapping[str, Reader], wanted: str) -> JSONResponse:
    if not readers:
        packaged = ", ".join(_readers())
        raise _Refusal(404, "not_packaged", f"no model for {wanted} is packaged here; there is one for {packaged}")
    data = await _posted(request)
    # Decoding and reading take milliseconds of CPU: on a thread they leave the event loop to the other requests.
    return JSONResponse(await anyio.to_thread.run_sync(_read, data, readers))


def _read(data: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    task, picture = decode_fitting(data, {task: reader.manifest.shape for task, reader in readers.items()})
    reader = readers[task]
    return answer(reader.manifest, reader.read(picture.pixels[None]), picture.notes)


async def _posted(request: Request) -> bytes:
    """The picture's bytes: the body, or the one file of a multipart form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8, max_part_size=1024) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise _Refusal(400, "empty", "no file in the form, expected one PNG or JPEG")
            return await files[0].read()
    # application/x-www-form-urlencoded is what curl --data-binary says unless it is told otherwise.
    if (
        kind
        and not kind.startswith("image/")
        and kind
        not in (
            "application/octet-stream",
            "application/x-www-form-urlencoded",
        )
    ):
        raise _Refusal(
            415,
            _CODES[415],
            f"Content-Type {kind} found, expected a PNG or JPEG as the body, or in multipart/form-data",
        )
    return await request.body()


def _described(manifest: Manifest) -> dict[str, Any]:
    height, width, channels = manifest.shape
    return {
        **identity(manifest),
        "bytes": manifest.size,
        "inputs": {"height": height, "width": width, "channels": channels, "dtype": "uint8"},
        "slots": manifest.slots,
        "class_names": list(manifest.class_names),
        "threshold": manifest.threshold,
        "metrics": dict(manifest.metrics),
    }


class _Refusal(HTTPException):
    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


def _error(status: int, code: str, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _refused(request: Request, error: HTTPException) -> Response:
    code = error.code if isinstance(error, _Refusal) else _CODES.get(error.status_code, "bad_request")
    message = error.detail
    if code == "not_found":
        message = f"no such path: {request.url.path}; there are POST /read, POST /classify and GET /info"
    elif code == "method_not_allowed":
        message = f"{request.method} {request.url.path}: expected {error.headers['Allow']}"
    return _error(error.status_code, code, message, error.headers)


async def _unreadable(request: Request, error: PictureError) -> Response:
    return _error(_STATUS.get(error.code, 400), error.code, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, "internal", "the service failed on this request; its log says why")


class BodyLimit:
    """Cuts a request off where its body grows beyond a limit: a declared length at once, a stream as it arrives.

    It is also what keeps every path ours: BentoML asks a bare Starlette app which paths it knows and answers the
    others itself, in another shape.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = int(dict(scope["headers"]).get(b"content-length", 0))
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive() if declared <= self.limit else {}
            received += len(message.get("body", b""))
            if max(declared, received) > self.limit:
                # Without the close the server would go on receiving what nobody reads.
                raise _Refusal(
                    413,
                    _CODES[413],
                    f"a body of more than {self.limit:,} bytes, expected at most that",
                    {"Connection": "close"},
                )
            return message

        await self.app(scope, limited, send)


app = BodyLimit(
    Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            Route("/info", info, methods=["GET"]),
            Route("/read", read, methods=["POST"]),
            Route("/classify", classify, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused, PictureError: _unreadable, Exception: _failed},
    ),
    MAX_BODY,
)


@bentoml.service(name="reader")
@bentoml.asgi_app(app, path="/")
class ReaderService:
    """Reads strips of handwritten digits and classifies CIFAR-10 pictures.

    Attributes:
        readers: by task.
    """

    def __init__(self) -> None:
        self.readers = packaged_readers()

    # A worker that cannot start is started again and again. This runs once, before there are workers, and stops it all.
    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start on a model that is missing or not the one its manifest names."""
        packaged_readers()
