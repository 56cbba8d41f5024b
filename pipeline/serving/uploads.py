"""What a request uploads: its body, within limits of size and time, and the pictures in it.

The event loop receives bodies and does nothing else: threads parse and decode them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect, Request

from pipeline.core.decoding import Picture, PictureError, Shape, decode_for, judge
from pipeline.core.images import to_landscape
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.pools import Pool
from pipeline.serving import arrays, forms

JSON = "application/json"
FORM = "multipart/form-data"
NPY = ("application/x-npy", "application/npy")
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Types that say nothing; the second is what `curl --data-binary` sends by default."""
_ONE = (*PLAIN, FORM)
_MANY = (*PLAIN, FORM, *NPY, JSON)
_SHORT = 65536
"""Bytes of a body with one picture. What reads a picture also decodes a short one; a long one holds something else."""
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(eq=False)
class Upload:
    """One picture, and the task whose model takes its size.

    Attributes:
        task: the name of the task.
        picture: decoded; None before `images` was called for the first time.
    """

    task: str
    picture: Picture | None
    content: bytes = b""
    shapes: Mapping[str, Shape] | None = None

    def images(self) -> np.ndarray:
        """uint8 (1, height, width, channels), decoded if it was not.

        Raises:
            PictureError: it cannot be decoded.
        """
        return self.decoded().pixels[None]

    def decoded(self) -> Picture:
        """The picture.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self.picture is None:
            task, self.picture = decode_for(self.content, self.shapes or {})
            if task != self.task:
                raise PictureError("damaged", "the picture has two sizes, expected one")
            self.content = b""
        return self.picture


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


async def decode_one(request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape], pool: Pool) -> Upload:
    """The one picture of a request. A short PNG, whose size can be seen at once, is not decoded yet.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.
        pool: decodes what is not short.

    Raises:
        ApiError: there is none, or several.
        PictureError: it cannot be decoded.
    """
    if kind == FORM:
        boundary = request.headers["content-type"]
        if len(content) > _SHORT:
            content = (await pool.run(forms.files_of, boundary, content, 1))[0]
        else:
            content = forms.files_of(boundary, content, 1)[0]
    elif kind in PLAIN and (shape := request.headers.get(arrays.SHAPE_HEADER)) is not None:
        pixels = arrays.from_raw(content, shape)
        return _split(pixels[None], shapes, 1)[0]
    if len(content) <= _SHORT and (task := _task_of_png(content, shapes)) is not None:
        return Upload(task, None, content, shapes)
    return await pool.run(_decode, content, shapes)


async def decode_many(
    request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape], limits: Limits, pool: Pool
) -> Sequence[Upload | ApiError]:
    """The pictures of a request, in order; in the place of one that cannot be decoded is its error.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.
        limits: of this process.
        pool: parses and decodes.

    Raises:
        ApiError: there is none, there are too many, or an array is not an array of pictures.
    """
    shape = request.headers.get(arrays.SHAPE_HEADER)
    if shape is not None:
        arrays.expect_shape(shape)
    boundary = request.headers.get("content-type", "")
    return await pool.run(_decode_many, kind, content, shapes, limits, shape, boundary)


def _decode_many(
    kind: str, content: bytes, shapes: Mapping[str, Shape], limits: Limits, shape: str | None, boundary: str
) -> Sequence[Upload | ApiError]:
    if kind == FORM:
        return [_attempt(file, shapes) for file in forms.files_of(boundary, content, limits.pictures)]
    most = limits.pictures
    if kind in NPY:
        pixels = arrays.from_npy(content)
    elif kind == JSON:
        most = limits.json_pictures
        arrays.expect_few(content, most, shapes.values())
        pixels = arrays.from_json(content, most)
    else:
        pixels = arrays.from_raw(content, shape)
    return _split(pixels, shapes, most)


def _task_of_png(content: bytes, shapes: Mapping[str, Shape]) -> str | None:
    """The task whose model takes a picture of this size, as `decode_for` would say; None where only it can say."""
    if content[:8] != _PNG or content[12:16] != b"IHDR":
        return None
    size = {int.from_bytes(content[16:20]), int.from_bytes(content[20:24])}
    return next((task for task, shape in shapes.items() if size == set(shape[:2])), None)


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
    return [
        Upload(task, Picture(picture, (*notes, *judged)))
        for picture, judged in zip(landscape, judge(landscape), strict=True)
    ]
