"""What a request uploads: its body, within limits of size and time, and the pictures in it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from pipeline.core.decoding import Picture, PictureError, Shape, decode_for
from pipeline.core.images import to_landscape
from pipeline.serving import arrays
from pipeline.serving.errors import CLOSE, ApiError
from pipeline.serving.limits import Limits

JSON = "application/json"
FORM = "multipart/form-data"
NPY = ("application/x-npy", "application/npy")
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Types that say nothing; the second is what `curl --data-binary` sends by default."""
_ONE = (*PLAIN, FORM)
_MANY = (*PLAIN, FORM, *NPY, JSON)
_SLICE = 65536
_FIELDS = 8


@dataclass(frozen=True)
class Upload:
    """One picture, and the task whose model takes its size."""

    task: str
    picture: Picture


@dataclass
class Buffer:
    """The bytes of bodies that one process holds at a time."""

    limit: int
    held: int = 0

    @contextmanager
    def hold(self) -> Iterator["Share"]:
        """A request's share of the buffer, released in the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.size


@dataclass
class Share:
    """What one request holds of a buffer."""

    buffer: Buffer
    size: int = 0

    def grow(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            ApiError: `overloaded`, the buffer is full.
        """
        if self.buffer.held + size > self.buffer.limit:
            raise ApiError("overloaded", "the bodies of too many requests are held already; try again", CLOSE)
        self.buffer.held += size
        self.size += size


async def receive_body(request: Request, share: Share, limit: int) -> bytes:
    """The whole body of a request.

    A declared length is checked before anything is received, a stream as it arrives. A body that exceeds the limit is
    dropped, and its connection is closed.

    Args:
        request: whose body has not been received.
        share: of the buffer; it grows with the body.
        limit: bytes of the body, at most.

    Raises:
        ApiError: `body_too_large` or `overloaded`.
        ClientDisconnect: the client went away.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        if share.size + len(part) > limit:
            raise _too_large(limit)
        share.grow(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError("body_too_large", f"a body of more than {limit:,} bytes, expected at most that", CLOSE)


def content_type(request: Request, *, many: bool) -> str:
    """The Content-Type without its parameters, in lower case; empty where there is none.

    Raises:
        ApiError: `unsupported_content_type`, it is not for a picture, or not for many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in (_MANY if many else _ONE) or (kind.startswith("image/") and not many):
        return kind
    expected = (
        "multipart/form-data with PNG or JPEG files, application/octet-stream with X-Shape, application/x-npy or "
        "application/json"
        if many
        else "a PNG or JPEG as the body, or in multipart/form-data"
    )
    raise ApiError("unsupported_content_type", f"Content-Type {kind[:60]} found, expected {expected}", CLOSE)


async def decode_one(request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape]) -> Upload:
    """The one picture of a request.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.

    Raises:
        ApiError: there is none, or several.
        PictureError: it cannot be decoded.
    """
    if kind == FORM:
        content = (await _files(request, content, 1))[0]
    elif kind in PLAIN and (shape := request.headers.get(arrays.SHAPE_HEADER)) is not None:
        pixels = arrays.from_raw(content, shape)
        return _split(pixels[None], shapes, 1)[0]
    if len(content) > _SLICE:
        # Such a long file of such a small picture holds something else; decoding it must not block other requests.
        return await asyncio.to_thread(_decode, content, shapes)
    return _decode(content, shapes)


async def decode_many(
    request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape], limits: Limits
) -> Sequence[Upload | ApiError]:
    """The pictures of a request, in order; in the place of one that cannot be decoded is its error.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.
        limits: of this process.

    Raises:
        ApiError: there is none, there are too many, or an array is not an array of pictures.
    """
    shape = request.headers.get(arrays.SHAPE_HEADER)
    if shape is not None:
        arrays.expect_shape(shape)
    if kind == FORM:
        files = await _files(request, content, limits.pictures)
        return await asyncio.to_thread(lambda: [_attempt(file, shapes) for file in files])
    if kind in NPY:
        pixels = await asyncio.to_thread(arrays.from_npy, content)
    elif kind == JSON:
        pixels = await asyncio.to_thread(arrays.from_json, content)
    else:
        pixels = await asyncio.to_thread(arrays.from_raw, content, shape)
    return _split(pixels, shapes, limits.json_pictures if kind == JSON else limits.pictures)


def _decode(content: bytes, shapes: Mapping[str, Shape]) -> Upload:
    return Upload(*decode_for(content, shapes))


def _attempt(content: bytes, shapes: Mapping[str, Shape]) -> Upload | ApiError:
    try:
        return _decode(content, shapes)
    except PictureError as error:
        return ApiError.of(error)


def _split(pixels: np.ndarray, shapes: Mapping[str, Shape], most: int) -> list[Upload]:
    """The pictures of an array (n, height, width) or (n, height, width, channels); upright strips are turned."""
    given = pixels.shape
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    landscape = to_landscape(pixels)
    task = next((task for task, shape in shapes.items() if landscape.shape[1:] == shape), None)
    if task is None:
        wanted = "; ".join(",".join(map(str, shape)) for shape in shapes.values())
        raise ApiError(
            "wrong_array",
            f"the shape {','.join(map(str, given))} found, expected n pictures of {wanted} (height, width, channels)",
        )
    if len(landscape) > most:
        raise ApiError("too_many_pictures", f"{len(landscape):,} pictures found, expected at most {most:,}")
    notes = ("turned",) if landscape.shape != pixels.shape else ()
    return [Upload(task, Picture(picture, notes)) for picture in landscape]


async def _files(request: Request, content: bytes, most: int) -> list[bytes]:
    """The files of a multipart form, in order; its other fields are ignored."""
    position = 0

    async def replay() -> Message:
        nonlocal position
        # In slices, so that other requests run in between.
        await asyncio.sleep(0)
        part = content[position : position + _SLICE]
        position += len(part)
        return {"type": "http.request", "body": part, "more_body": position < len(content)}

    try:
        async with Request(request.scope, replay).form(max_files=most, max_fields=_FIELDS, max_part_size=1024) as form:
            files = [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
    except HTTPException as error:
        if "Too many files" in error.detail and most > 1:
            raise ApiError("too_many_pictures", f"more than {most:,} files found, expected at most that") from None
        raise ApiError("bad_request", f"a malformed form: {error.detail}") from None
    if not files:
        raise ApiError("empty", "no file in the form, expected PNG or JPEG (a URL is not fetched)")
    return files
