"""What a request brings: its body, within limits of size and time, and the pictures in it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from pipeline.core.decoding import Picture, PictureError, Shape, decode_fitting
from pipeline.core.images import to_landscape
from pipeline.serving import arrays
from pipeline.serving.errors import Refusal
from pipeline.serving.limits import Limits

NPY = ("application/x-npy", "application/npy")
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Types that say nothing; the second is what `curl --data-binary` says unless it is told otherwise."""
_CLOSE = {"Connection": "close"}
_SLICE = 65536
_FIELDS = 8


@dataclass(frozen=True)
class Found:
    """One picture, and the task whose pictures have its size."""

    task: str
    picture: Picture


@dataclass
class Buffer:
    """The bytes of bodies that one process holds at a time."""

    limit: int
    held: int = field(default=0)

    @contextmanager
    def hold(self) -> Iterator["_Share"]:
        """A request's share of it, given back in the end."""
        share = _Share(self)
        try:
            yield share
        finally:
            self.held -= share.size


@dataclass
class _Share:
    buffer: Buffer
    size: int = 0

    def grow(self, size: int) -> None:
        if self.buffer.held + size > self.buffer.limit:
            raise Refusal("overloaded", "the bodies of too many requests are held already; try again", _CLOSE)
        self.buffer.held += size
        self.size += size


async def body(scope: Scope, receive: Receive, share: _Share, limit: int, seconds: float) -> bytes:
    """The whole body of a request.

    A declared length is judged before anything is received, a stream as it arrives; of more than the limit nothing is
    kept, and the connection is closed.

    Raises:
        Refusal: `body_too_large`, `too_slow`, or `overloaded`.
        ClientDisconnect: the caller went away.
    """
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                share.grow(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(
            "too_slow", f"{size:,} bytes of the body came within {seconds:g} seconds, expected all of it", _CLOSE
        ) from None


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"a body of more than {limit:,} bytes, expected at most that", _CLOSE)


def content_type(scope: Scope) -> str:
    """The request's Content-Type without its parameters, in lower case; empty where there is none."""
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


def expect_kind(kind: str, *, many: bool) -> None:
    """Refuse a Content-Type that promises no picture, before its body is received.

    Raises:
        Refusal: `unsupported_content_type`.
    """
    known = (*PLAIN, "multipart/form-data", *((*NPY, "application/json") if many else ()))
    if kind in known or (kind.startswith("image/") and not many):
        return
    expected = (
        "multipart/form-data with PNG or JPEG files, application/octet-stream with X-Shape, application/x-npy or "
        "application/json"
        if many
        else "a PNG or JPEG as the body, or in multipart/form-data"
    )
    raise Refusal("unsupported_content_type", f"Content-Type {kind[:60]} found, expected {expected}", _CLOSE)


async def one(scope: Scope, content: bytes, shapes: Mapping[str, Shape]) -> Found:
    """The one picture of a request.

    Raises:
        Refusal: there is none, or several.
        PictureError: it cannot be read.
    """
    if content_type(scope) == "multipart/form-data":
        files = await _files(scope, content, 1)
        content = files[0]
    shape = Headers(scope=scope).get(arrays.SHAPE_HEADER)
    if shape is not None and content_type(scope) in PLAIN:
        pixels = arrays.from_raw(content, shape)
        return _each(pixels[None], shapes, 1)[0]
    if len(content) > _SLICE:
        # So long a file of so small a picture holds something else: it must not keep other requests waiting.
        return await asyncio.to_thread(_decoded, content, shapes)
    return _decoded(content, shapes)


async def many(scope: Scope, content: bytes, shapes: Mapping[str, Shape], limits: Limits) -> list[Found | Refusal]:
    """The pictures of a request, in order; one that cannot be read is a refusal in its place.

    Raises:
        Refusal: there is none, there are too many, or an array is not what it should be.
    """
    kind = content_type(scope)
    shape = Headers(scope=scope).get(arrays.SHAPE_HEADER)
    if shape is not None:
        arrays.expect_shape(shape)
    if kind == "multipart/form-data":
        files = await _files(scope, content, limits.pictures)
        return await asyncio.to_thread(lambda: [_attempt(file, shapes) for file in files])
    if kind in NPY:
        read = arrays.from_npy, content
    elif kind == "application/json":
        read = arrays.from_json, content
    else:
        read = arrays.from_raw, content, shape
    pixels = await asyncio.to_thread(*read)
    return _each(pixels, shapes, limits.json_pictures if kind == "application/json" else limits.pictures)


def _decoded(content: bytes, shapes: Mapping[str, Shape]) -> Found:
    return Found(*decode_fitting(content, shapes))


def _attempt(content: bytes, shapes: Mapping[str, Shape]) -> Found | Refusal:
    try:
        return _decoded(content, shapes)
    except PictureError as error:
        return Refusal.of(error)


def _each(pixels: np.ndarray, shapes: Mapping[str, Shape], most: int) -> list[Found]:
    """The pictures of an array (n, H, W) or (n, H, W, C), told by their size; strips that stand are turned."""
    given = pixels.shape
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    laid = to_landscape(pixels)
    task = next((task for task, shape in shapes.items() if laid.shape[1:] == shape), None)
    if task is None:
        wanted = "; ".join(",".join(map(str, shape)) for shape in shapes.values())
        raise Refusal(
            "wrong_array",
            f"the shape {','.join(map(str, given))} found, expected n pictures of {wanted} (height, width, channels)",
        )
    if len(laid) > most:
        raise Refusal("too_many_pictures", f"{len(laid):,} pictures found, expected at most {most:,}")
    notes = ("turned",) if laid.shape != pixels.shape else ()
    return [Found(task, Picture(picture, notes)) for picture in laid]


async def _files(scope: Scope, content: bytes, most: int) -> list[bytes]:
    """The files of a multipart form, in order; its other fields are not looked at."""

    position = 0

    async def replay() -> Message:
        nonlocal position
        # In slices, with room between them for other requests.
        await asyncio.sleep(0)
        part = content[position : position + _SLICE]
        position += len(part)
        return {"type": "http.request", "body": part, "more_body": position < len(content)}

    try:
        async with Request(scope, replay).form(max_files=most, max_fields=_FIELDS, max_part_size=1024) as form:
            files = [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
    except HTTPException as error:
        if "Too many files" in error.detail and most > 1:
            raise Refusal("too_many_pictures", f"more than {most:,} files found, expected at most that") from None
        raise Refusal("bad_request", f"a broken form: {error.detail}") from None
    if not files:
        raise Refusal("empty", "no file in the form, expected PNG or JPEG (an address is not followed)")
    return files
